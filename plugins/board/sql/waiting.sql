-- One row per training whose decision waits for a person, the newest first: the version and what was asked.
select asked.as_of, models.model_version, models.candidate, models.mlflow_run_id, alerts.message
from quality.stages as asked
join lateral (
    select model_version, candidate, mlflow_run_id
    from ml.models
    where trained_as_of = asked.as_of
    order by model_version desc
    limit 1
) as models on true
left join ml.alerts as alerts on alerts.as_of = asked.as_of and alerts.kind = 'question'
where asked.stage = 'decided' and asked.state = 'asked'
order by asked.as_of desc
