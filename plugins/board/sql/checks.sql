-- One row per check that did not pass, the newest first; `state` is that of the drop now.
select
    results.as_of, results.source, results.check_name, results.outcome, results.measured, results.first_day,
    partitions.state
from quality.check_results as results
left join quality.partitions as partitions using (as_of, source)
where results.outcome <> 'pass' and results.as_of between %(start)s and %(end)s
order by results.as_of desc, results.source, results.check_name
limit 200
