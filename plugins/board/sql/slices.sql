-- One row per group of every slice, and one for all rows: the last look at the last trailing window.
with present as (
    select as_of, window_days, known_at
    from ml.performance
    where window_days > 1 and slice = '' and as_of <= %(end)s
    order by as_of desc, known_at desc, window_days desc
    limit 1
)
select
    slice, slice_group, performance.as_of, performance.days, predictions, matured, positives, predicted, roc_auc,
    average_precision, brier, ece, cost, baseline_cost
from ml.performance
join present using (as_of, window_days, known_at)
order by slice, matured desc, slice_group
