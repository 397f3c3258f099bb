"""Feature views: one SQL file and one table each, rebuilt for an interval of as-of days by one statement.

A history feature of day D is a sum over the drops up to D, so what was not known at the drop of D cannot be in it.
The training matrix and the matrix for scoring are the same query, `matrix`, with and without labels.
"""

import json
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import ledger, warehouse
from include.core.domain import Domain, Feature, FeatureView, days_between
from include.core.ledger import NotReadyError, Stage
from include.dataops import archive

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composable


def build(domain: Domain, views: Iterable[str], start: date, end: date, run_id: str) -> dict[str, int]:
    """Replace these views for `[start, end]`, in one transaction; returns the rows of each.

    Raises NotReadyError when a drop of a view's lookback is neither checked nor waived.
    """
    domain.check_days(start, end)
    # In the domain's order, so that two builds take their locks in the same one.
    chosen = sorted({domain.view(name) for name in views}, key=domain.views.index)
    lookback = max(view.lookback for view in chosen)
    first = start - timedelta(days=lookback - 1)
    archive.restore_missing(domain, first, end, run_id)
    rows = {}
    with warehouse.transaction() as cursor:
        archive.hold(cursor, domain, first, end)
        _require_usable(cursor, domain, lookback, start, end)
        read = _contents(cursor, first, end)
        for view in chosen:
            for month in sorted({f"{day:%Y-%m}" for day in days_between(start, end)}):
                warehouse.lock(cursor, "features", view.name, month)
            rows[view.name] = _replace(cursor, domain, view, start, end)
        for day in days_between(start, end):
            ledger.record(cursor, day, Stage.BUILT, run_id)
        if _contents(cursor, first, end) != read:
            raise NotReadyError(f"A drop of {first} to {end} was replaced while features were built. Clear this task.")
    return rows


def build_day(domain: Domain, as_of: date, run_id: str) -> dict[str, int]:
    """Replace every view for one day; returns the rows of each."""
    return build(domain, [view.name for view in domain.views], as_of, as_of, run_id)


def unusable_lookback(domain: Domain, as_of: date) -> str | None:
    """Which drops that the views of a day read are neither checked nor waived, in words; None when all may be used."""
    with warehouse.transaction() as cursor:
        return _unusable(cursor, domain, max(view.lookback for view in domain.views), as_of, as_of)


def create_tables(cursor: "Cursor", domain: Domain) -> None:
    """Make the table of every view and write the registry. Existing tables are kept."""
    from psycopg2 import sql

    for view in domain.views:
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type)) for column in _columns(view)
        )
        key = sql.SQL(", ").join(map(sql.Identifier, ("as_of", *_key(domain, view))))
        cursor.execute(
            sql.SQL("create table if not exists {} (as_of date not null, {}, primary key ({}))").format(
                sql.Identifier("features", view.name), columns, key
            )
        )
        cursor.execute(
            warehouse.statement("dataops/register_view"),
            {
                "view": view.name,
                "version": view.version,
                "entity": [column.name for column in view.entity],
                "owner": view.owner,
                "description": view.description,
                "lookback": view.lookback,
                "features": json.dumps({feature.name: feature.meaning for feature in view.features}),
            },
        )


def matrix(domain: Domain, *, labels: bool) -> "Composable":
    """The query of the model's rows: as_of, entity_id, every feature and, if asked for, the label.

    Bound parameters: `start` and `end` (as-of days) and, for labels, `known_at`: only outcomes that had landed by
    the drop of that day count. An equality join on `as_of` and entity, so nothing of another day can come in.
    """
    from psycopg2 import sql

    unit, *others = domain.views
    selected: list[Composable] = [
        sql.Identifier(unit.name, "as_of"),
        sql.SQL("{} as entity_id").format(entity_id(domain, unit.name)),
    ]
    selected += [sql.Identifier(view.name, feature.name) for view in domain.views for feature in view.features]
    joins = [
        sql.SQL("left join {} on {}").format(
            sql.Identifier("features", view.name),
            sql.SQL(" and ").join(
                sql.SQL("{} = {}").format(sql.Identifier(view.name, name), sql.Identifier(unit.name, name))
                for name in ("as_of", *(column.name for column in view.entity))
            ),
        )
        for view in others
    ]
    if labels:
        selected.append(sql.SQL("labels.label"))
        on = sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier("labels", name), sql.Identifier(unit.name, name))
            for name in ("as_of", *domain.unit_key)
        )
        joins.append(sql.SQL("join ({}) as labels on {}").format(sql.SQL(domain.sql("labels/labels")), on))
    return sql.SQL("select {} from {} {} where {} between %(start)s and %(end)s order by 1, 2").format(
        sql.SQL(", ").join(selected),
        sql.Identifier("features", unit.name),
        sql.SQL(" ").join(joins),
        sql.Identifier(unit.name, "as_of"),
    )


