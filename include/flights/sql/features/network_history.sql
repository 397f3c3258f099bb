-- One row per as-of day: how often flights were not on time in the drops up to that day.
-- owner: flight-operations
-- lookback: 28
-- feature: network_late_rate_1d double precision, smoothed share not on time over 1 drop
-- feature: network_late_rate_7d double precision, smoothed share not on time over 7 drops
-- feature: network_late_rate_28d double precision, smoothed share not on time over 28 drops
with tallies as (
    select as_of, flights, late, false as due
    from features.carrier_origin_tally
    where as_of between %(start)s::date - 27 and %(end)s
),
due as (
    select distinct as_of, 0 as flights, 0 as late, true as due
    from raw.schedule
    where as_of between %(start)s and %(end)s
),
windowed as (
    select as_of, due,
        features.smoothed_rate(sum(late) over days_1, sum(flights) over days_1) as network_late_rate_1d,
        features.smoothed_rate(sum(late) over days_7, sum(flights) over days_7) as network_late_rate_7d,
        features.smoothed_rate(sum(late) over days_28, sum(flights) over days_28) as network_late_rate_28d
    from (select * from tallies union all select * from due) as both_kinds
    window
        days_1 as (order by as_of range between '0 days' preceding and current row),
        days_7 as (order by as_of range between '6 days' preceding and current row),
        days_28 as (order by as_of range between '27 days' preceding and current row)
)
select as_of, network_late_rate_1d, network_late_rate_7d, network_late_rate_28d
from windowed
where due
