"""Measure one as-of day: drift, performance on matured labels, and whether a training is due.

A training is asked for by one signal only, `retrain_request`, and only on the days that need one.
Replay a day by replaying `ingest_sources` for it.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from include.core.calendar import as_of_day
from include.core.datasets import PREDICTIONS, RETRAIN_REQUEST
from include.core.defaults import CHAIN_DEFAULTS
from include.modelops import monitoring
from include.project import domain


@dag(schedule=PartitionedAssetTimetable(assets=PREDICTIONS), doc_md=__doc__, **CHAIN_DEFAULTS)
def monitor_drift():
    @task.short_circuit
    def measure_day(*, partition_key=None, run_id=None) -> bool:
        return monitoring.measure_day(domain, as_of_day(partition_key), run_id).retrain

    @task(outlets=[RETRAIN_REQUEST])
    def request_training() -> None:
        """Announce that a training is due; skipped on every other day."""

    measure_day() >> request_training()


monitor_drift()
