-- One row per version whose predictions count for days from `since` on: how many.
select model_version, count(*)
from ml.predictions
where as_of >= %(since)s and not superseded
group by model_version
order by model_version
