"""Who is champion on which day, and how that changes.

The warehouse knows: a row of `ml.decisions` makes a version champion from a day on, and the aliases in MLflow follow
it. Whoever writes such a row holds the lock of this module, and whoever scores a day shares it while it writes: so a
day is never scored by a version that has ceased to be champion of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Domain
from include.modelops import registry
from include.modelops.registry import ModelVersion

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

PROMOTED, REJECTED, ROLLED_BACK = "promoted", "rejected", "rolled_back"
LOCK = "champion"


@dataclass(frozen=True)
class Decision:
    """A row of `ml.decisions`: who decided what about a version, for which reasons, and from which day it counts.

    `as_of` is the day the training was asked for, of a rollback it is `today`. `champion` is the version that it was
    compared with or, in a rollback, that had to go. `effective_from` is None for a rejection.
    """

    as_of: date
    challenger: int
    champion: int | None
    route: str
    outcome: str
    decided_by: str
    reasons: Sequence[str]
    metrics: Mapping[str, Any]
    effective_from: date | None
    comment: str
    run_id: str


@dataclass(frozen=True)
class Change:
    """A change of the champion: which version came, which had to go if it was a rollback, and from which day on."""

    version: int
    rolled_back: int | None
    effective_from: date


def changes(cursor: "Cursor") -> list[Change]:
    """Every change of the champion, in the order in which they were decided: of two about one day the later counts."""
    cursor.execute(warehouse.statement("modelops/champion_changes"))
    return [Change(*row) for row in cursor.fetchall()]


def counting(known: Sequence[Change], day: date) -> Change | None:
    """The change, of all that are known, that made the champion of `day`, or None when there was none yet."""
    return next((change for change in reversed(known) if change.effective_from <= day), None)


def change_on(cursor: "Cursor", day: date) -> Change | None:
    """The change that made the champion of `day`, or None when there was none yet."""
    return counting(changes(cursor), day)


def on(cursor: "Cursor", day: date) -> ModelVersion | None:
    """The champion that is effective on `day`, or None when there is none."""
    change = change_on(cursor, day)
    return None if change is None else registry.read_version(cursor, change.version)


def first(cursor: "Cursor") -> ModelVersion | None:
    """The first champion there ever was, whatever became of it; None when there was none yet."""
    known = changes(cursor)
    return registry.read_version(cursor, known[0].version) if known else None


def before(known: Sequence[Change]) -> int | None:
    """The version to go back to: the last champion before the present one that was not itself rolled back."""
    gone: set[int] = set()
    for change in known:
        gone.discard(change.version)
        if change.rolled_back is not None:
            gone.add(change.rolled_back)
    present = {known[-1].version} if known else set()
    return next((change.version for change in reversed(known) if change.version not in gone | present), None)


def last_scored(cursor: "Cursor") -> date | None:
    """The last day that went through scoring, with or without a champion; None before the first."""
    cursor.execute("select max(as_of) from quality.stages where stage = 'scored'")
    row = cursor.fetchone()
    return row[0] if row else None


def scored_since(cursor: "Cursor", day: date) -> list[date]:
    """The days from `day` on that went through scoring, in order."""
    cursor.execute(warehouse.statement("modelops/scored_days"), {"since": day})
    return [scored for (scored,) in cursor.fetchall()]


def today(cursor: "Cursor", known: Sequence[Change]) -> date | None:
    """The day on which a change would be decided now: the last that was scored, or the eve of the last change if that
    is later, so that no change is ordered before one that was decided earlier. None when there is neither.
    """
    scored = last_scored(cursor)
    eve = known[-1].effective_from - timedelta(days=1) if known else None
    return max((day for day in (scored, eve) if day), default=None)


def lock(cursor: "Cursor") -> None:
    """Let nobody else change the champion or write predictions until the transaction ends. Taken before reading what
    the change depends on.
    """
    warehouse.lock(cursor, LOCK)


def standing(cursor: "Cursor", as_of: date, challenger: int) -> tuple[str, str, date | None] | None:
    """Outcome, who decided, and first day of what was decided about a challenger; None while nothing is."""
    cursor.execute(warehouse.statement("modelops/standing_decision"), {"as_of": as_of, "challenger": challenger})
    return cursor.fetchone()


def record(cursor: "Cursor", decision: Decision) -> None:
    """Write a decision. About a challenger the first stands, and so does the first rollback of a run: a retry changes
    nothing. Holds the lock of the champion until the transaction ends.
    """
    lock(cursor)
    cursor.execute(
        warehouse.statement("modelops/record_decision"),
        {
            **vars(decision),
            "reasons": list(decision.reasons),
            "metrics": json.dumps(decision.metrics),
        },
    )


def follow(domain: Domain) -> None:
    """Let the aliases `champion` and `previous` in MLflow name what the warehouse says. Safe to repeat.

    One at a time, and the last one reads the last change. The lock is another than that of the champion: when MLflow
    hangs, scoring goes on.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, LOCK, "aliases")
        known = changes(cursor)
        wanted = {"champion": known[-1].version if known else None, "previous": before(known)}
        have = client.get_registered_model(domain.name).aliases
        for alias, version in wanted.items():
            if version is not None:
                client.set_registered_model_alias(domain.name, alias, str(version))
            elif alias in have:
                client.delete_registered_model_alias(domain.name, alias)
