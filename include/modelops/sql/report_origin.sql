-- One row: where the artifacts of a version are kept, and the days it was fitted on.
select mlflow_run_id, fitted_from, fitted_through
from ml.models
where model_version = %(version)s
