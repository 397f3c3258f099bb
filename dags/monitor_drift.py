"""Monitor one as-of day: drift, performance on matured labels, harm, and whether a training is due.

A training is asked for by one signal only, `retrain_request`, and only on the days that need one. An alert is explained
by a report, which is kept with the model. A scored day that was never monitored is caught up by the next one.
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
    @task.branch
    def measure_day(*, partition_key=None, run_id=None) -> list[str]:
        outcome = monitoring.monitor(domain, as_of_day(partition_key), run_id)
        due = {"request_training": outcome.retrain, "explain_alert": bool(outcome.alerts)}
        return [name for name, is_due in due.items() if is_due]

    @task(outlets=[RETRAIN_REQUEST])
    def request_training() -> None:
        """Announce that a training is due; skipped on every other day."""

    @task
    def explain_alert(*, partition_key=None) -> str | None:
        from include.modelops import report

        return report.explain(domain, as_of_day(partition_key), domain.monitoring.window)

    measure_day() >> [request_training(), explain_alert()]


monitor_drift()
