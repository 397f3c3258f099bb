-- One row per source and month that has a partition in the warehouse.
select parent.relname::text, months.month
from pg_inherits
join pg_class as parent on parent.oid = pg_inherits.inhparent
join pg_class as partition on partition.oid = pg_inherits.inhrelid
join unnest(%(months)s::date[]) as months (month)
    on partition.relname = parent.relname || to_char(months.month, '_YYYY_MM')
where parent.relnamespace = 'raw'::regnamespace
    and partition.relnamespace = 'raw'::regnamespace
    and parent.relname = any (%(sources)s)
order by 2, 1
