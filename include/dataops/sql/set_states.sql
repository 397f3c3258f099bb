-- One row per partition of [start, end] and its new state. A waiver counts for the file that it was given for.
-- failed_days and failed_sources are the two halves of a list: day and source of each partition that failed.
update quality.partitions
set state = case
        when (as_of, source) not in (
            select failed.as_of, failed.source
            from unnest(%(failed_days)s::date[], %(failed_sources)s::text[]) as failed (as_of, source)
        ) then 'checked'
        when exists (
            select from quality.waivers
            where waivers.as_of = partitions.as_of and waivers.source = partitions.source
                and waivers.file_sha256 = partitions.file_sha256
        ) then 'waived'
        else 'failed'
    end,
    recorded_at = clock_timestamp()
where as_of between %(start)s and %(end)s
returning as_of, source, state
