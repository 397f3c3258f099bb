"""Rows of a query as JSON that is small and quick to draw: arrays by column, matrices by feature and day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

MEASURES = ("psi", "js_distance", "missing", "unseen")
DIGITS = 6


@dataclass(frozen=True)
class Table:
    """The names of the columns of a result, and its rows."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]


def by_column(table: Table) -> dict[str, list[Any]]:
    """One array for each column, as long as there are rows."""
    return {name: [plain(row[place]) for row in table.rows] for place, name in enumerate(table.names)}


def by_row(table: Table) -> list[dict[str, Any]]:
    """One object for each row."""
    return [dict(zip(table.names, map(plain, row), strict=True)) for row in table.rows]


def as_matrix(table: Table, start: date, end: date) -> dict[str, Any]:
    """The measures of drift, each a list of features times the days of `[start, end]`; None where nothing was measured.

    Features come in the order of their names, the scores ('probability') last. `missing_then` is the share in the
    reference on the last day that a feature was measured, and `model_version` the version of each day's reference.
    """
    days = (end - start).days + 1
    place = {name: index for index, name in enumerate(table.names)}
    features = sorted({row[place["feature"]] for row in table.rows}, key=lambda name: (name == "probability", name))
    line = {feature: index for index, feature in enumerate(features)}
    found: dict[str, Any] = {
        "features": features,
        "model_version": [None] * days,
        "missing_then": [None] * len(features),
        **{measure: [[None] * days for _ in features] for measure in MEASURES},
    }
    for row in table.rows:
        day, number = (row[place["as_of"]] - start).days, line[row[place["feature"]]]
        found["model_version"][day] = row[place["model_version"]]
        found["missing_then"][number] = plain(row[place["missing_then"]])
        for measure in MEASURES:
            value = row[place[measure]]
            found[measure][number][day] = plain(value, 4)
    return found


def plain(value: Any, digits: int = DIGITS) -> Any:
    """A value as JSON has it: days as text, numbers with `digits` after the point; not a number is None."""
    if isinstance(value, float | Decimal):
        number = float(value)
        return round(number, digits) if abs(number) < float("inf") else None
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value
