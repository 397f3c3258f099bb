"""Put a former champion back, by hand: what the bad one predicted is superseded, and those days are scored again.

Needs a `reason`. No `version` means the champion before this one, no `since` the day from which this one counts. It
says what would happen and waits for a yes under Browse, Required Actions; without one nothing is changed.
"""

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, dag, task

from include.core.datasets import CHAMPION
from include.core.defaults import CHAIN_DEFAULTS, answer_within, within
from include.modelops import rollback, rollback_plan
from include.project import domain


@dag(
    schedule=None,
    params={
        "reason": Param(type="string", minLength=rollback_plan.SHORTEST_REASON, description="Kept in ml.decisions."),
        "version": Param(None, type=["null", "integer"], minimum=1, description="Empty: the champion before."),
        "since": Param(None, type=["null", "string"], format="date", description="Empty: since its promotion."),
    },
    doc_md=__doc__,
    **{**CHAIN_DEFAULTS, "max_active_runs": 1, "deadline": within(answer_within(domain))},
)
def rollback_model():
    @task
    def plan_rollback(*, params=None) -> dict:
        return rollback_plan.plan(domain, params["version"], params["since"], params["reason"])

    confirm = HITLOperator(
        task_id="confirm",
        subject="Roll back to version {{ ti.xcom_pull('plan_rollback')['version'] }}?",
        body="{{ ti.xcom_pull('plan_rollback')['told'] }}",
        options=[rollback.YES, rollback.NO],
        defaults=[rollback.NO],
        response_timeout=answer_within(domain),
    )

    @task.short_circuit
    def is_confirmed(*, ti=None) -> bool:
        return rollback.is_confirmed(ti.xcom_pull(task_ids="confirm"))

    @task
    def roll_back(planned: dict, *, ti=None, run_id=None) -> dict:
        return rollback.roll_back(domain, planned, ti.xcom_pull(task_ids="confirm"), run_id)

    @task(outlets=[CHAMPION])
    def score_again(done: dict, *, run_id=None, outlet_events=None) -> None:
        """Announce the champion once, when its predictions are there too."""
        outlet_events[CHAMPION].extra = done | rollback.score_again(domain, done, run_id)
        outlet_events[CHAMPION].add_partitions(done["as_of"])

    planned = plan_rollback()
    done = roll_back(planned)
    planned >> confirm >> is_confirmed() >> done
    score_again(done)


rollback_model()
