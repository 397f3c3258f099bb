-- One row per source: its drops, lines and rejected lines, and the day of the last one.
select
    source, count(*) as drops, max(as_of) as last_day, sum(lines) as lines, sum(quarantined_rows) as quarantined,
    count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'waived') as waived
from quality.partitions
where as_of between %(start)s and %(end)s
group by source
order by source
