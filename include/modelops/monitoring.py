"""Monitor a day: drift of its inputs and scores, performance where labels have matured, and what follows from both.

A day that was scored and never monitored is caught up by the next one, so that no gap stays. Everything is keyed by
the as-of day, and monitoring a day again leaves the same rows.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from include.core import alerts, ledger, warehouse
from include.core.domain import Domain
from include.core.ledger import Stage
from include.modelops import champion, drift_rows, performance, retraining
from include.modelops.retraining import Judgement, Seen, Told

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor


@dataclass(frozen=True)
class Outcome:
    """What a run of monitoring leads to: whether to train, and whether there is an alert to explain."""

    retrain: bool
    reason: str
    alerts: int


def monitor(domain: Domain, as_of: date, run_id: str) -> Outcome:
    """Monitor `as_of`, and before it the scored days that were left out; raise the alerts that are due.

    Only the answer of `as_of` asks for a training: one that was due on a day left out is due still.
    """
    with warehouse.transaction() as cursor:
        left_out = _left_out(cursor, as_of)
    for day in left_out:
        _measure(domain, day, run_id, retrain=False)
    judgement = _measure(domain, as_of, run_id)
    return Outcome(judgement.answer.retrain, judgement.answer.reason, len(judgement.alerts))


def _measure(domain: Domain, as_of: date, run_id: str, *, retrain: bool = True) -> Judgement:
    """Write drift, performance and judgement as known at the drop of `as_of`, and the ledger's row with the answer."""
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "monitoring", as_of)
        warehouse.join_by_hash(cursor)
        now = champion.change_on(cursor, as_of)
        psi = drift_rows.replace(cursor, domain, as_of, None if now is None else now.version)
        looked = performance.look(cursor, domain, as_of)
        performance.replace(cursor, looked)
        requested, matured_days = _training_facts(cursor, domain, as_of, looked)
        seen = Seen(
            as_of=as_of,
            champion=None if now is None else now.version,
            days=performance.matured_days(cursor, looked, now.version) if now else (),
            coverage=performance.coverage(cursor, looked),
            drift=psi,
            told=_told(cursor, as_of),
            days_since_request=requested,
            matured_days=matured_days,
        )
        judgement = retraining.judge(seen, domain.costs, domain.monitoring, domain.retraining, domain.windows)
        _keep(cursor, seen, judgement)
        detail = {"retrain": retrain and judgement.answer.retrain, "reason": judgement.answer.reason}
        ledger.record(cursor, as_of, Stage.MONITORED, run_id, detail=detail)
    # After the commit: what is told has to be there to be looked at.
    for alert in judgement.alerts:
        alerts.raise_alert(
            as_of,
            alert.kind,
            alert.subject,
            alert.message,
            since=alert.since,
            certainty=alert.certainty,
            next_step=alert.next_step,
            deliver=alert.within_budget,
        )
    return judgement


def _left_out(cursor: "Cursor", as_of: date) -> list[date]:
    """Days before `as_of` that were scored and not monitored, in order."""
    cursor.execute(warehouse.statement("modelops/not_monitored"), {"as_of": as_of})
    return [day for (day,) in cursor.fetchall()]


def _training_facts(cursor: "Cursor", domain: Domain, as_of: date, looked: performance.Look) -> tuple[int | None, int]:
    """Days since a training was last asked for, and the number of days with features and labels."""
    cursor.execute(
        warehouse.statement("modelops/retraining_facts"),
        {"as_of": as_of, "last_matured": looked.last, "unit": domain.unit},
    )
    days_since_request, matured_days = cursor.fetchone()  # type: ignore[misc]
    return days_since_request, matured_days


def _told(cursor: "Cursor", as_of: date) -> list[Told]:
    """The alerts that monitoring raised on earlier days."""
    cursor.execute(
        "select as_of, kind, subject from ml.alerts where as_of < %s and kind = any(%s) order by as_of, kind, subject",
        (as_of, list(retraining.KINDS)),
    )
    return [Told(*row) for row in cursor.fetchall()]


def _keep(cursor: "Cursor", seen: Seen, judgement: Judgement) -> None:
    """Replace the day's rows of `ml.judgements`."""
    cursor.execute("delete from ml.judgements where as_of = %s", (seen.as_of,))
    columns = ("state", "days", "value", "low", "high", "allowed", "since", "message")
    warehouse.copy_rows(
        cursor,
        "ml",
        "judgements",
        ("as_of", "model_version", "signal", *columns),
        (
            (seen.as_of, seen.champion, signal.name, *(getattr(signal, column) for column in columns))
            for signal in judgement.signals
        ),
    )
