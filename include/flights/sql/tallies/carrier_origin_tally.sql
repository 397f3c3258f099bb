-- One row per carrier, airport of departure and drop: how many outcomes it brought, and how many were not on time.
-- owner: flight-operations
-- lookback: 1
-- entity: carrier text, airline code
-- entity: origin text, airport of departure
-- feature: flights integer, outcomes
-- feature: late integer, outcomes that were not on time
select as_of, carrier, origin, count(*)::integer as flights,
    (count(*) filter (where features.not_on_time(arr_delay)))::integer as late
from raw.actuals
where as_of between %(start)s and %(end)s
group by 1, 2, 3
