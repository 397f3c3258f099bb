-- One row per carrier, airport of arrival and drop: how many outcomes it brought, and how many were not on time.
-- owner: flight-operations
-- lookback: 1
-- entity: carrier text, airline code
-- entity: dest text, airport of arrival
-- feature: flights integer, outcomes
-- feature: late integer, outcomes that were not on time
select as_of, carrier, dest, count(*)::integer as flights,
    (count(*) filter (where features.not_on_time(arr_delay)))::integer as late
from raw.actuals
where as_of between %(start)s and %(end)s
group by 1, 2, 3
