"""The drops of the toy domain, by formula: a drop lists today's visits and the outcomes that came in since the last."""

import csv
import io
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from include.core.domain import days_between
from tests.toy_domain.domain import domain

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

VISITORS = range(1, 9)
LATE = 3  # the visitor whose outcome comes in one drop later than the others', on every second day


def wards_csv() -> Path:
    """The reference file of wards."""
    return Path(__file__).parent / "wards.csv"


def write_drops(landing: "ObjectStoragePath", start: date, end: date) -> int:
    """Write the drops that are not there yet and return how many were written."""
    written = 0
    for day in days_between(start, end):
        file = landing / day.isoformat() / "visits.csv"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(as_csv(rows_of(day)))
            written += 1
    return written


def as_csv(rows: list[list[object]]) -> str:
    """The text of a drop that holds these rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([domain.sources[0].names, *rows])
    return text.getvalue()


def rows_of(day: date) -> list[list[object]]:
    """Today's visits, without their outcome, then the outcomes that landed since the drop before."""
    due = [[f"v{n}", ward(n), age(n), day, ""] for n in VISITORS]
    landed = [
        [f"v{n}", ward(n), age(n), visited, minutes(n, visited)]
        for visited in (day - timedelta(days=2), day - timedelta(days=1))
        for n in VISITORS
        if visited >= domain.first_day and visited + timedelta(days=2 if is_late(n, visited) else 1) == day
    ]
    return due + landed


def ward(n: int) -> str:
    return "north" if n % 2 else "south"


def age(n: int) -> int:
    return 10 + 10 * n


def is_late(n: int, visited: date) -> bool:
    return n == LATE and visited.toordinal() % 2 == 0


def minutes(n: int, visited: date) -> int:
    """Longer with age, and with a part that no feature tells: from 30 on a visit counts as long."""
    return age(n) // 2 + (5 * visited.toordinal() + 3 * n) % 17
