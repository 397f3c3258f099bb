-- Every staged line, once as text (_name) and once as typed values (name). The offset keeps the planner from reading
-- a value again wherever it is named. Names with two underscores in front
-- are those of no column, and of no text of one.
select
    read.*,
    (%(days)s::date[])[__nth] as as_of,
    (__n - (%(firsts)s::bigint[])[__nth] + 1)::integer as line
from (
    select
        __n,
        width_bucket(__n, %(firsts)s::bigint[]) as __nth,
        __staged as __came,
        {texts},
        {typed}
    from {staged} as __staged
    offset 0
) as read
