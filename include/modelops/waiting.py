"""Let the scoring of a day wait for what was asked for before it, without a worker.

The wait begins and ends in Airflow's triggerer, which looks at the ledger for every waiting day: no process is
started for it, and any number of days may wait. (A task that starts on a worker and is deferred from there can be
resumed before the scheduler has noticed that its first process ended, and is then taken for failed.)
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSuccessEvent

from include.core import ledger, warehouse

log = logging.getLogger(__name__)
# Each day of the chain takes longer than this, so a day looks less often the further back in the line it stands.
SECONDS_BETWEEN_LOOKS = 0.5


class WaitForDecisions(BaseOperator):
    """Succeed once the day before is monitored and every training asked for before the run's day is decided.

    Fails when the deadline passes, and is not retried: what follows has to cope with that.
    """

    template_fields: Sequence[str] = ("day",)
    start_from_trigger = True

    def __init__(self, *, deadline: timedelta, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "retries": 0})
        self.day = "{{ dag_run.partition_key }}"
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="include.modelops.waiting.ScoringIsFree",
            trigger_kwargs={"day": self.day},
            next_method="execute_complete",
            timeout=deadline,
        )


class ScoringIsFree(BaseTrigger):
    """Ends its task successfully when the scoring of a day has nothing to wait for any more."""

    def __init__(self, day: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.day = day

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes this object again."""
        return "include.modelops.waiting.ScoringIsFree", {"day": self.day}

    async def run(self) -> AsyncIterator[TaskSuccessEvent]:
        """Look at the ledger until it is so."""
        from asgiref.sync import sync_to_async

        as_of = date.fromisoformat(self.day)
        look, told = sync_to_async(pending_before), None
        while (pending := await look(as_of)) is not None:
            if pending.what != told:
                log.info("The scoring of %s waits: %s", as_of, pending.what)
                told = pending.what
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS * max(pending.days_ahead, 1))
        yield TaskSuccessEvent()


@dataclass(frozen=True)
class Pending:
    """What a day waits for, in words, and how many days stand before it in the line."""

    what: str
    days_ahead: int


def pending_before(as_of: date) -> Pending | None:
    """What the scoring of `as_of` has to wait for; None when it may go on.

    A warehouse that cannot be reached is waited for too: only the deadline may let a day go unguarded.
    """
    from psycopg2 import OperationalError

    try:
        with warehouse.transaction() as cursor:
            what = ledger.undecided_before(cursor, as_of)
            return None if what is None else Pending(what, ledger.days_ahead(cursor, as_of))
    except OperationalError as error:
        return Pending(f"the warehouse cannot be reached: {error}".strip(), days_ahead=10)
