"""Rebuild features for a range of as-of days, by hand: ingests what is missing, checks it, builds in chunks.

Params: `start` and `end` (both included), and `views` (none named means all of them). The SQL is that of the daily
DAGs, run over a longer interval. Only the last day of the range is announced, so that a year of history asks for one
scoring and one look at retraining, not for hundreds. To replay the whole chain day by day, backfill `ingest_sources`.
"""

from airflow.sdk import Param, dag, task

from include.core.datasets import FEATURES
from include.core.defaults import CHAIN_DEFAULTS
from include.dataops import backfill, staging
from include.project import domain


@dag(
    schedule=None,
    params={
        "start": Param(domain.first_day.isoformat(), type="string", format="date"),
        "end": Param(domain.history_through.isoformat(), type="string", format="date"),
        "views": Param([], type="array", items={"type": "string", "enum": [v.name for v in domain.views]}),
    },
    doc_md=__doc__,
    **CHAIN_DEFAULTS,
)
def backfill_features():
    @task
    def plan_chunks(*, params=None) -> list[dict[str, str]]:
        return backfill.plan_chunks(domain, params["start"], params["end"])

    @task(map_index_template="{{ task.op_kwargs['chunk']['start'] }}")
    def ingest_chunk(chunk: dict[str, str], *, run_id=None) -> dict[str, str]:
        return backfill.ingest_missing(domain, chunk, run_id)

    @task
    def drop_staging(*, run_id=None) -> None:
        """Remove the text tables of the run, also those of a chunk that was killed."""
        staging.drop_tables(run_id)

    @task(map_index_template="{{ task.op_kwargs['chunk']['start'] }}")
    def check_chunk(chunk: dict[str, str], *, run_id=None) -> dict[str, str]:
        return backfill.check_unchecked(domain, chunk, run_id)

    @task(map_index_template="{{ task.op_kwargs['chunk']['start'] }}")
    def build_chunk(chunk: dict[str, str], *, params=None, run_id=None) -> dict[str, int]:
        return backfill.build_chunk(domain, chunk, params["views"], run_id)

    @task(outlets=[FEATURES])
    def publish_features(*, params=None, run_id=None, outlet_events=None) -> None:
        """Announce the last day of the range, once every view holds all of it."""
        backfill.announce(params["end"], run_id)
        outlet_events[FEATURES].add_partitions(params["end"])

    ingested = ingest_chunk.expand(chunk=plan_chunks())
    ingested >> drop_staging().as_teardown()
    checked = check_chunk.expand(chunk=ingested)
    build_chunk.expand(chunk=checked) >> publish_features()


backfill_features()
