"""Load the drop of one as-of day into `raw`, malformed rows into quarantine. The head of the chain.

Every run is one as-of day, its partition key. Replay days with `airflow backfill create --dag-id ingest_sources`,
and with `--reprocess-behavior completed` where they ran before, for example after a corrected drop: every day is
replaced, and the chain follows by itself.
"""

from airflow.sdk import CronPartitionTimetable, dag, task

from include.core.calendar import as_of_day, head_bounds
from include.core.datasets import RAW
from include.core.defaults import CHAIN_DEFAULTS
from include.core.ledger import Passage
from include.dataops import landing
from include.project import domain


@dag(
    schedule=CronPartitionTimetable(
        f"{domain.drop_at.minute} {domain.drop_at.hour} * * *", timezone=domain.timezone, key_format="%Y-%m-%d"
    ),
    doc_md=__doc__,
    **head_bounds(domain),
    **{**CHAIN_DEFAULTS, "max_active_runs": 1},
)
def ingest_sources():
    @task(outlets=[RAW])
    def load_drop(*, partition_key=None, run_id=None) -> dict[str, dict[str, int]]:
        """Replace every source's rows of the day, and announce them once all are in."""
        day = as_of_day(partition_key)
        counts = {source.name: landing.load_source(domain, source, day, day, run_id) for source in domain.sources}
        landing.record_ingested([day], run_id, Passage.CHAIN)
        return counts

    load_drop()


ingest_sources()
