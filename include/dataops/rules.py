"""Which lines of a drop are accepted: the statements that load what a source declares to be a valid row."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Column, Domain, Source
from include.dataops import values

if TYPE_CHECKING:
    from psycopg2.sql import Composable, Composed

    from include.dataops.values import Problem


class Loading:
    """The statements that load `raw.<source>` from `staging.<table>`, to be run in this order.

    Bound parameters: `source`; `start` and `end`; `days` (date[]) and `firsts` (bigint[]), the day and the first `__n`
    of each file.
    """

    def __init__(self, domain: Domain, source: Source, table: str) -> None:
        from psycopg2 import sql

        problems = list(_problems(domain, source))
        parts = {
            "raw": sql.Identifier("raw", source.name),
            "columns": _listed(map(sql.Identifier, source.names)),
            "key": _listed(map(sql.Identifier, source.key)),
            "key_of_repeated": _listed(sql.Identifier("repeated", name) for name in source.key),
            "key_of_known": _listed(sql.Identifier("known", name) for name in source.key),
            "known_key": _listed(sql.Identifier(f"__known_{name}") for name in source.key),
            "key_as_known": _listed(_renamed(sql.Identifier(name), f"__known_{name}") for name in source.key),
            "lines": sql.SQL(warehouse.statement("dataops/read_lines")).format(
                staged=sql.Identifier("staging", table),
                texts=_listed(_renamed(sql.Identifier("__staged", name), f"_{name}") for name in source.names),
                typed=_listed(
                    _renamed(values.read(column, sql.Identifier("__staged", column.name)), column.name)
                    for column in source.columns
                ),
            ),
            "wrong": _any(condition for condition, _ in problems),
            "reasons": _listed(
                sql.SQL("case when {} then {} end").format(condition, values.literal(reason))
                for condition, reason in problems
            ),
        }
        self.load_valid = sql.SQL(warehouse.statement("dataops/load_valid")).format(**parts)
        self.remove_repeated = sql.SQL(warehouse.statement("dataops/remove_repeated")).format(**parts)
        self.quarantine_rest = sql.SQL(warehouse.statement("dataops/quarantine_rest")).format(**parts)


def reference_tables(source: Source) -> list[str]:
    """The tables of the schema `reference` that its rows are compared with."""
    return sorted({column.reference.partition(".")[0] for column in source.columns if column.reference})


def _problems(domain: Domain, source: Source) -> Iterator["Problem"]:
    """(condition, reason) of what can be wrong with a line; a condition that is null is no problem.

    `name` is the typed value, null when it could not be read, and `_name` the text.
    """
    from psycopg2 import sql

    for column in source.columns:
        text, value = sql.Identifier(f"_{column.name}"), sql.Identifier(column.name)
        by_itself = values.problems(column, text, value)
        for condition, reason in (*by_itself, *_references(column), *_times(domain, column)):
            yield condition, f"{column.name} {reason}"
    for rule in source.rules:
        yield sql.SQL("({}) is false").format(sql.SQL(rule.condition.replace("%", "%%"))), rule.reason


def _references(column: Column) -> Iterator["Problem"]:
    from psycopg2 import sql

    if column.reference:
        table, _, known = column.reference.partition(".")
        yield (
            sql.SQL("{column} not in (select {known} from {table} where {known} is not null)").format(
                column=sql.Identifier(column.name),
                known=sql.Identifier(table, known),
                table=sql.Identifier("reference", table),
            ),
            f"is not in reference.{table}",
        )


def _times(domain: Domain, column: Column) -> Iterator["Problem"]:
    from psycopg2 import sql

    first, last = column.days or (None, None)
    if first is not None:
        yield _offset("{column} < as_of + {days}", column, first), f"is before {_day(first)}"
    if last is not None:
        yield _offset("{column} > as_of + {days}", column, last), f"is after {_day(last)}"
    if column.within_drop:
        at, zone = sql.Literal(domain.drop_at), sql.Literal(domain.timezone)
        for condition, reason in (
            ("{column} >= (as_of + {at}) at time zone {zone}", "is after the drop"),
            ("{column} < (as_of - 1 + {at}) at time zone {zone}", "is before the drop of the day before"),
        ):
            yield sql.SQL(condition).format(column=sql.Identifier(column.name), at=at, zone=zone), reason


def _offset(condition: str, column: Column, days: int) -> "Composed":
    from psycopg2 import sql

    return sql.SQL(condition).format(column=sql.Identifier(column.name), days=sql.Literal(days))


def _day(offset: int) -> str:
    return "the day of the drop" if offset == 0 else f"day {offset:+d} of the drop"


def _renamed(value: "Composable", name: str) -> "Composed":
    from psycopg2 import sql

    return sql.SQL("{} as {}").format(value, sql.Identifier(name))


def _listed(parts: Iterable["Composable"]) -> "Composed":
    from psycopg2 import sql

    return sql.SQL(", ").join(parts)


def _any(conditions: Iterable["Composable"]) -> "Composed":
    from psycopg2 import sql

    return sql.SQL("({})").format(sql.SQL(" or ").join([sql.SQL("false"), *conditions]))
