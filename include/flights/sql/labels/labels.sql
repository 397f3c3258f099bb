-- One row per flight whose outcome had landed by the drop of `known_at`: whether it was not on time.
-- A flight's as-of day is the day it was due, and `landed` is the drop that brought the outcome.
select distinct on (flight_date, carrier, flight, origin)
    flight_date as as_of,
    carrier,
    flight,
    origin,
    features.not_on_time(arr_delay) as label,
    as_of as landed
from raw.actuals
where flight_date between %(start)s and %(end)s
    and as_of between %(start)s and %(known_at)s
order by flight_date, carrier, flight, origin, as_of desc
