"""Build one as-of day of every feature view from checked drops.

It waits, without a worker, until every drop of the lookback is checked or waived; what it waits for is an alert.
Replay a day by replaying `ingest_sources` for it; rebuild history with `backfill_features`.
"""

from functools import partial

from airflow.sdk import PartitionedAssetTimetable, dag

from include.core.datasets import CHECKED, FEATURES
from include.core.defaults import CHAIN_DEFAULTS, within
from include.core.waiting import WhenReady, wait_within
from include.dataops import feature_build
from include.project import domain


# Many runs may wait at once: a day that is mended must never find the line full of days that wait for it.
@dag(
    schedule=PartitionedAssetTimetable(assets=CHECKED),
    doc_md=__doc__,
    **{**CHAIN_DEFAULTS, "max_active_runs": 64, "deadline": within(wait_within(domain.quality_deadline))},
)
def build_features():
    WhenReady(
        task_id="build_views",
        look="include.dataops.readiness:unusable_lookback",
        work=partial(feature_build.build_day, domain),
        deadline=domain.quality_deadline,
        outlets=[FEATURES],
    )


build_features()
