"""Build one as-of day of every feature view from checked drops.

Replay a day by replaying `ingest_sources` for it; rebuild history with `backfill_features`.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from include.core.calendar import as_of_day
from include.core.datasets import CHECKED, FEATURES
from include.core.defaults import CHAIN_DEFAULTS
from include.dataops import feature_store
from include.project import domain


@dag(schedule=PartitionedAssetTimetable(assets=CHECKED), doc_md=__doc__, **CHAIN_DEFAULTS)
def build_features():
    @task(outlets=[FEATURES])
    def build_views(*, partition_key=None, run_id=None) -> dict[str, int]:
        """Replace the day in every view, in one transaction, and announce it."""
        day = as_of_day(partition_key)
        return feature_store.build(domain, [view.name for view in domain.views], day, day, run_id)

    build_views()


build_features()
