"""Wait for what a day needs without holding a worker: looks are made in Airflow's triggerer.

`WhenReady` does the work of a day at once when nothing is in its way, which costs nothing, and gives its worker back
when something is. (A task that is deferred and resumed within seconds may be resumed before the scheduler has seen
its first process end, and is then taken for failed: so the first look from the triggerer is a late one. Waits that
may be short begin in the triggerer instead, see `modelops/waiting.py`.)
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.core import alerts
from include.core.calendar import as_of_day
from include.core.domain import load_object

log = logging.getLogger(__name__)
SECONDS_BEFORE_FIRST_LOOK = 15.0
SECONDS_BETWEEN_LOOKS = 20.0


class WaitedTooLongError(RuntimeError):
    """What a day needs did not come before the deadline; the message names it."""


def wait_within(deadline: timedelta) -> timedelta:
    """The deadline of the domain, or FLIGHTLINE_WAIT_SECONDS where nobody is there to bring what is missing."""
    seconds = os.environ.get("FLIGHTLINE_WAIT_SECONDS")
    return timedelta(seconds=int(seconds)) if seconds else deadline


class WhenReady(BaseOperator):
    """Call `work(as_of, run_id)` when `look(as_of)` has nothing to wait for; what it returns is the task's XCom.

    `look` is named as 'package.module:function', for the triggerer calls it too: it returns what the day waits for, in
    words, or None. The beginning of a wait raises an alert. After `deadline` the task fails with those words and is not
    tried again.
    """

    def __init__(self, *, look: str, work: Callable[[date, str], Any], deadline: timedelta, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.look, self.work, self.deadline = look, work, deadline

    def execute(self, context: Any) -> Any:
        """Work now, or wait."""
        as_of = as_of_day(context["dag_run"].partition_key)
        pending = load_object(self.look)(as_of)
        if pending is None:
            return self.work(as_of, context["run_id"])
        within = wait_within(self.deadline)
        alerts.raise_alert(as_of, "waits", f"{self.dag_id}.{self.task_id}", f"Waiting up to {within}: {pending}.")
        trigger = NothingInTheWay(self.look, as_of.isoformat(), time.time() + within.total_seconds())
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Any, event: dict[str, str | None]) -> Any:
        """Work after the wait, unless it was in vain."""
        if pending := event["pending"]:
            raise WaitedTooLongError(
                f"Waited {wait_within(self.deadline)} in vain: {pending}. When that is mended, clear this task."
            )
        return self.work(as_of_day(context["dag_run"].partition_key), context["run_id"])


class NothingInTheWay(BaseTrigger):
    """Fires when a day has nothing to wait for any more, or at `until` (seconds since 1970) with what it still is."""

    def __init__(self, look: str, day: str, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.look, self.day, self.until = look, day, until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes this object again."""
        return "include.core.waiting.NothingInTheWay", {"look": self.look, "day": self.day, "until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again. A look that fails is told and repeated: what it looks at may be back in a minute."""
        from asgiref.sync import sync_to_async

        look: Any = sync_to_async(load_object(self.look))
        pause = SECONDS_BEFORE_FIRST_LOOK
        while True:
            await asyncio.sleep(pause)
            try:
                pending = await look(date.fromisoformat(self.day))
            except ValueError:  # bad data stays bad: the task says what is wrong with it
                pending = None
            except Exception as error:  # noqa: BLE001 - whatever it is, the deadline ends it
                pending = f"it cannot be looked at ({error})"
            log.info("%s: %s", self.day, pending or "nothing to wait for any more")
            if pending is None or time.time() >= self.until:
                yield TriggerEvent({"pending": pending})  # type: ignore[no-untyped-call]
                return
            pause = min(SECONDS_BETWEEN_LOOKS, max(self.until - time.time(), 1.0))
