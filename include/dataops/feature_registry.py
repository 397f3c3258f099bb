"""The registry of the feature store: which views there are, in which version, and which of their days are stale."""

import json
from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Domain
from include.core.feature_view import FeatureView

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composed

MISSING = "missing"
OTHER_VERSION = "another version"
OTHER_DROPS = "other drops"

# Whoever reads several tables as one sees them all from before a change of their shape, or all from after it.
KEEP_OUT_CHANGES = "lock table features.views in share mode"
KEEP_READERS_OUT = "lock table features.views in share row exclusive mode"

# {view: {day: why it is stale}}
Stale = dict[str, dict[date, str]]


def register(cursor: "Cursor", domain: Domain) -> None:
    """Make what the domain's views need: its sql/schema, a table a view, and their rows in `features.views`.

    A view that has new columns gets them. If others are gone or changed, its table is made anew, and none of its days
    count as built any more. A view whose file is gone leaves the registry; its table stays.
    """
    warehouse.lock(cursor, "schema")
    cursor.execute(KEEP_READERS_OUT)
    for file in sorted((domain.folder / "sql" / "schema").glob("*.sql")):
        cursor.execute(file.read_text())
    for position, view in enumerate(domain.built_views):
        _make_table(cursor, domain, view)
        cursor.execute(
            warehouse.statement("dataops/register_view"),
            {
                "view": view.name,
                "position": position,
                "kind": view.kind,
                "version": view.version,
                "owner": view.owner,
                "description": view.description,
                "entity": [column.name for column in view.entity],
                "features": json.dumps(_meanings(view)),
                "lookback": view.lookback,
                "reach": view.reach,
                "reads": list(view.reads),
                "sources": list(view.sources),
            },
        )
    cursor.execute("delete from features.views where view <> all (%s)", ([view.name for view in domain.built_views],))


def ensure_registered(domain: Domain) -> None:
    """Register the domain's views unless the registry has them all in their present version."""
    declared = [(v.name, v.version, v.owner, v.description, _meanings(v)) for v in domain.built_views]
    with warehouse.transaction() as cursor:
        cursor.execute("select view, version, owner, description, features from features.views order by position")
        if cursor.fetchall() != declared:
            register(cursor, domain)


def stale_days(cursor: "Cursor", views: Iterable[FeatureView], start: date, end: date) -> Stale:
    """The days of `[start, end]` that a view lacks, or holds from other SQL or other drops than there are now."""
    known = {view.name: view.version for view in views}
    bound = {"views": list(known), "versions": list(known.values()), "start": start, "end": end}
    cursor.execute(warehouse.statement("dataops/stale_days"), bound)
    return {
        view: {day: state for _, day, state in rows}
        for view, rows in groupby(cursor.fetchall(), key=lambda row: row[0])
    }


def _make_table(cursor: "Cursor", domain: Domain, view: FeatureView) -> None:
    """Make the view's table as declared; rows of another shape are of no use, and can be built again."""
    from psycopg2 import sql

    declared = [("as_of", "date"), *((column.name, column.type) for column in view.columns)]
    key = ["as_of", *_key(domain, view)]
    cursor.execute(warehouse.statement("dataops/table_shape"), {"schema": "features", "table": view.name})
    shape = cursor.fetchall()
    have = [(name, kind) for name, kind, *_ in shape]
    keyed_by = [name for name, *_, place in sorted(shape, key=lambda column: column[-1] or 0) if place]
    if have and keyed_by == key and set(have) <= set(declared):
        for name, kind in declared:
            if (name, kind) not in have:
                cursor.execute(
                    sql.SQL("alter table {} add column {} {}").format(
                        table_of(view), sql.Identifier(name), sql.SQL(kind)
                    )
                )
        return
    cursor.execute(sql.SQL("drop table if exists {}").format(table_of(view)))
    for known in ("partitions", "statistics"):
        cursor.execute(
            sql.SQL("delete from {} where view = %s").format(sql.Identifier("features", known)), (view.name,)
        )
    cursor.execute(
        sql.SQL("create table {} ({}, primary key ({}))").format(
            table_of(view),
            sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in declared),
            sql.SQL(", ").join(map(sql.Identifier, key)),
        )
    )


def _meanings(view: FeatureView) -> dict[str, str]:
    return {feature.name: feature.meaning for feature in view.features}


def _key(domain: Domain, view: FeatureView) -> tuple[str, ...]:
    """What tells the rows of one day apart."""
    return domain.unit_key if view.name == domain.unit else tuple(column.name for column in view.entity)


def table_of(view: FeatureView) -> "Composed":
    """The view's table, as an identifier."""
    from psycopg2 import sql

    return sql.Composed([sql.Identifier("features", view.name)])


def intervals(days: Iterable[date]) -> list[tuple[date, date]]:
    """The runs of consecutive days, as (first, last)."""
    known = set(days)
    starts = sorted(day for day in known if date.fromordinal(day.toordinal() - 1) not in known)
    ends = sorted(day for day in known if date.fromordinal(day.toordinal() + 1) not in known)
    return list(zip(starts, ends, strict=True))


def only(stale: Stale, *states: str) -> Stale:
    """The days that are stale for one of these reasons."""
    kept = {view: {day: why for day, why in days.items() if why in states} for view, days in stale.items()}
    return {view: days for view, days in kept.items() if days}


def told(stale: Stale) -> str:
    """The stale days in words: 'ward_history 2020-02-26 to 2020-03-03 (another version)'."""
    parts = []
    for view, days in stale.items():
        for state in sorted(set(days.values())):
            ranges = intervals(day for day, why in days.items() if why == state)
            spans = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges[:3])
            more = f" and {len(ranges) - 3} more ranges" if len(ranges) > 3 else ""
            parts.append(f"{view} {spans}{more} ({state})")
    return "; ".join(parts)
