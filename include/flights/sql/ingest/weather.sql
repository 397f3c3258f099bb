-- One row per line of the drops of [start, end]: typed into raw where every value is valid, else into quarantine.
with judged as materialized (
    select
        staged.*,
        -- A date begins with a digit: Postgres also knows words like 'yesterday', and would look at its clock.
        concat_ws('; ',
            case when coalesce(origin, '') = '' then 'origin is missing' end,
            case when coalesce(observed_at, '') !~ '^\d'
                     or not pg_input_is_valid(observed_at, 'timestamptz')
                 then 'observed_at is not a time with its zone'
                 when observed_at::timestamptz >= (as_of + time '05:00') at time zone 'America/New_York'
                 then 'observed_at is after the drop' end,
            case when not pg_input_is_valid(temp, 'double precision') then 'temp is not a number' end,
            case when not pg_input_is_valid(dewp, 'double precision') then 'dewp is not a number' end,
            case when not pg_input_is_valid(humid, 'double precision') then 'humid is not a number' end,
            case when not pg_input_is_valid(wind_dir, 'double precision') then 'wind_dir is not a number' end,
            case when not pg_input_is_valid(wind_speed, 'double precision') then 'wind_speed is not a number' end,
            case when not pg_input_is_valid(wind_gust, 'double precision') then 'wind_gust is not a number' end,
            case when not pg_input_is_valid(precip, 'double precision') then 'precip is not a number' end,
            case when not pg_input_is_valid(pressure, 'double precision') then 'pressure is not a number' end,
            case when not pg_input_is_valid(visib, 'double precision') then 'visib is not a number' end,
            -- A key is the same however it is spelled, such as a moment in another time zone.
            case when row_number() over (
                     partition by as_of, origin,
                         case when pg_input_is_valid(observed_at, 'timestamptz') then observed_at::timestamptz::text
                              else observed_at end
                     order by line
                 ) > 1 then 'a line before it has the same key' end
        ) as reason
    from staged
),
rejected as (
    insert into quarantine.rows (source, as_of, line, reason, payload)
    select 'weather', as_of, line, reason, to_jsonb(judged) - 'as_of' - 'line' - 'reason'
    from judged
    where reason <> ''
)
insert into raw.weather (
    as_of, line, origin, observed_at, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib
)
select
    as_of, line, origin, observed_at::timestamptz, temp::double precision, dewp::double precision,
    humid::double precision, wind_dir::double precision, wind_speed::double precision,
    wind_gust::double precision, precip::double precision, pressure::double precision, visib::double precision
from judged
where reason = '';
