"""Build features for a range of days, by hand: ingests what is missing, checks it, builds what is stale, in chunks.

`start` and `end` are included; no `views` named means all. The SQL is that of the daily DAGs. A bad day takes no other
along, and another run takes up what failed. Only the last day is announced, so that a year asks for one scoring and one
look at retraining. To live through days as they were, with their predictions, backfill `ingest_sources` instead.
"""

from airflow.sdk import Param, TriggerRule, dag, task

from include.core.datasets import FEATURES
from include.core.defaults import CHAIN_DEFAULTS
from include.dataops import backfill, staging
from include.project import domain

CHUNK = "{{ task.op_kwargs['chunk']['start'] }}"
MAPPED = {"map_index_template": CHUNK, "max_active_tis_per_dagrun": backfill.CHUNKS_AT_ONCE}
GOES_ON = {"trigger_rule": TriggerRule.ALL_DONE, **MAPPED}  # with what a chunk with a bad day left


@dag(
    schedule=None,
    params={
        "start": Param(domain.first_day.isoformat(), type="string", format="date"),
        "end": Param(domain.history_through.isoformat(), type="string", format="date"),
        "views": Param([], type="array", items={"type": "string", "enum": [view.name for view in domain.built_views]}),
        "rebuild": Param(False, type="boolean", description="Also days that are up to date."),
        "dry_run": Param(False, type="boolean", description="Only say what would be done."),
    },
    doc_md=__doc__,
    **{**CHAIN_DEFAULTS, "deadline": None},  # a range takes as long as it is long
)
def backfill_features():
    @task
    def plan_chunks(*, params=None) -> list[dict]:
        return backfill.plan(domain, params["start"], params["end"], params["views"], rebuild=params["rebuild"])

    @task.short_circuit
    def is_meant(*, params=None) -> bool:
        return not params["dry_run"]

    @task(**MAPPED)
    def ingest_chunk(chunk: dict, *, run_id=None) -> int:
        return backfill.ingest_missing(domain, chunk, run_id)

    @task
    def drop_staging(*, run_id=None) -> None:
        """Remove the text tables of the run, also those of a chunk that was killed."""
        staging.drop_tables(run_id)

    @task(**GOES_ON)
    def check_chunk(chunk: dict, *, run_id=None) -> int:
        return backfill.check_unchecked(domain, chunk, run_id)

    @task(**GOES_ON)
    def build_chunk(chunk: dict, *, params=None, run_id=None) -> dict[str, int]:
        return backfill.build_chunk(domain, chunk, params["views"], run_id, rebuild=params["rebuild"])

    @task(outlets=[FEATURES])
    def publish_features(*, params=None, run_id=None, outlet_events=None) -> None:
        """Announce the last day of the range, once every view holds all of it."""
        backfill.announce(params["end"], run_id)
        outlet_events[FEATURES].add_partitions(params["end"])

    chunks = plan_chunks()
    ingested, checked = ingest_chunk.expand(chunk=chunks), check_chunk.expand(chunk=chunks)
    chunks >> is_meant() >> ingested >> checked >> build_chunk.expand(chunk=chunks) >> publish_features()
    ingested >> drop_staging().as_teardown()


backfill_features()
