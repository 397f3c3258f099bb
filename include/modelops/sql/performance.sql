-- One row per look: of each scored day of which labels still come or came with this drop, and of the trailing window
-- that ends with `last`; for all rows and for every group of every slice.
-- ROC-AUC by the rank sum (Mann & Whitney 1947), average precision over descending probabilities, expected calibration
-- error over ten bins of equal width, cost per row from the decisions that were stored.
with periods as (
    select as_of as ends, 1 as window_days, as_of
    from covered
    where as_of >= %(still_landing)s or as_of = any(%(late_days)s)
    union all
    select %(last)s, %(window)s, as_of
    from covered
    where as_of between %(window_start)s and %(last)s and share >= %(min_coverage)s
),
groups as (
    -- Sorted byte by byte, which takes a third of the time of a language's rules.
    select as_of, entity_id, '' collate "C" as slice, '' collate "C" as slice_group from looked_at
    union all
    select as_of, entity_id, slice collate "C", slice_group collate "C" from sliced
),
scored as (
    select periods.ends, periods.window_days, groups.slice, groups.slice_group, looked_at.*
    from periods
    join looked_at using (as_of)
    join groups using (as_of, entity_id)
),
by_probability as (
    select
        ends, window_days, slice, slice_group, probability,
        count(*) as rows,
        count(*) filter (where label) as positives
    from scored
    where label is not null
    group by ends, window_days, slice, slice_group, probability
),
cumulated as (
    select
        ends, window_days, slice, slice_group, rows, positives,
        sum(rows) over below as rows_below,
        sum(rows) over everything - sum(rows) over below + rows as rows_above,
        sum(positives) over everything - sum(positives) over below + positives as positives_above
    from by_probability
    window
        everything as (partition by ends, window_days, slice, slice_group),
        below as (partition by ends, window_days, slice, slice_group order by probability)
),
ranking as (
    select
        ends, window_days, slice, slice_group,
        -- A tie gets the mean of its ranks.
        sum(positives * (rows_below - (rows - 1) / 2.0)) as positive_ranks,
        sum(positives * positives_above::numeric / rows_above) as precision_sum
    from cumulated
    group by ends, window_days, slice, slice_group
),
calibration as (
    select ends, window_days, slice, slice_group, sum(abs(gap)) as gaps
    from (
        select ends, window_days, slice, slice_group, sum(gap) as gap
        from scored
        where label is not null
        group by ends, window_days, slice, slice_group, bin
    ) as bins
    group by ends, window_days, slice, slice_group
),
days as (
    select ends, window_days, count(*) as days
    from periods
    group by ends, window_days
),
totals as (
    select
        ends, window_days, slice, slice_group,
        max(model_version) filter (where as_of = ends) as model_version,
        max(model_version) as newest_version,
        count(*) as predictions,
        count(label) as rows,
        count(*) filter (where label) as positives,
        avg(predicted) as predicted,
        avg(gap * gap) as brier,
        avg(cost) as cost,
        -- Of all rows or of none: a part of them would be no fair comparison.
        case when count(first_cost) = count(label) then avg(first_cost) end as baseline_cost
    from scored
    group by ends, window_days, slice, slice_group
)
insert into ml.performance (
    as_of, known_at, window_days, slice, slice_group, model_version, days, predictions, matured, coverage, provisional,
    positives, predicted, roc_auc, average_precision, brier, ece, cost, baseline_cost
)
select
    totals.ends,
    %(known_at)s,
    totals.window_days,
    totals.slice,
    totals.slice_group,
    coalesce(totals.model_version, totals.newest_version),
    days.days,
    totals.predictions,
    totals.rows,
    totals.rows::double precision / totals.predictions,
    -- Whether a figure is final is known of the day as a whole, for every group alike.
    exists (
        select from covered
        where share < %(min_coverage)s
            and (
                covered.as_of = totals.ends
                or totals.window_days > 1 and covered.as_of between %(window_start)s and %(last)s
            )
    ),
    totals.positives,
    totals.predicted,
    (ranking.positive_ranks - totals.positives * (totals.positives + 1) / 2.0)
        / nullif(totals.positives * (totals.rows - totals.positives), 0),
    ranking.precision_sum / nullif(totals.positives, 0),
    totals.brier,
    calibration.gaps / nullif(totals.rows, 0),
    totals.cost,
    totals.baseline_cost
from totals
join days using (ends, window_days)
left join ranking using (ends, window_days, slice, slice_group)
left join calibration using (ends, window_days, slice, slice_group)
