"""How well scored days were predicted, as known at a drop: per day and over a trailing window, by slice.

Labels come late. A day is looked at on each drop on which its labels are still expected, and on any later one that
brings some; every look is kept. It is provisional until the coverage of labels reaches the domain's minimum, because
the outcomes that land first are no fair sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import EVENT_DAY, LABELS, Domain
from include.dataops import feature_store
from include.modelops import champion
from include.modelops.harm import MaturedDay
from include.modelops.retraining import Coverage

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

BINS = 10


@dataclass(frozen=True)
class Look:
    """What is looked at on the drop of `known_at`, as parameters of the statements.

    The window has `window` days and ends with `last`, the newest day whose labels should be complete. `late_days` are
    older days of which this drop brought labels, and `start` is the first day that is read at all.
    """

    known_at: date
    start: date
    still_landing: date
    late_days: list[date]
    window: int
    window_start: date
    last: date
    first_champion: int | None
    false_alarm: float
    missed: float
    min_coverage: float


def look(cursor: "Cursor", domain: Domain, known_at: date) -> Look:
    """Read the days that are due into temporary tables of the transaction; returns what they hold."""
    last = known_at - timedelta(days=domain.label_days)
    window_start = last - timedelta(days=domain.monitoring.window - 1)
    late_days = _late_days(cursor, domain, known_at, last)
    changes = champion.changes(cursor)
    found = Look(
        known_at=known_at,
        start=min([window_start, *late_days]),
        still_landing=last,
        late_days=late_days,
        window=domain.monitoring.window,
        window_start=window_start,
        last=last,
        first_champion=changes[0].version if changes else None,
        false_alarm=domain.costs.false_alarm,
        missed=domain.costs.missed,
        min_coverage=domain.min_coverage,
    )
    _read_labels(cursor, domain, found)
    _read_slices(cursor, domain, found)
    cursor.execute(warehouse.statement("modelops/matured_rows"), vars(found))
    return found


def replace(cursor: "Cursor", looked: Look) -> None:
    """Write the measures of what was looked at; those of an earlier look on the same drop are replaced."""
    cursor.execute("delete from ml.performance where known_at = %s", (looked.known_at,))
    cursor.execute(warehouse.statement("modelops/performance"), vars(looked))


def matured_days(cursor: "Cursor", looked: Look, version: int) -> list[MaturedDay]:
    """The final days of the window that a version scored, in order."""
    cursor.execute(warehouse.statement("modelops/matured_days"), {**vars(looked), "version": version})
    return [_matured_day(as_of, list(bins)) for as_of, bins in groupby(cursor.fetchall(), key=lambda row: row[0])]


def coverage(cursor: "Cursor", looked: Look) -> Coverage | None:
    """The share of labels of the newest scored day that should have them all; None while there is no such day."""
    cursor.execute(
        "select as_of, share from covered where as_of <= %(last)s and as_of >= %(window_start)s order by as_of desc",
        vars(looked),
    )
    shares = cursor.fetchall()
    if not shares:
        return None
    late_since = None
    for as_of, share in shares:
        if share >= looked.min_coverage:
            break
        late_since = as_of
    newest, share = shares[0]
    return Coverage(newest, share, looked.min_coverage, late_since)


def _matured_day(as_of: date, bins: Sequence[tuple[Any, ...]]) -> MaturedDay:
    gaps = [0.0] * BINS
    for _, number, *_, gap, _ in bins:
        gaps[number] = gap
    _, _, rows, positives, predicted, _, cost = zip(*bins, strict=True)
    return MaturedDay(as_of, sum(rows), sum(positives), sum(predicted), tuple(gaps), sum(cost))


def _late_days(cursor: "Cursor", domain: Domain, known_at: date, last: date) -> list[date]:
    """The scored days before `last` of which the drop of `known_at` brought labels."""
    from psycopg2 import sql

    cursor.execute(
        sql.SQL(
            "select distinct {day} from {labels} where as_of = %(known_at)s and {day} < %(last)s"
            " and exists (select from ml.predictions where predictions.as_of = {day}) order by 1"
        ).format(day=sql.Identifier(LABELS, EVENT_DAY), labels=sql.Identifier("features", LABELS)),
        {"known_at": known_at, "last": last},
    )
    return [day for (day,) in cursor.fetchall()]


def _read_labels(cursor: "Cursor", domain: Domain, looked: Look) -> None:
    from psycopg2 import sql

    cursor.execute(
        sql.SQL(
            "create temporary table landed_labels on commit drop as"
            " select {} as as_of, {} as entity_id, label, landed from ({}) as labels"
        ).format(
            sql.Identifier(EVENT_DAY), feature_store.entity_id(domain, "labels"), feature_store.landed_labels(domain)
        ),
        {"start": looked.start, "end": looked.known_at - timedelta(days=1), "known_at": looked.known_at},
    )


def _read_slices(cursor: "Cursor", domain: Domain, looked: Look) -> None:
    """A temporary table of the group of every row in every slice; a row without a value is 'missing'."""
    from psycopg2 import sql

    parts: list[sql.Composable] = [
        sql.SQL("select null::date as as_of, null::text as entity_id, '' as slice, '' as slice_group where false")
    ]
    bound: dict[str, Any] = {"start": looked.start, "end": looked.known_at - timedelta(days=1)}
    for number, part in enumerate(domain.slices):
        group: sql.Composable = sql.Identifier(part.feature)
        if part.groups:
            group_of = [(value, name) for name, values in part.groups.items() for value in values]
            bound |= {
                f"values_{number}": [value for value, _ in group_of],
                f"groups_{number}": [g for _, g in group_of],
            }
            group = sql.SQL("coalesce((%({})s::text[])[array_position(%({})s::text[], {})], 'other')").format(
                sql.SQL(f"groups_{number}"), sql.SQL(f"values_{number}"), group
            )
        parts.append(
            sql.SQL(
                "select as_of, entity_id, {}, case when {} is null then 'missing' else {} end from of_slices"
            ).format(sql.Literal(part.name), sql.Identifier(part.feature), group)
        )
    features = feature_store.statement(
        domain, labels=False, ordered=False, only={part.feature for part in domain.slices}
    )
    cursor.execute(
        sql.SQL("create temporary table sliced on commit drop as with of_slices as ({}) {}").format(
            features, sql.SQL(" union all ").join(parts)
        ),
        bound,
    )
