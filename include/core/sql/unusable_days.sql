-- One row per as-of day of [start, end] and source that is neither checked nor waived.
select days.as_of::date, sources.source, coalesce(partitions.state, 'not ingested') as state
from generate_series(%(start)s::date, %(end)s::date, interval '1 day') as days (as_of)
cross join unnest(%(sources)s) as sources (source)
left join quality.partitions using (as_of, source)
where coalesce(partitions.state, '') not in ('checked', 'waived')
order by 1, 2
