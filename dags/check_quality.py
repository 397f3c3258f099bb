"""Check the drop of one as-of day with Soda Core. A failed check halts the day here; a warning alerts and goes on.

Replay a day by replaying `ingest_sources` for it. To accept a day as it is, trigger this DAG with the day as partition
key, `waive` and a `reason`: your name is recorded, and the chain goes on with that day.
"""

from airflow.sdk import Param, PartitionedAssetTimetable, dag, task

from include.core.calendar import as_of_day
from include.core.datasets import CHECKED, RAW
from include.core.defaults import CHAIN_DEFAULTS
from include.core.ledger import Passage
from include.dataops import quality
from include.project import domain


@dag(
    schedule=PartitionedAssetTimetable(assets=RAW),
    params={
        "waive": Param(False, type="boolean", description="Use the day although checks failed."),
        "reason": Param("", type="string", maxLength=1000, description="Why. Needed for a waiver."),
    },
    doc_md=__doc__,
    **CHAIN_DEFAULTS,
)
def check_quality():
    @task(outlets=[CHECKED])
    def check_drop(*, partition_key=None, run_id=None, params=None, dag_run=None) -> None:
        """Write the verdict of every check, and announce the day if none failed or a person accepts it."""
        day = as_of_day(partition_key)
        waiver = quality.Waiver.from_params(params, dag_run.triggering_user_name)
        quality.check_days(domain, day, day, run_id, Passage.CHAIN, waiver)

    check_drop()


check_quality()
