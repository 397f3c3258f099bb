-- One row per look: of each scored day of which labels still come or came with this drop, and of the trailing window
-- that ends with `last`; for all rows and for every group of every slice.
-- ROC-AUC by the rank sum (Mann & Whitney 1947), average precision over descending probabilities, expected calibration
-- error over ten bins of equal width, cost per row from the decisions that were stored.
with periods as (
    select as_of - %(start)s as period, as_of as ends, 1 as window_days, as_of
    from covered
    where as_of >= %(still_landing)s or as_of = any(%(late_days)s)
    union all
    select -1, %(last)s, %(window)s, as_of
    from covered
    where as_of between %(window_start)s and %(last)s and share >= %(min_coverage)s
),
names as (
    select 0 as number, '' as slice, '' as slice_group
    union all
    select row_number() over (), slice, slice_group
    from (select distinct slice, slice_group from sliced) as found
),
groups as (
    select as_of, entity_id, 0 as number from looked_at
    union all
    select as_of, entity_id, number from sliced join names using (slice, slice_group)
),
-- Rows are grouped and sorted by the number of their cell: names would take twice the time.
scored as (
    select periods.period * 10000 + groups.number as cell, periods.as_of = periods.ends as is_last, looked_at.*
    from periods
    join looked_at using (as_of)
    join groups using (as_of, entity_id)
),
cells as (
    select period * 10000 + number as cell, ends, window_days, slice, slice_group, count(*) as days
    from periods
    cross join names
    group by period, ends, window_days, number, slice, slice_group
),
by_probability as (
    select cell, probability, count(*)::integer as rows, (count(*) filter (where label))::integer as positives
    from scored
    where label is not null
    group by cell, probability
),
cumulated as (
    select
        cell, rows, positives,
        sum(rows) over below as rows_below,
        sum(rows) over everything - sum(rows) over below + rows as rows_above,
        sum(positives) over everything - sum(positives) over below + positives as positives_above
    from by_probability
    window
        everything as (partition by cell),
        below as (partition by cell order by probability)
),
ranking as (
    select
        cell,
        -- Twice the ranks: a tie gets the mean of its ranks, which may be a half.
        sum(positives * (2 * rows_below - rows + 1)) as twice_positive_ranks,
        sum(positives * positives_above::numeric / rows_above) as precision_sum
    from cumulated
    where positives > 0
    group by cell
),
calibration as (
    select cell, sum(abs(gap)) as gaps
    from (
        select cell, sum(gap) as gap
        from scored
        where label is not null
        group by cell, bin
    ) as bins
    group by cell
),
totals as (
    select
        cell,
        max(model_version) filter (where is_last) as model_version,
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
    group by cell
)
insert into ml.performance (
    as_of, known_at, window_days, slice, slice_group, model_version, days, predictions, matured, coverage, provisional,
    positives, predicted, roc_auc, average_precision, brier, ece, cost, baseline_cost
)
select
    cells.ends,
    %(known_at)s,
    cells.window_days,
    cells.slice,
    cells.slice_group,
    coalesce(totals.model_version, totals.newest_version),
    cells.days,
    totals.predictions,
    totals.rows,
    totals.rows::double precision / totals.predictions,
    -- Whether a figure is final is known of the day as a whole, for every group alike.
    exists (
        select from covered
        where share < %(min_coverage)s
            and (
                covered.as_of = cells.ends
                or cells.window_days > 1 and covered.as_of between %(window_start)s and %(last)s
            )
    ),
    totals.positives,
    totals.predicted,
    (ranking.twice_positive_ranks / 2.0 - totals.positives * (totals.positives + 1) / 2.0)
        / nullif(totals.positives * (totals.rows - totals.positives), 0),
    ranking.precision_sum / nullif(totals.positives, 0),
    totals.brier,
    calibration.gaps / nullif(totals.rows, 0),
    totals.cost,
    totals.baseline_cost
from totals
join cells using (cell)
left join ranking using (cell)
left join calibration using (cell)
