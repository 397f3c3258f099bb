-- One row: what the decisions of all final days cost, and what the first champion would have cost on the same rows.
-- Days that the first champion did not score are in neither sum.
select
    count(*) as days,
    min(as_of) as first_day,
    max(as_of) as last_day,
    coalesce(sum(matured), 0) as rows,
    sum(cost * matured) as cost,
    sum(baseline_cost * matured) as baseline_cost
from (
    select distinct on (as_of) as_of, matured, cost, baseline_cost, provisional
    from ml.performance
    where window_days = 1 and slice = '' and slice_group = ''
    order by as_of, known_at desc
) as looks
where not provisional and baseline_cost is not null and cost is not null
