-- One row per flight and drop that brought its outcome: whether the flight was not on time.
-- owner: flight-operations
-- lookback: 1
-- entity: event_day date, the day the flight was due
-- entity: carrier text, airline code
-- entity: flight integer, flight number
-- entity: origin text, airport of departure
-- feature: label boolean, 15 minutes late or more, or no arrival
select as_of, flight_date as event_day, carrier, flight, origin, features.not_on_time(arr_delay) as label
from raw.actuals
where as_of between %(start)s and %(end)s
