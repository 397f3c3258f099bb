"""Make what has to stand before the first drop: tables, the drops of the sample feed, the reference tables.

Runs once by itself, and by hand whenever the schema, a feature view or a reference file has changed: nothing that
exists is lost. A deployment with a real feed points LANDING_URI at it, and the sample feed finds nothing to do.
"""

import os
from datetime import UTC, datetime

from airflow.sdk import dag, task

from include.astro_sdk.reference import load_reference_tables
from include.core.defaults import CHAIN_DEFAULTS
from include.core.domain import load_object
from include.dataops import preparation
from include.project import domain

ASTRO_SDK_PYTHON = os.environ.get("ASTRO_SDK_PYTHON", "/usr/local/airflow/astro_sdk/bin/python")


@dag(schedule="@once", start_date=datetime(2013, 1, 1, tzinfo=UTC), doc_md=__doc__, **CHAIN_DEFAULTS)
def prepare_project():
    @task
    def create_tables() -> None:
        preparation.create_tables(domain)

    @task
    def write_sample_drops() -> int:
        return preparation.write_sample_drops(domain)

    @task
    def find_reference_files() -> dict[str, str]:
        return {name: str(load_object(path)()) for name, path in domain.reference.items()}

    load_reference = task.external_python(
        python=ASTRO_SDK_PYTHON, expect_airflow=False, inherit_env=False, task_id="load_reference_tables"
    )(load_reference_tables)(
        files=find_reference_files(),
        connection={
            "host": "{{ conn.warehouse.host }}",
            "port": "{{ conn.warehouse.port or 5432 }}",
            "schema": "{{ conn.warehouse.schema }}",
            "login": "{{ conn.warehouse.login }}",
            "password": "{{ conn.warehouse.password or '' }}",
        },
    )

    create_tables() >> load_reference
    write_sample_drops()


prepare_project()
