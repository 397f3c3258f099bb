-- One row per carrier and as-of day: how often its flights were not on time in the drops up to that day.
-- owner: flight-operations
-- lookback: 7
-- entity: carrier text, airline code
-- feature: carrier_late_rate_7d double precision, smoothed share not on time over 7 drops
with tallies as (
    select as_of, carrier, flights, late, false as due
    from features.carrier_origin_tally
    where as_of between %(start)s::date - 6 and %(end)s
),
due as (
    select distinct as_of, carrier, 0 as flights, 0 as late, true as due
    from raw.schedule
    where as_of between %(start)s and %(end)s
),
windowed as (
    select as_of, carrier, due,
        features.smoothed_rate(sum(late) over days_7, sum(flights) over days_7) as carrier_late_rate_7d
    from (select * from tallies union all select * from due) as both_kinds
    window
        days_7 as (partition by carrier order by as_of range between '6 days' preceding and current row)
)
select as_of, carrier, carrier_late_rate_7d
from windowed
where due
