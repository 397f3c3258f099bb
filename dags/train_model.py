"""Train a challenger on what was known on the as-of day: a frozen snapshot, mapped candidates, one winner.

Starts when monitoring asks for it. To train by hand, trigger it with the as-of day as partition key. A candidate that
fails is left out; what the run made beside its version is removed at the end, however it ends.
"""

from airflow.sdk import PartitionedAssetTimetable, TriggerRule, dag, task, task_group

from include.core.calendar import as_of_day
from include.core.compute import compute
from include.core.datasets import CHALLENGER, RETRAIN_REQUEST
from include.core.defaults import CHAIN_DEFAULTS, within
from include.modelops import training
from include.modelops.decisions import DECISION_DEFAULTS
from include.project import domain


@dag(
    schedule=PartitionedAssetTimetable(assets=RETRAIN_REQUEST),
    doc_md=__doc__,
    user_defined_macros={"domain": domain},
    **{**CHAIN_DEFAULTS, "deadline": within(domain.decision_deadline)},
)
def train_model():
    @task(**DECISION_DEFAULTS)
    def freeze_snapshot(*, partition_key=None, run_id=None) -> dict:
        return training.freeze_snapshot(domain, as_of_day(partition_key), run_id)

    def try_candidates(where: str, names: list[str]) -> list[dict]:
        named = {"map_index_template": "{{ domain.candidate(task.op_kwargs['name']).title }}", **compute(where)}

        @task(**named)
        def fit_candidate(name: str, snapshot: dict) -> None:
            training.fit_candidate(domain, name, snapshot)

        @task(**named)
        def calibrate_candidate(name: str, snapshot: dict) -> None:
            training.calibrate_candidate(domain, name, snapshot)

        @task(**named)
        def validate_candidate(name: str, snapshot: dict) -> dict:
            return training.validate_candidate(domain, name, snapshot)

        @task_group(group_id=where)
        def candidate(name: str, snapshot: dict) -> dict:
            steps = (fit_candidate, calibrate_candidate, validate_candidate)
            fitted, calibrated, validated = (step(name=name, snapshot=snapshot) for step in steps)
            return fitted >> calibrated >> validated

        return candidate.partial(snapshot=snapshot).expand(name=names)

    @task(trigger_rule=TriggerRule.ALL_DONE, **DECISION_DEFAULTS)
    def collect_validated(groups: list) -> list[dict]:
        return training.collect(groups)

    @task(outlets=[CHALLENGER], **DECISION_DEFAULTS, **compute("train"))
    def register_challenger(snapshot: dict, validated: list) -> int:
        return training.register_challenger(domain, snapshot, validated)

    @task
    def remove_snapshot(*, partition_key=None, run_id=None) -> None:
        training.remove_snapshot(domain, as_of_day(partition_key), run_id)

    snapshot = freeze_snapshot()
    with remove_snapshot().as_teardown(setups=snapshot):
        groups = [try_candidates(*of_class) for of_class in domain.candidates_by_compute().items()]
        register_challenger(snapshot, collect_validated(groups))


train_model()
