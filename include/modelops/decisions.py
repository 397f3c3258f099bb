"""Put the gate to work: measure both models on the same rows, write the decision, move the alias.

What a training of day D promotes is effective from D+1, since the scoring of D+1 waits for it. A decision that comes
later, like a person's answer, takes effect on the day after the last one scored: no stored prediction is contradicted.
"""

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import ledger, warehouse
from include.core.alerts import alert_on_failure
from include.core.defaults import TASK_DEFAULTS
from include.core.domain import Domain
from include.core.ledger import Stage
from include.dataops import feature_store
from include.modelops import evaluation, gate, registry, training
from include.modelops.gate import Decision, Route, Scorecard

if TYPE_CHECKING:
    import numpy as np

GATE_KEEPER = "gate"
ANSWERS = {"Promote": Route.PROMOTE, "Reject": Route.REJECT}


def compare(domain: Domain, as_of: date) -> dict[str, Any]:
    """Score the challenger of `as_of` and the champion on the gate window and choose a route.

    Returns {"route", "reasons", "metrics", "challenger", "champion"}, all JSON. A champion that was fitted on days
    of the gate window would have seen the answers: then a person is asked instead.
    """
    window = training.cut(domain, as_of).gate
    keys, features = feature_store.training_set(domain, *window, known_at=as_of).frames()
    labels, days = keys["label"].to_numpy(), keys["as_of"].to_numpy()
    with warehouse.transaction() as cursor:
        mine = registry.challenger_of(cursor, as_of)
        theirs = registry.champion_on(cursor, as_of)
    cards, metrics = {}, {}
    for role, version in (("challenger", mine), ("champion", theirs)):
        if version is not None:
            probabilities = registry.load(domain, version).predict_proba(features)[:, 1]
            metrics[role] = evaluation.measures(labels, probabilities, domain.costs)
            cards[role] = _scorecard(domain, days, labels, probabilities, metrics[role])
    decision = gate.choose_route(cards["challenger"], cards.get("champion"), domain.gate)
    if theirs is not None and theirs.fitted_through >= window[0] and decision.route is Route.PROMOTE:
        decision = Decision(
            Route.ASK,
            (*decision.reasons, f"the champion was fitted through {theirs.fitted_through}, inside the window"),
        )
    return {
        "route": decision.route.value,
        "reasons": list(decision.reasons),
        "metrics": metrics,
        "challenger": mine.version,
        "champion": theirs.version if theirs else None,
    }


def ask(as_of: date, run_id: str) -> None:
    """Write that a person was asked, so that scoring does not wait for the answer."""
    with warehouse.transaction() as cursor:
        ledger.record(cursor, as_of, Stage.DECIDED, run_id, state="asked")


def promote(domain: Domain, as_of: date, compared: dict[str, Any], answered_by: str | None, run_id: str) -> None:
    """Write the promotion and move the alias. Repeating it, also after a crash in between, changes nothing more.

    `answered_by` is who was asked and said yes, or None when the gate promoted by itself.
    """
    with warehouse.transaction() as cursor:
        cursor.execute("select max(as_of) from quality.stages where stage = 'scored'")
        last_scored = cursor.fetchone()[0]  # type: ignore[index]
        effective = max(as_of, last_scored or as_of) + timedelta(days=1)
        _write(cursor, as_of, compared, "promoted", answered_by, effective, run_id)
        latest = registry.champion_on(cursor, date.max)
    if latest is not None:
        registry.set_champion(domain, latest.version)


def reject(as_of: date, compared: dict[str, Any], answered_by: str | None, run_id: str) -> None:
    """Write the rejection; the champion stays what it is."""
    with warehouse.transaction() as cursor:
        _write(cursor, as_of, compared, "rejected", answered_by, None, run_id)


def route_of(answer: dict[str, Any]) -> str:
    """The task that a person's answer leads to, from the XCom of the question."""
    return ANSWERS[answer["chosen_options"][0]].value


def answered_by(answer: dict[str, Any] | None) -> str | None:
    """Who answered a human-in-the-loop task, from its XCom; None when nobody was asked."""
    if answer is None:
        return None
    user = answer.get("responded_by_user")
    return user["name"] if user else "nobody, the deadline passed"


def give_up(context: dict[str, Any]) -> None:
    """An `on_failure_callback` of training and deployment: nothing will be decided, so scoring need not wait."""
    run = context["dag_run"]
    if run.partition_key:
        with warehouse.transaction() as cursor:
            cursor.execute(warehouse.statement("modelops/give_up"), {"as_of": run.partition_key, "run_id": run.run_id})


DECISION_DEFAULTS = {**TASK_DEFAULTS, "on_failure_callback": [alert_on_failure, give_up]}


def _write(
    cursor: Any,
    as_of: date,
    compared: dict[str, Any],
    outcome: str,
    answered_by: str | None,
    effective_from: date | None,
    run_id: str,
) -> None:
    cursor.execute(
        warehouse.statement("modelops/record_decision"),
        {
            "as_of": as_of,
            "challenger": compared["challenger"],
            "champion": compared["champion"],
            "route": compared["route"],
            "outcome": outcome,
            "decided_by": answered_by or GATE_KEEPER,
            "reasons": compared["reasons"],
            "metrics": json.dumps(compared["metrics"]),
            "effective_from": effective_from,
        },
    )
    ledger.record(cursor, as_of, Stage.DECIDED, run_id, state=outcome)


def _scorecard(
    domain: Domain, days: "np.ndarray", labels: "np.ndarray", probabilities: "np.ndarray", measured: dict[str, float]
) -> Scorecard:
    import numpy as np

    _, day_of_row = np.unique(days, return_inverse=True)
    costs = evaluation.row_costs(labels, probabilities, domain.costs)
    return Scorecard(
        roc_auc=measured["roc_auc"],
        ece=measured["ece"],
        day_costs=np.bincount(day_of_row, weights=costs).tolist(),
        day_rows=np.bincount(day_of_row).tolist(),
    )
