-- One row per airport of arrival and as-of day: how often its flights were not on time in the drops up to that day.
-- owner: flight-operations
-- lookback: 28
-- entity: dest text, airport of arrival
-- feature: dest_late_rate_7d double precision, smoothed share not on time over 7 drops
-- feature: dest_late_rate_28d double precision, smoothed share not on time over 28 drops
with tallies as (
    select as_of, dest, flights, late, false as due
    from features.carrier_dest_tally
    where as_of between %(start)s::date - 27 and %(end)s
),
due as (
    select distinct as_of, dest, 0 as flights, 0 as late, true as due
    from raw.schedule
    where as_of between %(start)s and %(end)s
),
windowed as (
    select as_of, dest, due,
        features.smoothed_rate(sum(late) over days_7, sum(flights) over days_7) as dest_late_rate_7d,
        features.smoothed_rate(sum(late) over days_28, sum(flights) over days_28) as dest_late_rate_28d
    from (select * from tallies union all select * from due) as both_kinds
    window
        days_7 as (partition by dest order by as_of range between '6 days' preceding and current row),
        days_28 as (partition by dest order by as_of range between '27 days' preceding and current row)
)
select as_of, dest, dest_late_rate_7d, dest_late_rate_28d
from windowed
where due
