"""Act on the gate's route: ask a person, promote, or reject.

What a training of day D promotes is effective from D+1, since the scoring of D+1 waits for it. A decision that comes
later, like a person's answer, takes effect on the day after the last one scored: no stored prediction is contradicted.
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import ledger, warehouse
from include.core.alerts import alert_on_failure, raise_alert
from include.core.defaults import TASK_DEFAULTS
from include.core.domain import Domain
from include.core.ledger import Stage
from include.modelops import answers, card, champion
from include.modelops.champion import PROMOTED, REJECTED
from include.modelops.gate import Route

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

GATE_KEEPER = "gate"
ANSWERS = {"Promote": Route.PROMOTE, "Reject": Route.REJECT}


def ask(as_of: date, compared: dict[str, Any], run_id: str) -> None:
    """Write that a person is asked, so that scoring does not wait for the answer, and raise an alert."""
    with warehouse.transaction() as cursor:
        ledger.record(cursor, as_of, Stage.DECIDED, run_id, state="asked")
    raise_alert(
        as_of,
        "question",
        f"deploy_model.{Route.ASK}",
        f"Shall version {compared['challenger']} be promoted? {'; '.join(compared['reasons'])}."
        " Answer under Browse, Required Actions.",
    )


def promote(
    domain: Domain, as_of: date, compared: dict[str, Any], answer: dict[str, Any] | None, run_id: str
) -> dict[str, Any] | None:
    """Write the promotion, then let the aliases and the model card follow it. Repeating it, also after a crash
    anywhere in between, changes nothing more.

    `answer` is the XCom of the question, None when the gate promotes by itself. If the champion is no longer the one
    that the challenger was compared with, the challenger is rejected instead. Returns what the event of the promotion
    says, or None when the challenger is not the champion after all.
    """
    challenger = compared["challenger"]
    with warehouse.transaction() as cursor:
        champion.lock(cursor)
        if champion.standing(cursor, as_of, challenger) is None:
            known = champion.changes(cursor)
            present = known[-1].version if known else None
            if present == compared["champion"]:
                decided_on = max(as_of, champion.today(cursor, known) or as_of)
                _write(cursor, as_of, compared, PROMOTED, answer, decided_on + timedelta(days=1), run_id)
            else:
                late = f"it was compared with {_told(compared['champion'])}, and by now {_told(present)} is champion"
                _write(
                    cursor, as_of, compared | {"reasons": [*compared["reasons"], late]}, REJECTED, answer, None, run_id
                )
        outcome, decided_by, effective_from = _stands(cursor, as_of, challenger, run_id)
        known = champion.changes(cursor)
    _show(domain, challenger)
    if outcome != PROMOTED or known[-1].version != challenger:
        return None
    measured = (compared["comparison"].get("metrics") or {}).get("challenger") or {}
    return {
        "version": challenger,
        "previous": compared["champion"],
        "effective_from": str(effective_from),
        "decided_by": decided_by,
        "metrics": {name: found["value"] for name, found in measured.items()},
    }


def reject(domain: Domain, as_of: date, compared: dict[str, Any], answer: dict[str, Any] | None, run_id: str) -> None:
    """Write the rejection, unless something else was decided before; the champion stays what it is."""
    with warehouse.transaction() as cursor:
        _write(cursor, as_of, compared, REJECTED, answer, None, run_id)
        _stands(cursor, as_of, compared["challenger"], run_id)
    _show(domain, compared["challenger"])


def route_of(answer: Any) -> str:
    """The task that a person's answer leads to, from the XCom of the question. What is no clear yes is a no."""
    return ANSWERS.get(answers.read(answer).chosen or "", Route.REJECT).value


def give_up(context: dict[str, Any]) -> None:
    """An `on_failure_callback` of training and deployment: nothing will be decided, so scoring need not wait."""
    run = context["dag_run"]
    if run.partition_key:
        with warehouse.transaction() as cursor:
            cursor.execute(warehouse.statement("modelops/give_up"), {"as_of": run.partition_key, "run_id": run.run_id})


DECISION_DEFAULTS = {**TASK_DEFAULTS, "on_failure_callback": [alert_on_failure, give_up]}


def _write(
    cursor: "Cursor",
    as_of: date,
    compared: dict[str, Any],
    outcome: str,
    answer: dict[str, Any] | None,
    effective_from: date | None,
    run_id: str,
) -> None:
    asked = compared["route"] == Route.ASK
    told = answers.read(answer)
    champion.record(
        cursor,
        champion.Decision(
            as_of=as_of,
            challenger=compared["challenger"],
            champion=compared["champion"],
            route=compared["route"],
            outcome=outcome,
            decided_by=told.by if asked else GATE_KEEPER,
            reasons=compared["reasons"],
            metrics=compared["comparison"],
            effective_from=effective_from,
            comment=told.why if asked else "",
            run_id=run_id,
        ),
    )


def _stands(cursor: "Cursor", as_of: date, challenger: int, run_id: str) -> tuple[str, str, date | None]:
    """What is decided about the challenger, which the ledger says from now on."""
    decided = champion.standing(cursor, as_of, challenger)
    if decided is None:
        raise RuntimeError(f"The decision about version {challenger} was not kept.")
    ledger.record(cursor, as_of, Stage.DECIDED, run_id, state=decided[0])
    return decided


def _show(domain: Domain, challenger: int) -> None:
    """Let MLflow say what the warehouse says."""
    champion.follow(domain)
    card.publish(domain, challenger)


def _told(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
