"""Decide about a challenger: promote it, ask a person, or reject it.

Both models are measured here on the same rows, which neither was fitted on. What is promoted takes effect the day
after the as-of day. Answer a question under Browse, Required Actions; unanswered, it is rejected at the deadline.
"""

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, PartitionedAssetTimetable, TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from include.core.calendar import as_of_day
from include.core.datasets import CHALLENGER, CHAMPION
from include.core.defaults import CHAIN_DEFAULTS, answer_within, within
from include.modelops import comparison, decisions
from include.modelops.decisions import DECISION_DEFAULTS
from include.modelops.gate import Route
from include.project import domain


@dag(
    schedule=PartitionedAssetTimetable(assets=CHALLENGER),
    doc_md=__doc__,
    **CHAIN_DEFAULTS
    | {"default_args": DECISION_DEFAULTS, "max_active_runs": 16, "deadline": within(answer_within(domain))},
)
def deploy_model():
    @task
    def compare_models(*, partition_key=None) -> dict:
        compared = comparison.compare(domain, as_of_day(partition_key))
        return compared | {"told": comparison.told(compared)}

    @task.branch
    def choose_route(compared: dict, *, partition_key=None, run_id=None) -> str:
        """Follow the gate; if a person is asked, scoring goes on meanwhile with the champion there is."""
        if compared["route"] == Route.ASK:
            decisions.ask(as_of_day(partition_key), compared, run_id)
        return compared["route"]

    ask_a_person = HITLOperator(
        task_id=Route.ASK.value,
        subject="Promote the challenger of {{ partition_key }}?",
        body="{{ ti.xcom_pull('compare_models')['told'] }}",
        options=list(decisions.ANSWERS),
        defaults=["Reject"],
        params={"reason": Param("", description="Why? Kept in ml.decisions beside your name.")},
        response_timeout=answer_within(domain),
    )

    @task.branch
    def follow_answer(*, ti=None) -> str:
        return decisions.route_of(ti.xcom_pull(task_ids=Route.ASK.value))

    @task(outlets=[CHAMPION], trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def promote(compared: dict, *, partition_key=None, run_id=None, ti=None, outlet_events=None) -> None:
        answer = ti.xcom_pull(task_ids=Route.ASK.value)
        promoted = decisions.promote(domain, as_of_day(partition_key), compared, answer, run_id)
        if promoted is None:
            raise AirflowSkipException("It is not the champion; ml.decisions says why.")
        outlet_events[CHAMPION].extra = promoted

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def reject(compared: dict, *, partition_key=None, run_id=None, ti=None) -> None:
        decisions.reject(domain, as_of_day(partition_key), compared, ti.xcom_pull(task_ids=Route.ASK.value), run_id)

    outcomes = [promote(compared := compare_models()), reject(compared)]
    choose_route(compared) >> [ask_a_person, *outcomes]
    ask_a_person >> follow_answer() >> outcomes


deploy_model()
