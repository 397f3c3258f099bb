-- One row per airport of departure, hour and drop: how many outcomes it brought, and how many were not on time.
-- owner: flight-operations
-- lookback: 1
-- entity: origin text, airport of departure
-- entity: hour smallint, scheduled hour of departure, local
-- feature: flights integer, outcomes
-- feature: late integer, outcomes that were not on time
select as_of, origin, (sched_dep_time / 100)::smallint as hour, count(*)::integer as flights,
    (count(*) filter (where features.not_on_time(arr_delay)))::integer as late
from raw.actuals
where as_of between %(start)s and %(end)s
group by 1, 2, 3
