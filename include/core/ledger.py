"""The ledger of the chain: what each as-of day has been through. Stages ask it, never the order of events."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from include.core import warehouse

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor


class Stage(StrEnum):
    """The stages of a day, in order."""

    INGESTED = "ingested"
    CHECKED = "checked"
    BUILT = "built"
    SCORED = "scored"
    MONITORED = "monitored"
    DECIDED = "decided"


class Passage(StrEnum):
    """How a day went through ingestion and checks: down the chain, on to scoring, or only to fill the history."""

    CHAIN = "chain"
    BACKFILL = "backfill"


# The state of a drop that the ledger does not know.
NOT_INGESTED = "not ingested"


class NotReadyError(RuntimeError):
    """A day that a step needs is not there yet; the message names it and the command that mends it."""


def record(
    cursor: "Cursor",
    as_of: date,
    stage: Stage,
    run_id: str,
    *,
    state: str = "done",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write the day's row of this stage, in the caller's transaction; an earlier one is replaced."""
    cursor.execute(
        warehouse.statement("core/record_stage"),
        {"as_of": as_of, "stage": stage, "state": state, "detail": json.dumps(detail or {}), "run_id": run_id},
    )


def unusable_days(cursor: "Cursor", sources: Iterable[str], start: date, end: date) -> list[tuple[date, str, str]]:
    """The (day, source, state) of every partition of `[start, end]` that is neither checked nor waived."""
    cursor.execute(warehouse.statement("core/unusable_days"), {"sources": list(sources), "start": start, "end": end})
    return cursor.fetchall()


def undecided_before(cursor: "Cursor", as_of: date) -> str | None:
    """What the scoring of `as_of` has to wait for, in words, or None when it may go on."""
    cursor.execute(warehouse.statement("core/undecided_before"), {"as_of": as_of})
    row = cursor.fetchone()
    return None if row is None else f"{row[0]} {row[1]}"


def days_ahead(cursor: "Cursor", as_of: date) -> int:
    """How many days of the chain still have to be monitored before `as_of` can be scored."""
    cursor.execute(warehouse.statement("core/days_ahead"), {"as_of": as_of})
    row = cursor.fetchone()
    return row[0] if row else 0
