-- One row per carrier, flight number and drop: how many outcomes it brought, and how many were not on time.
-- owner: flight-operations
-- lookback: 1
-- entity: carrier text, airline code
-- entity: flight integer, flight number
-- feature: flights integer, outcomes
-- feature: late integer, outcomes that were not on time
select as_of, carrier, flight, count(*)::integer as flights,
    (count(*) filter (where features.not_on_time(arr_delay)))::integer as late
from raw.actuals
where as_of between %(start)s and %(end)s
group by 1, 2, 3
