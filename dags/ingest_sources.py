"""Load the drop of one as-of day: valid rows into `raw`, the others into quarantine. The head of the chain.

A drop that has not arrived is waited for, without a worker, up to the deadline of the domain. Every run is one as-of
day, its partition key. Replay days with `airflow backfill create --dag-id ingest_sources`, and with
`--reprocess-behavior completed` where they ran before, for example after a corrected drop: every day is replaced, and
the chain follows by itself.
"""

from functools import partial

from airflow.sdk import CronPartitionTimetable, dag, task

from include.core.calendar import head_bounds
from include.core.datasets import RAW
from include.core.defaults import CHAIN_DEFAULTS, within
from include.core.waiting import WhenReady, wait_within
from include.dataops import landing, staging
from include.project import domain


@dag(
    schedule=CronPartitionTimetable(
        f"{domain.drop_at.minute} {domain.drop_at.hour} * * *", timezone=domain.timezone, key_format="%Y-%m-%d"
    ),
    doc_md=__doc__,
    **head_bounds(domain),
    **{**CHAIN_DEFAULTS, "max_active_runs": 1, "deadline": within(wait_within(domain.drop_deadline))},
)
def ingest_sources():
    stage_drop = WhenReady(
        task_id="stage_drop",
        look="include.dataops.readiness:missing_drop",
        work=partial(landing.stage_drop, domain),
        deadline=domain.drop_deadline,
    ).as_setup()

    @task(outlets=[RAW])
    def load_drop(staged: list, *, run_id=None) -> dict[str, dict[str, int]]:
        """Replace every source's rows of the day, and announce them once all are in."""
        return landing.load_drop(domain, staged, run_id)

    @task
    def drop_staging(*, run_id=None) -> None:
        staging.drop_tables(run_id)

    with drop_staging().as_teardown(setups=stage_drop):
        load_drop(stage_drop.output)


ingest_sources()
