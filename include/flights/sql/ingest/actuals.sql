-- One row per line of the drops of [start, end]: typed into raw where every value is valid, else into quarantine.
with judged as materialized (
    select
        staged.*,
        -- A date begins with a digit: Postgres also knows words like 'yesterday', and would look at its clock.
        concat_ws('; ',
            case when coalesce(flight_date, '') !~ '^\d' or not pg_input_is_valid(flight_date, 'date')
                 then 'flight_date is not a date'
                 when flight_date::date > as_of then 'flight_date is after the drop' end,
            case when coalesce(carrier, '') = '' then 'carrier is missing' end,
            case when not coalesce(pg_input_is_valid(flight, 'integer'), false) then 'flight is not a number' end,
            case when coalesce(origin, '') = '' then 'origin is missing' end,
            case when coalesce(dest, '') = '' then 'dest is missing' end,
            case when not coalesce(pg_input_is_valid(sched_dep_time, 'smallint'), false)
                 then 'sched_dep_time is not a time' end,
            case when not pg_input_is_valid(dep_time, 'smallint') then 'dep_time is not a time' end,
            case when not pg_input_is_valid(dep_delay, 'integer') then 'dep_delay is not a number' end,
            case when not pg_input_is_valid(arr_time, 'smallint') then 'arr_time is not a time' end,
            case when not pg_input_is_valid(arr_delay, 'integer') then 'arr_delay is not a number' end,
            case when not pg_input_is_valid(air_time, 'integer') then 'air_time is not a number' end,
            case when coalesce(landed_at, '') !~ '^\d'
                     or not pg_input_is_valid(landed_at, 'timestamptz')
                 then 'landed_at is not a time with its zone'
                 when landed_at::timestamptz >= (as_of + time '05:00') at time zone 'America/New_York'
                 then 'landed_at is after the drop' end,
            -- A key is the same however it is spelled, such as a flight number with a leading zero.
            case when row_number() over (
                     partition by as_of, carrier, origin,
                         case when pg_input_is_valid(flight_date, 'date') then flight_date::date::text
                              else flight_date end,
                         case when pg_input_is_valid(flight, 'integer') then flight::integer::text else flight end
                     order by line
                 ) > 1 then 'a line before it has the same key' end
        ) as reason
    from staged
),
rejected as (
    insert into quarantine.rows (source, as_of, line, reason, payload)
    select 'actuals', as_of, line, reason, to_jsonb(judged) - 'as_of' - 'line' - 'reason'
    from judged
    where reason <> ''
)
insert into raw.actuals (
    as_of, line, flight_date, carrier, flight, origin, dest, sched_dep_time, dep_time, dep_delay, arr_time,
    arr_delay, air_time, tailnum, landed_at
)
select
    as_of, line, flight_date::date, carrier, flight::integer, origin, dest, sched_dep_time::smallint,
    dep_time::smallint, dep_delay::integer, arr_time::smallint, arr_delay::integer, air_time::integer, tailnum,
    landed_at::timestamptz
from judged
where reason = '';
