-- One row per partition of [start, end] and its new state. A waiver counts for the file that it was given for.
update quality.partitions
set state = case
        when source <> all (%(failed_sources)s::text[]) then 'checked'
        when exists (
            select from quality.waivers
            where waivers.as_of = partitions.as_of and waivers.source = partitions.source
                and waivers.file_sha256 = partitions.file_sha256
        ) then 'waived'
        else 'failed'
    end,
    recorded_at = clock_timestamp()
where as_of between %(start)s and %(end)s
returning source, state
