insert into ml.models (
    model_version, trained_as_of, candidate, artifact_path, artifact_sha256, mlflow_run_id, fitted_from,
    fitted_through, data_hash, features, threshold
)
values (
    %(model_version)s, %(trained_as_of)s, %(candidate)s, %(artifact_path)s, %(artifact_sha256)s, %(mlflow_run_id)s,
    %(fitted_from)s, %(fitted_through)s, %(data_hash)s, %(features)s, %(threshold)s
)
on conflict (model_version) do nothing
