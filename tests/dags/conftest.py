"""The bag of all DAGs, as the DAG processor would fill it."""

import pytest

from tests.conftest import REPO

DAG_FILES = sorted((REPO / "dags").glob("*.py"))


@pytest.fixture(scope="session")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(REPO / "dags")


@pytest.fixture(scope="session")
def scheduled(bag):
    """The DAGs as the scheduler sees them: written to JSON and read back."""
    from airflow.serialization.serialized_objects import DagSerialization

    return {name: DagSerialization.from_dict(DagSerialization.to_dict(dag)) for name, dag in bag.dags.items()}
