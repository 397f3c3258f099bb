-- One row per carrier, airport of departure and as-of day: how often its flights were not on time in the drops up to that day.
-- owner: flight-operations
-- lookback: 28
-- entity: carrier text, airline code
-- entity: origin text, airport of departure
-- feature: carrier_origin_late_rate_28d double precision, smoothed share not on time over 28 drops
with tallies as (
    select as_of, carrier, origin, flights, late, false as due
    from features.carrier_origin_tally
    where as_of between %(start)s::date - 27 and %(end)s
),
due as (
    select distinct as_of, carrier, origin, 0 as flights, 0 as late, true as due
    from raw.schedule
    where as_of between %(start)s and %(end)s
),
windowed as (
    select as_of, carrier, origin, due,
        features.smoothed_rate(sum(late) over days_28, sum(flights) over days_28) as carrier_origin_late_rate_28d
    from (select * from tallies union all select * from due) as both_kinds
    window
        days_28 as (partition by carrier, origin order by as_of range between '27 days' preceding and current row)
)
select as_of, carrier, origin, carrier_origin_late_rate_28d
from windowed
where due
