-- Every staged line, once as text (_name) and once as typed values (name). The offset keeps the planner from reading
-- a value again wherever it is named. Columns of a domain never begin with an underscore.
select
    read.*,
    (%(days)s::date[])[_nth] as as_of,
    (_n - (%(firsts)s::bigint[])[_nth] + 1)::integer as line
from (
    select
        _n,
        width_bucket(_n, %(firsts)s::bigint[]) as _nth,
        staged as _came,
        {texts},
        {typed}
    from {staged} as staged
    offset 0
) as read
