-- One row per calendar day of `[start, end]`: how far it came, stage by stage, and what stands out.
-- A day of which nothing is known is a row of nulls: it is missing. `coverage` and `provisional` are those of the last
-- look at its predictions.
with stages as (
    select
        as_of,
        max(state) filter (where stage = 'ingested') as ingested,
        max(state) filter (where stage = 'checked') as checked,
        max(state) filter (where stage = 'built') as built,
        max(state) filter (where stage = 'scored') as scored,
        max(state) filter (where stage = 'monitored') as monitored,
        max(state) filter (where stage = 'decided') as decided
    from quality.stages
    where as_of between %(start)s and %(end)s
    group by as_of
),
drops as (
    select
        as_of,
        string_agg(source, ', ' order by source) filter (where state = 'failed') as failed,
        string_agg(source, ', ' order by source) filter (where state = 'waived') as waived
    from quality.partitions
    where as_of between %(start)s and %(end)s
    group by as_of
),
looks as (
    select distinct on (as_of) as_of, coverage, provisional, matured
    from ml.performance
    where window_days = 1 and slice = '' and slice_group = '' and as_of between %(start)s and %(end)s
    order by as_of, known_at desc
)
select
    day::date as as_of, ingested, checked, built, scored, monitored, decided,
    drops.failed, drops.waived, looks.coverage, looks.provisional, looks.matured
from generate_series(%(start)s::date, %(end)s::date, interval '1 day') as day
left join stages on stages.as_of = day::date
left join drops on drops.as_of = day::date
left join looks on looks.as_of = day::date
order by day
