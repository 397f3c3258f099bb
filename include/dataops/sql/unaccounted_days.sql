-- One row per as-of day of which lines and rows differ.
select partitions.as_of
from quality.partitions
left join (
    select as_of, count(*) as number from {raw} where as_of between %(start)s and %(end)s group by as_of
) as loaded using (as_of)
left join (
    select as_of, count(*) as number
    from quarantine.rows
    where source = %(source)s and as_of between %(start)s and %(end)s
    group by as_of
) as rejected using (as_of)
where source = %(source)s and as_of between %(start)s and %(end)s
    and lines <> coalesce(loaded.number, 0) + coalesce(rejected.number, 0)
