"""A warehouse with two trained versions, made once and copied for each test."""

from datetime import date
from pathlib import Path

import pytest

from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.warehouse.chain import build, ingest, vouch
from tests.warehouse.trained import train

FIRST_TRAINING, SECOND_TRAINING = date(2020, 3, 3), date(2020, 3, 5)


@pytest.fixture(scope="module")
def trained_template(toy_template, new_database, mlflow_server, tmp_path_factory) -> str:
    """A warehouse of the toy domain with all features and two registered versions, of both trainings."""
    import mlflow
    from airflow.sdk import ObjectStoragePath

    landing: Path = tmp_path_factory.mktemp("landing")
    name = new_database(toy_template)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", landing.as_uri())
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_tracking_uri(mlflow_server)
        feed.write_drops(ObjectStoragePath(landing.as_uri()), domain.first_day, domain.last_day)
        ingest(domain, domain.first_day, domain.last_day)
        vouch(domain, domain.first_day, domain.last_day)
        build(domain, domain.first_day, domain.last_day)
        for as_of in (FIRST_TRAINING, SECOND_TRAINING):
            train(domain, as_of)
    return name


@pytest.fixture
def trained(trained_template, new_database, registry_server) -> None:
    """A copy of that warehouse: versions 1 and 2, nothing decided, nothing scored."""
    new_database(trained_template)
