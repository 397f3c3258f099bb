-- A day that a person waived stays waived; its checks were known to fail.
update quality.partitions
set state = case
        when source = any (%(failed_sources)s) then case when state = 'waived' then 'waived' else 'failed' end
        else 'checked'
    end,
    recorded_at = clock_timestamp()
where as_of between %(start)s and %(end)s
