"""Make what has to stand before the first drop: tables, the drops of the sample feed, the reference tables.

Runs once by itself, and by hand whenever the schema, a feature view or a reference file has changed: nothing that
exists is lost. A deployment with a real feed points LANDING_URI at it, and the sample feed finds nothing to do.
Reference files are loaded by the Astro SDK, or by COPY where there is none; all tables change at once or none does.
"""

from datetime import UTC, datetime

from airflow.sdk import TriggerRule, dag, task

from include.astro_sdk import interpreter
from include.astro_sdk.reference import load_reference_files
from include.core.datasets import REFERENCE
from include.core.defaults import CHAIN_DEFAULTS
from include.dataops import preparation, reference
from include.project import domain

ONE_RUN = CHAIN_DEFAULTS | {"max_active_runs": 1}


@dag(schedule="@once", start_date=datetime(2013, 1, 1, tzinfo=UTC), doc_md=__doc__, **ONE_RUN)
def prepare_project():
    @task
    def create_tables() -> None:
        preparation.create_tables(domain)

    @task
    def write_sample_drops() -> int:
        return preparation.write_sample_drops(domain)

    @task
    def find_reference_files() -> dict[str, str]:
        return reference.find_files(domain)

    @task.branch
    def choose_way(ti) -> str | None:
        ti.xcom_push("way", way := reference.choose_way(domain))  # what a branch returns is not kept
        return way

    files = find_reference_files()
    with_astro_sdk = task.external_python(
        task_id=reference.Way.ASTRO_SDK.value,
        python=interpreter.configured_path(),
        expect_airflow=False,
        inherit_env=False,
        pre_execute=interpreter.hand_over_connection,
    )(load_reference_files)(files)
    without_astro_sdk = task(reference.load_files, task_id=reference.Way.COPY.value)(files)

    @task(outlets=[REFERENCE], trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def publish_reference(way: str, outlet_events) -> None:
        outlet_events[REFERENCE].extra = reference.publish(domain, reference.Way(way))

    published = publish_reference("{{ ti.xcom_pull('choose_way', key='way') }}")
    [create_tables(), files] >> choose_way() >> [with_astro_sdk, without_astro_sdk] >> published
    write_sample_drops()


prepare_project()
