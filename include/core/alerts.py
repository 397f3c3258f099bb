"""One place for alerts: a row in `ml.alerts`, a line in the log, and a message to whom the connection `alerts` names.

The same alert of a day is kept once and sent once. It is sent at least once rather than at most once: its row is
committed as 'failed' before it is sent and says 'sent' afterwards, so that whoever is killed in between sends it again
when the task is tried again. Without the connection an alert is 'kept', and stays so when one is made later.
"""

import logging
from datetime import date, datetime
from typing import Any

from include.core import notify, warehouse

log = logging.getLogger(__name__)

LONGEST = 1500  # characters of a message that are sent; chats refuse what is longer than they like


def raise_alert(
    as_of: date,
    kind: str,
    subject: str,
    message: str,
    *,
    since: date | None = None,
    certainty: str = "",
    next_step: str = "",
    deliver: bool = True,
) -> None:
    """Keep, log and send an alert. Never raises: an alert that cannot be kept is sent, and one that can be neither is
    still in the log.

    `since` is the first day of what is told, `certainty` says from how much it is known, `next_step` what to do.
    `deliver=False` keeps it as 'withheld'.
    """
    log.warning("Alert of %s: %s: %s: %s", as_of, kind, subject, message)
    try:
        delivery = "withheld" if not deliver else "failed" if notify.is_connected() else "kept"
        alert = {"as_of": as_of, "kind": kind, "subject": subject}
        told: dict[str, Any] = {"message": message, "since": since, "certainty": certainty, "next_step": next_step}
        unsent = _keep(alert | told | {"delivery": delivery})
        if unsent and delivery == "failed" and notify.send(title(as_of, kind, subject), _body(**told)):
            _mark_sent(alert)
    except Exception:
        log.exception("This alert went no further than the log")


def title(as_of: date, kind: str, subject: str) -> str:
    """The first line of a message, as in '2013-02-03: task failed: score_batch.score_day'."""
    return " ".join(f"{as_of}: {kind.replace('_', ' ')}: {subject}".split())


def alert_on_failure(context: dict[str, Any]) -> None:
    """An `on_failure_callback`: says which task of which as-of day failed, and with what."""
    try:
        run, task = context["dag_run"], context["task_instance"]
        as_of = day_of(run.partition_key, context.get("params") or {}, run.run_after)
        subject = f"{task.dag_id}.{task.task_id}"
    except Exception:
        log.exception("No alert of this failure could be made")
        return
    raise_alert(as_of, "task_failed", subject, str(context.get("exception")))


def day_of(partition_key: str | None, params: Any, run_after: datetime) -> date:
    """The as-of day that an alert about a run is filed under: its partition, or the day that it was started about.

    A run by hand that names no day is about the chain as it stands: the last day that the ledger knows. Before there
    is one, while the project is prepared, only the calendar is left, and nothing but this row is dated by it.
    """
    for named in (partition_key, *(params.get(name) for name in ("end", "since", "restore_end"))):
        try:
            return date.fromisoformat(named)
        except (TypeError, ValueError):
            continue
    return _last_day() or run_after.date()


def _keep(row: dict[str, Any]) -> bool:
    """Keep a row; returns whether it is still to be sent, which it is when nobody can tell."""
    try:
        with warehouse.transaction() as cursor:
            cursor.execute(warehouse.statement("core/keep_alert"), row)
            return cursor.fetchone() == (True,)
    except Exception:
        log.exception("The alert could not be kept in ml.alerts")
        return True


def _mark_sent(alert: dict[str, Any]) -> None:
    with warehouse.transaction() as cursor:
        cursor.execute(warehouse.statement("core/alert_sent"), alert)


def _last_day() -> date | None:
    """The last day of the ledger; None also where it cannot be asked, for the failure may be just that."""
    try:
        with warehouse.transaction() as cursor:
            cursor.execute(warehouse.statement("core/last_day"))
            row = cursor.fetchone()
    except Exception:
        log.exception("The ledger could not be asked for its last day")
        return None
    return row[0] if row else None


def _body(message: str, since: date | None, certainty: str, next_step: str) -> str:
    lines = [message if len(message) <= LONGEST else f"{message[:LONGEST]} ... (all of it is in ml.alerts)"]
    if since:
        lines.append(f"Since: {since}")
    if certainty:
        lines.append(f"How sure: {certainty}")
    if next_step:
        lines.append(f"What to do: {next_step}")
    return "\n\n".join(lines)
