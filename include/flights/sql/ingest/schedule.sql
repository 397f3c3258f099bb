-- One row per line of the drops of [start, end]: typed into raw where every value is valid, else into quarantine.
with judged as materialized (
    select
        staged.*,
        -- A date begins with a digit: Postgres also knows words like 'yesterday', and would look at its clock.
        concat_ws('; ',
            case when coalesce(flight_date, '') !~ '^\d' or not pg_input_is_valid(flight_date, 'date')
                 then 'flight_date is not a date'
                 when flight_date::date <> as_of then 'flight_date is not the day of the drop' end,
            case when coalesce(carrier, '') = '' then 'carrier is missing' end,
            case when not coalesce(pg_input_is_valid(flight, 'integer'), false) then 'flight is not a number' end,
            case when coalesce(origin, '') = '' then 'origin is missing' end,
            case when coalesce(dest, '') = '' then 'dest is missing' end,
            case when not coalesce(pg_input_is_valid(distance, 'integer'), false) then 'distance is not a number'
                 when distance::integer <= 0 then 'distance is not above zero' end,
            case when not coalesce(pg_input_is_valid(sched_dep_time, 'smallint'), false)
                 then 'sched_dep_time is not a time' end,
            case when not coalesce(pg_input_is_valid(sched_arr_time, 'smallint'), false)
                 then 'sched_arr_time is not a time' end,
            -- A key is the same however it is spelled, such as a flight number with a leading zero.
            case when row_number() over (
                     partition by as_of, carrier, origin,
                         case when pg_input_is_valid(flight, 'integer') then flight::integer::text else flight end
                     order by line
                 ) > 1 then 'a line before it has the same key' end
        ) as reason
    from staged
),
rejected as (
    insert into quarantine.rows (source, as_of, line, reason, payload)
    select 'schedule', as_of, line, reason, to_jsonb(judged) - 'as_of' - 'line' - 'reason'
    from judged
    where reason <> ''
)
insert into raw.schedule (
    as_of, line, flight_date, carrier, flight, origin, dest, distance, sched_dep_time, sched_arr_time
)
select
    as_of, line, flight_date::date, carrier, flight::integer, origin, dest, distance::integer,
    sched_dep_time::smallint, sched_arr_time::smallint
from judged
where reason = '';
