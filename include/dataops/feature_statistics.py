"""What the values of a feature are like, day by day: stored for monitoring and for people."""

from datetime import date
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.feature_view import Feature, FeatureView
from include.dataops.feature_registry import table_of

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composable

# How many values a text has is counted; of what can be added up, this is measured.
SUMS, ENDS = ("avg", "stddev_samp"), ("min", "max")
MEASURES = (*SUMS, *ENDS)
# What is added up in its place: a binary fraction adds up to something else in another order.
SUMMED_AS = {"boolean": "integer", "double precision": "numeric"}


def record(cursor: "Cursor", view: FeatureView, start: date, end: date) -> None:
    """Replace the statistics of a view for the days `[start, end]`, in the caller's transaction."""
    from psycopg2 import sql

    bound = {"view": view.name, "start": start, "end": end}
    cursor.execute(
        "delete from features.statistics where view = %(view)s and as_of between %(start)s and %(end)s", bound
    )
    described = [(feature, _aggregates(number, feature)) for number, feature in enumerate(view.features)]
    cursor.execute(
        sql.SQL(warehouse.statement("dataops/record_statistics")).format(
            table=table_of(view),
            aggregates=sql.SQL(", ").join(
                sql.SQL("{} as {}").format(aggregate, sql.Identifier(name))
                for _, aggregates in described
                for name, aggregate in aggregates.items()
            ),
            rows=sql.SQL(", ").join(_row(feature, aggregates) for feature, aggregates in described),
        ),
        bound,
    )


def _aggregates(number: int, feature: Feature) -> dict[str, "Composable"]:
    """Name and aggregate of everything that is measured of a feature. A long name plus a suffix would be cut off."""
    from psycopg2 import sql

    column = sql.Identifier(feature.name)
    found: dict[str, Composable] = {f"count_{number}": sql.SQL("count({})").format(column)}
    if feature.type in ("text", "date"):
        found[f"distinct_{number}"] = sql.SQL("count(distinct {})").format(column)
        return found
    compared = sql.SQL("{}::integer").format(column) if feature.type == "boolean" else column
    summed = sql.SQL("{}::{}").format(column, sql.SQL(SUMMED_AS.get(feature.type, feature.type)))
    for measure in MEASURES:
        value = summed if measure in SUMS else compared
        found[f"{measure}_{number}"] = sql.SQL("{}({})").format(sql.SQL(measure), value)
    return found


def _row(feature: Feature, aggregates: dict[str, "Composable"]) -> "Composable":
    """The row of a feature: its name, the day, rows, nulls, then the measures, null where they mean nothing."""
    from psycopg2 import sql

    counted, *measured = map(sql.Identifier, aggregates)
    parts: list[Composable] = [
        sql.Literal(feature.name),
        sql.SQL("as_of"),
        sql.SQL("row_count::integer"),
        sql.SQL("(row_count - {})::integer").format(counted),
    ]
    if len(measured) == len(MEASURES):
        parts += [sql.SQL("{}::double precision").format(name) for name in measured]
        parts.append(sql.SQL("null::integer"))
    else:
        parts += [sql.SQL("null::double precision")] * len(MEASURES)
        parts.append(sql.SQL("{}::integer").format(measured[0]))
    return sql.SQL("({})").format(sql.SQL(", ").join(parts))
