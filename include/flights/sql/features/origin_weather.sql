-- One row per airport of departure and as-of day: the last observation before the drop.
-- owner: flight-operations
-- lookback: 2
-- entity: origin text, airport of departure
-- feature: temp double precision, degrees Fahrenheit
-- feature: humid double precision, relative humidity in percent
-- feature: wind_speed double precision, miles an hour
-- feature: wind_gust double precision, miles an hour; mostly missing, which means no gusts
-- feature: visib double precision, miles
-- feature: pressure double precision, millibars at sea level
-- feature: precip_3h double precision, inches over the last three hours
-- feature: pressure_change_3h double precision, millibars gained since three hours before
with seen as (
    select days.as_of, weather.origin, weather.observed_at, weather.temp, weather.humid, weather.wind_speed,
        weather.wind_gust, weather.visib, weather.pressure,
        sum(weather.precip) over last_three as precip_3h,
        weather.pressure - first_value(weather.pressure) over three_hours as pressure_change_3h,
        row_number() over (
            partition by days.as_of, weather.origin order by weather.observed_at desc
        ) as age
    from (select distinct as_of from raw.schedule where as_of between %(start)s and %(end)s) as days
    join raw.weather
        on weather.as_of between days.as_of - 1 and days.as_of
        and weather.as_of between %(start)s::date - 1 and %(end)s
    window
        last_three as (
            partition by days.as_of, weather.origin order by weather.observed_at
            range between '2 hours' preceding and current row
        ),
        three_hours as (
            partition by days.as_of, weather.origin order by weather.observed_at
            range between '3 hours' preceding and current row
        )
)
select as_of, origin, temp, humid, wind_speed, wind_gust, visib, pressure, precip_3h, pressure_change_3h
from seen
where age = 1
