"""Let the scoring of a day wait for what was asked for before it, without a worker.

A waiting day is deferred: Airflow's triggerer looks at the ledger for all of them at once. A day that is next in line
waits on its worker for a few seconds instead, since in a replay the day before is only that far ahead.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.core import ledger, warehouse
from include.core.calendar import as_of_day

log = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds on the worker
POLL = 0.25  # seconds between two looks of the worker
TRIGGER_POLL = 1.0  # seconds between two looks of the triggerer


class WaitForDecisions(BaseOperator):
    """Succeed once the day before is monitored and every training asked for before the run's day is decided.

    Fails with a deferral timeout after `deadline`, and is not retried: what follows has to cope with that.
    """

    def __init__(self, *, deadline: timedelta, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "retries": 0})
        self.deadline = deadline

    def execute(self, context: Any, event: dict[str, Any] | None = None) -> None:
        """Look; wait here when the day is next in line; else, or if that took too long, give the worker back."""
        as_of = as_of_day(context["dag_run"].partition_key)
        day_before = as_of - timedelta(days=1)
        if pending_before(as_of) is None:
            return
        if pending_before(day_before) is not None:
            self._defer_until_free(day_before)
        give_up = time.monotonic() + PATIENCE
        while pending_before(as_of) is not None:
            if time.monotonic() > give_up:
                self._defer_until_free(as_of)
            time.sleep(POLL)

    def _defer_until_free(self, day: date) -> None:
        self.defer(trigger=ScoringIsFree(day.isoformat()), method_name="execute", timeout=self.deadline)


class ScoringIsFree(BaseTrigger):
    """Fires when the scoring of a day has nothing to wait for any more."""

    def __init__(self, day: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.day = day

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes this object again."""
        return "include.modelops.waiting.ScoringIsFree", {"day": self.day}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the ledger until it is so."""
        from asgiref.sync import sync_to_async

        look = sync_to_async(pending_before)
        while await look(date.fromisoformat(self.day)) is not None:
            await asyncio.sleep(TRIGGER_POLL)
        yield TriggerEvent({"day": self.day})  # type: ignore[no-untyped-call]


def pending_before(as_of: date) -> str | None:
    """What the scoring of `as_of` has to wait for, in words; None when it may go on."""
    with warehouse.transaction() as cursor:
        pending = ledger.undecided_before(cursor, as_of)
    if pending is not None:
        log.info("The scoring of %s waits: %s", as_of, pending)
    return pending
