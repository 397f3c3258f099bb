"""One place for alerts: a row in `ml.alerts` and a line in the log. The same alert of a day is kept once."""

import logging
from datetime import date
from typing import Any

from include.core import warehouse

log = logging.getLogger(__name__)


def raise_alert(as_of: date, kind: str, subject: str, message: str) -> None:
    """Keep and log an alert. One that cannot be kept is logged all the same: an alert never fails a task."""
    from psycopg2 import Error

    log.warning("Alert of %s: %s: %s: %s", as_of, kind, subject, message)
    try:
        with warehouse.transaction() as cursor:
            cursor.execute(
                "insert into ml.alerts (as_of, kind, subject, message) values (%s, %s, %s, %s)"
                " on conflict (as_of, kind, subject) do update set message = excluded.message",
                (as_of, kind, subject, message),
            )
    except Error:
        log.exception("The alert could not be kept in ml.alerts")


def alert_on_failure(context: dict[str, Any]) -> None:
    """An `on_failure_callback`: says which task of which as-of day failed, and with what."""
    run = context["dag_run"]
    if run.partition_key:
        task = context["task_instance"]
        raise_alert(
            date.fromisoformat(run.partition_key),
            "task_failed",
            f"{task.dag_id}.{task.task_id}",
            str(context.get("exception")),
        )
