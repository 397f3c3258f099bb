-- One row per scored day of [start, end]: the measures over the labels that landed after its predictions were made.
-- ROC-AUC by the rank sum (Mann & Whitney 1947), average precision over descending probabilities, expected calibration
-- error over ten bins of equal width, cost per row from the decisions that were stored.
-- Sums are of type numeric, which adds up to the same in any order: a replay has to give the same bits.
with scored as (
    select as_of, model_version, entity_id, probability, decision
    from ml.predictions
    where as_of between %(start)s and %(end)s and not superseded
),
matured as (
    select scored.*, labels.label
    from scored
    join landed_labels as labels using (as_of, entity_id)
    where labels.landed > scored.as_of
),
by_probability as (
    select as_of, probability, count(*) as rows, count(*) filter (where label) as positives
    from matured
    group by as_of, probability
),
cumulated as (
    select
        as_of, rows, positives,
        sum(rows) over below as rows_below,
        sum(rows) over above as rows_above,
        sum(positives) over above as positives_above
    from by_probability
    window
        below as (partition by as_of order by probability),
        above as (partition by as_of order by probability desc)
),
ranking as (
    select
        as_of,
        -- A tie gets the mean of its ranks.
        sum(positives * (rows_below - (rows - 1) / 2.0)) as positive_ranks,
        sum(positives * positives_above::numeric / rows_above) as precision_sum
    from cumulated
    group by as_of
),
calibration as (
    select as_of, sum(abs(gap)) as gaps
    from (
        select as_of, sum(probability::numeric - label::integer) as gap
        from matured
        group by as_of, least(floor(probability * 10), 9)
    ) as bins
    group by as_of
),
totals as (
    select
        as_of,
        count(*) as rows,
        count(*) filter (where label) as positives,
        avg((probability::numeric - label::integer) ^ 2) as brier,
        avg(
            case
                when decision and not label then %(false_alarm)s
                when label and not decision then %(missed)s
                else 0
            end
        ) as cost
    from matured
    group by as_of
),
predicted as (
    select as_of, min(model_version) as model_version, count(*) as rows
    from scored
    group by as_of
)
insert into ml.performance (
    as_of, known_at, model_version, predictions, matured, coverage, provisional, positives, roc_auc,
    average_precision, brier, ece, cost
)
select
    predicted.as_of,
    %(known_at)s,
    predicted.model_version,
    predicted.rows,
    coalesce(totals.rows, 0),
    coalesce(totals.rows, 0)::double precision / predicted.rows,
    coalesce(totals.rows, 0)::double precision / predicted.rows < %(min_coverage)s,
    coalesce(totals.positives, 0),
    (ranking.positive_ranks - totals.positives * (totals.positives + 1) / 2.0)
        / nullif(totals.positives * (totals.rows - totals.positives), 0),
    ranking.precision_sum / nullif(totals.positives, 0),
    totals.brier,
    calibration.gaps / nullif(totals.rows, 0),
    totals.cost
from predicted
left join totals using (as_of)
left join ranking using (as_of)
left join calibration using (as_of)