def entity_id(domain: Domain, table: str) -> "Composable":
    """The text that names one scored entity of a day, from the unit's key columns of `table`."""
    from psycopg2 import sql

    return sql.SQL("concat_ws('-', {}) collate \"C\"").format(
        sql.SQL(", ").join(sql.Identifier(table, name) for name in domain.unit_key)
    )


def read_matrix(
    domain: Domain, start: date, end: date, known_at: date | None = None
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """The rows of `[start, end]` as (keys, features); with `known_at`, those whose label had landed by then.

    See `split_matrix` for the shapes.
    """
    if known_at is not None:
        archive.restore_missing(domain, start, known_at)
    with warehouse.transaction() as cursor:
        if known_at is not None:  # labels are read from raw
            archive.hold(cursor, domain, start, known_at)
        warehouse.join_by_hash(cursor)
        query = matrix(domain, labels=known_at is not None)
        frame = warehouse.read_frame(cursor, query, {"start": start, "end": end, "known_at": known_at})
    return split_matrix(domain, frame)


def split_matrix(domain: Domain, frame: "pd.DataFrame") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Cut what `matrix` returned into keys and features.

    keys has as_of (datetime.date) and entity_id, and label (bool) if the frame has labels. Text features are of
    dtype object, all others float64; a null is NaN. The order of the rows is kept.
    """
    keys = frame[[name for name in ("as_of", "entity_id", "label") if name in frame]].copy()
    keys["as_of"] = [date.fromisoformat(day) for day in keys["as_of"]]
    if "label" in keys:
        keys["label"] = keys["label"] == "t"
    features = frame[[feature.name for feature in domain.features]]
    types = {feature.name: "object" if feature.type == "text" else "float64" for feature in domain.features}
    return keys, features.astype(types)


def _require_usable(cursor: "Cursor", domain: Domain, lookback: int, start: date, end: date) -> None:
    """Refuse to build on drops that nobody vouches for."""
    if told := _unusable(cursor, domain, lookback, start, end):
        raise NotReadyError(told[0].upper() + told[1:])


def _contents(cursor: "Cursor", start: date, end: date) -> list[tuple[Any, ...]]:
    """Which file each drop was loaded from, when, and what is thought of it."""
    cursor.execute(
        "select as_of, source, file_sha256, run_id, state from quality.partitions where as_of between %s and %s"
        " order by 1, 2",
        (start, end),
    )
    return cursor.fetchall()


def _unusable(cursor: "Cursor", domain: Domain, lookback: int, start: date, end: date) -> str | None:
    """Which drops of the lookback are neither checked nor waived, and what mends that; before the first day there is
    nothing to ask for.
    """
    first = max(domain.first_day, start - timedelta(days=lookback - 1))
    unusable = ledger.unusable_days(cursor, (source.name for source in domain.sources), first, end)
    if not unusable:
        return None
    told = ", ".join(f"{day} of {source} ({state})" for day, source, state in unusable[:6])
    more = f" and {len(unusable) - 6} more" if len(unusable) > 6 else ""
    days = sorted({day for day, _, _ in unusable})
    return (
        f"features of {start} to {end} read the drops from {first} on, and these are not checked: {told}{more}."
        f" Correct or waive what failed, and for what is missing run: airflow backfill create --dag-id ingest_sources"
        f" --from-date {days[0]} --to-date {days[-1]}T23:59:59 --reprocess-behavior completed"
    )


def _replace(cursor: "Cursor", domain: Domain, view: FeatureView, start: date, end: date) -> int:
    from psycopg2 import sql

    interval: dict[str, Any] = {"start": start, "end": end}
    table = sql.Identifier("features", view.name)
    cursor.execute(sql.SQL("delete from {} where as_of between %(start)s and %(end)s").format(table), interval)
    names = ("as_of", *(column.name for column in _columns(view)))
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    cursor.execute(
        sql.SQL("insert into {} ({}) select {} from ({}) as built").format(table, columns, columns, sql.SQL(view.sql)),
        interval,
    )
    rows = cursor.rowcount
    cursor.execute(
        sql.SQL("select as_of, count(*) from {} where as_of between %(start)s and %(end)s group by 1").format(table),
        interval,
    )
    counts = dict(cursor.fetchall())
    days = days_between(start, end)
    cursor.execute(
        warehouse.statement("dataops/record_features"),
        {
            "view": view.name,
            "version": view.version,
            "days": days,
            "counts": [counts.get(day, 0) for day in days],
        },
    )
    return rows


def _columns(view: FeatureView) -> list[Feature]:
    """The columns of the view's table after as_of: the entity, then the features that are not part of it."""
    entity = {column.name for column in view.entity}
    return [*view.entity, *(feature for feature in view.features if feature.name not in entity)]


def _key(domain: Domain, view: FeatureView) -> tuple[str, ...]:
    return domain.unit_key if view.name == domain.unit else tuple(column.name for column in view.entity)
