-- One row per flight due to depart on the as-of day: what its timetable says.
-- owner: flight-operations
-- lookback: 1
-- entity: carrier text, airline code
-- entity: flight integer, flight number
-- entity: origin text, airport of departure
-- entity: dest text, airport of arrival
-- entity: hour smallint, scheduled hour of departure, local
-- feature: carrier text, airline code
-- feature: origin text, airport of departure
-- feature: dest text, airport of arrival
-- feature: hour smallint, scheduled hour of departure, local
-- feature: minute smallint, scheduled minute of departure
-- feature: day_of_week smallint, 1 is Monday and 7 is Sunday
-- feature: distance integer, miles between the airports
-- feature: block_minutes integer, scheduled arrival less scheduled departure, each in its local time
-- feature: days_to_holiday integer, days to the nearest federal holiday, before or after
select
    schedule.as_of,
    schedule.carrier,
    schedule.flight,
    schedule.origin,
    schedule.dest,
    (schedule.sched_dep_time / 100)::smallint as hour,
    (schedule.sched_dep_time %% 100)::smallint as minute,
    extract(isodow from schedule.as_of)::smallint as day_of_week,
    schedule.distance,
    (
        (schedule.sched_arr_time / 100 * 60 + schedule.sched_arr_time %% 100)
        - (schedule.sched_dep_time / 100 * 60 + schedule.sched_dep_time %% 100)
        + 1440
    ) %% 1440 as block_minutes,
    nearest.days as days_to_holiday
from raw.schedule
cross join lateral (
    select min(abs(holidays.day - schedule.as_of)) as days from reference.holidays
) as nearest
where schedule.as_of between %(start)s and %(end)s
