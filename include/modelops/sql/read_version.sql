select model_version, candidate, artifact_path, artifact_sha256, fitted_through, threshold
from ml.models
where model_version = %(version)s
