"""Score one as-of day with the champion that was effective on it. With no champion it says so and goes on.

It waits, without a worker, until the day before is monitored and every training asked for before is decided; so a
month replayed in minutes gives the predictions of a month of mornings. Replay a day by replaying `ingest_sources`.
"""

from airflow.sdk import PartitionedAssetTimetable, TriggerRule, dag, task

from include.core.calendar import as_of_day
from include.core.datasets import FEATURES, PREDICTIONS
from include.core.defaults import CHAIN_DEFAULTS, within
from include.modelops import scoring
from include.modelops.waiting import WaitForDecisions
from include.project import domain


# Many runs may wait at once: a day that came late must never find the line full of days that wait for it.
@dag(
    schedule=PartitionedAssetTimetable(assets=FEATURES),
    doc_md=__doc__,
    **{**CHAIN_DEFAULTS, "max_active_runs": 64, "deadline": within(domain.decision_deadline)},
)
def score_batch():
    wait_for_decisions = WaitForDecisions(task_id="wait_for_decisions", deadline=domain.decision_deadline)

    @task(outlets=[PREDICTIONS], trigger_rule=TriggerRule.ALL_DONE)
    def score_day(*, partition_key=None, run_id=None) -> dict[str, int | None]:
        """Score, also when the deadline has passed: the champion there was is better than none."""
        return scoring.score_day(domain, as_of_day(partition_key), run_id)

    wait_for_decisions >> score_day()


score_batch()
