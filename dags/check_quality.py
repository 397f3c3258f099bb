"""Check the drop of one as-of day with Soda Core. A failed check halts the day here; a warning alerts and goes on.

Replay a day by replaying `ingest_sources` for it.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from include.core.calendar import as_of_day
from include.core.datasets import CHECKED, RAW
from include.core.defaults import CHAIN_DEFAULTS
from include.core.ledger import Passage
from include.dataops import quality
from include.project import domain


@dag(schedule=PartitionedAssetTimetable(assets=RAW), doc_md=__doc__, **CHAIN_DEFAULTS)
def check_quality():
    @task(outlets=[CHECKED])
    def check_drop(*, partition_key=None, run_id=None) -> None:
        """Write the verdict of every check, and announce the day if none failed."""
        day = as_of_day(partition_key)
        quality.check_days(domain, day, day, run_id, Passage.CHAIN)

    check_drop()


check_quality()
