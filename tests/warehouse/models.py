"""Rows of ml.models for tests that need a version but no model."""

from datetime import date

from tests.warehouse.chain import execute


def add_model(version: int, trained_as_of: date = date(2020, 3, 3)) -> None:
    """Register a version in the warehouse alone; nothing happens when it is there."""
    execute(
        "insert into ml.models (model_version, trained_as_of, candidate, artifact_path, artifact_sha256,"
        " mlflow_run_id, fitted_from, fitted_through, data_hash, features, threshold)"
        " values (%s, %s, 'logistic_regression', '', '', '', %s, %s, '', '{}', 0.25) on conflict do nothing",
        (version, trained_as_of, date(2020, 2, 26), date(2020, 2, 28)),
    )
