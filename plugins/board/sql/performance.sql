-- One row per scored day (`window_days` 1) and per trailing window: the last look at all of its rows.
-- When the length of the window was changed, only windows of the present length are shown.
with present as (
    select window_days
    from ml.performance
    where window_days > 1 and slice = ''
    order by known_at desc, window_days desc
    limit 1
)
select distinct on (window_days, as_of)
    as_of, window_days, known_at, model_version, days, predictions, matured, coverage, provisional, positives, predicted,
    roc_auc, average_precision, brier, ece, cost, baseline_cost
from ml.performance
where slice = '' and slice_group = ''
    and as_of between %(start)s and %(end)s
    and window_days in (1, (select window_days from present))
order by window_days, as_of, known_at desc
