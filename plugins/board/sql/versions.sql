-- One row per registered model version.
select model_version, candidate, trained_as_of, fitted_from, fitted_through, mlflow_run_id, threshold
from ml.models
order by model_version
