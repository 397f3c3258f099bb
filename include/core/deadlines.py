"""What happens when a run is not done in time: one alert, of kind 'late'.

A failure tells of itself. A task that hangs, a worker that is gone, a wait that outlives its own deadline do not: for
those, Airflow's scheduler looks at the clock. `core/defaults.py` says how long a run may take.
"""

from datetime import datetime
from typing import Any

from include.core import alerts


async def alert_late_run(context: dict[str, Any]) -> None:
    """What Airflow calls once for a run whose deadline has passed: `raise_if_late`, in the triggerer.

    There rather than on a worker: it has to run just when every worker is held, and not every executor runs callbacks.
    """
    from asgiref.sync import sync_to_async

    await sync_to_async(raise_if_late)(context["dag_run"], context["deadline"]["deadline_time"])


def raise_if_late(run: dict[str, Any], due: str | datetime) -> None:
    """Raise an alert about a run that should have been done by `due`; `run` is as Airflow's API shows it.

    Only a run at work is late. One that is done by now has nothing to be mended, or its failure was told before. One
    that has not begun stands in line behind others, which have deadlines of their own; so a year that is replayed, all
    of whose runs are queued at once, raises no alarm.
    """
    if run["state"] != "running":
        return
    alerts.raise_alert(
        alerts.day_of(run["partition_key"], run["conf"] or {}, _moment(run["run_after"])),
        "late",
        run["dag_id"],
        f"The run {run['dag_run_id']} is not done {_moment(due) - _moment(run['queued_at'])} after it was queued.",
        next_step="Open the run in Airflow: the task that is still running says in its log what it is at.",
    )


def _moment(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
