"""Train a challenger on what was known on the as-of day: a frozen snapshot, mapped candidates, one winner.

Starts when monitoring asks for it. To train by hand, trigger it with the as-of day as partition key.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from include.core.calendar import as_of_day
from include.core.compute import compute
from include.core.datasets import CHALLENGER, RETRAIN_REQUEST
from include.core.defaults import CHAIN_DEFAULTS
from include.modelops import training
from include.modelops.decisions import DECISION_DEFAULTS
from include.project import domain


@dag(
    schedule=PartitionedAssetTimetable(assets=RETRAIN_REQUEST),
    doc_md=__doc__,
    **{**CHAIN_DEFAULTS, "default_args": DECISION_DEFAULTS},
)
def train_model():
    @task
    def freeze_snapshot(*, partition_key=None) -> str:
        return training.freeze_snapshot(domain, as_of_day(partition_key))

    @task(map_index_template="{{ task.op_kwargs['candidate'] }}", **compute("train"))
    def validate_candidate(candidate: str, *, partition_key=None) -> dict[str, float]:
        return training.validate_candidate(domain, candidate, as_of_day(partition_key))

    @task(outlets=[CHALLENGER], **compute("train"))
    def register_challenger(data_hash: str, measured: list, *, partition_key=None, run_id=None) -> int:
        """Pick, fit on all but the gate window, register, and announce the version once."""
        named = dict(zip((c.name for c in domain.candidates), measured, strict=True))
        return training.register_challenger(domain, as_of_day(partition_key), data_hash, named, run_id)

    @task
    def drop_snapshot(*, partition_key=None) -> None:
        training.drop_snapshot(as_of_day(partition_key))

    snapshot = freeze_snapshot()
    with drop_snapshot().as_teardown(setups=snapshot):
        measured = validate_candidate.expand(candidate=[candidate.name for candidate in domain.candidates])
        snapshot >> measured
        register_challenger(snapshot, measured)


train_model()
