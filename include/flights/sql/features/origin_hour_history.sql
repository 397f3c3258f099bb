-- One row per airport of departure, hour and as-of day: how often its flights were not on time in the drops up to that day.
-- owner: flight-operations
-- lookback: 28
-- entity: origin text, airport of departure
-- entity: hour smallint, scheduled hour of departure, local
-- feature: origin_hour_late_rate_28d double precision, smoothed share not on time over 28 drops
with tallies as (
    select as_of, origin, hour, flights, late, false as due
    from features.origin_hour_tally
    where as_of between %(start)s::date - 27 and %(end)s
),
due as (
    select distinct as_of, origin, (sched_dep_time / 100)::smallint as hour, 0 as flights, 0 as late, true as due
    from raw.schedule
    where as_of between %(start)s and %(end)s
),
windowed as (
    select as_of, origin, hour, due,
        features.smoothed_rate(sum(late) over days_28, sum(flights) over days_28) as origin_hour_late_rate_28d
    from (select * from tallies union all select * from due) as both_kinds
    window
        days_28 as (partition by origin, hour order by as_of range between '27 days' preceding and current row)
)
select as_of, origin, hour, origin_hour_late_rate_28d
from windowed
where due
