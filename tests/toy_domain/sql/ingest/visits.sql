-- One row per line of the drops of [start, end]: typed into raw where every value is valid, else into quarantine.
with judged as materialized (
    select
        staged.*,
        concat_ws('; ',
            case when coalesce(visitor, '') = '' then 'visitor is missing' end,
            case when coalesce(ward, '') = '' then 'ward is missing' end,
            case when not coalesce(pg_input_is_valid(age, 'integer'), false) then 'age is not a number' end,
            case when visit_date is null or visit_date !~ '^\d{4}-\d\d-\d\d$'
                    or not pg_input_is_valid(visit_date, 'date') then 'visit_date is not a date'
                 when visit_date::date > as_of then 'visit_date is after the drop'
                 when visit_date::date = as_of and minutes is not null then 'minutes are known before the visit'
                 when visit_date::date < as_of and minutes is null then 'minutes are missing' end,
            case when not pg_input_is_valid(minutes, 'integer') then 'minutes are not a number' end,
            case when row_number() over (partition by as_of, visitor, visit_date order by line) > 1
                 then 'a line before it has the same key' end
        ) as reason
    from staged
),
rejected as (
    insert into quarantine.rows (source, as_of, line, reason, payload)
    select 'visits', as_of, line, reason, to_jsonb(judged) - 'as_of' - 'line' - 'reason'
    from judged
    where reason <> ''
)
insert into raw.visits (as_of, line, visitor, ward, age, visit_date, minutes)
select as_of, line, visitor, ward, age::integer, visit_date::date, minutes::integer
from judged
where reason = '';
