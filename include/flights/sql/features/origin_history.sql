-- One row per airport of departure and as-of day: how often its flights were not on time in the drops up to that day.
-- owner: flight-operations
-- lookback: 2
-- entity: origin text, airport of departure
-- feature: origin_late_rate_2d double precision, smoothed share not on time over 2 drops
with tallies as (
    select as_of, origin, flights, late, false as due
    from features.carrier_origin_tally
    where as_of between %(start)s::date - 1 and %(end)s
),
due as (
    select distinct as_of, origin, 0 as flights, 0 as late, true as due
    from raw.schedule
    where as_of between %(start)s and %(end)s
),
windowed as (
    select as_of, origin, due,
        features.smoothed_rate(sum(late) over days_2, sum(flights) over days_2) as origin_late_rate_2d
    from (select * from tallies union all select * from due) as both_kinds
    window
        days_2 as (partition by origin order by as_of range between '1 days' preceding and current row)
)
select as_of, origin, origin_late_rate_2d
from windowed
where due
