"""How the text of a value is read, and what can be wrong with it: the same for drops and for reference files, as SQL.

A value is read from its text only where Postgres says that it can be (`pg_input_is_valid`). Dates and moments must be
in ISO 8601, and a moment must have its offset: what Postgres knows besides (words like 'yesterday', days and months
in either order, a session's time zone, '12:00.00' as twelve minutes past midnight) would mean something else elsewhere.

The expressions are for statements that are run with bound parameters, where a percent sign stands twice.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from include.core.domain import Column

if TYPE_CHECKING:
    from psycopg2.sql import Composable, Composed

    Problem = tuple[Composable, str]

UNREADABLE = {
    "boolean": "is not yes or no",
    "smallint": "is not a whole number",
    "integer": "is not a whole number",
    "bigint": "is not a whole number",
    "double precision": "is not a number",
    "date": "is not a date (YYYY-MM-DD)",
    "timestamptz": "is not a moment with its offset (YYYY-MM-DDTHH:MM+00:00)",
}
READ = {
    "text": "nullif({text}, '')",
    # A date is one if Postgres writes it as it came.
    "date": """
        case when {text} like '____-__-__' and pg_input_is_valid({text}, 'date') then
            case when to_char({text}::date, 'YYYY-MM-DD') = {text} then {text}::date end
        end""",
    # The usual forms are told by where their digits are, twice as fast as the pattern. Their shape alone (`like`) is
    # not enough: Postgres reads 'T10:a0:3MZ' as three minutes past ten.
    "timestamptz": """
        case when (translate({text}, '012345678', '999999999') in ('9999-99-99T99:99:99Z', '9999-99-99T99:99:99+99:99')
                    or {text} ~ {moment})
                and pg_input_is_valid({text}, 'timestamptz')
            then {text}::timestamptz end""",
}
READ_OTHERS = "case when pg_input_is_valid({text}, {type_name}) then {text}::{type} end"
MOMENT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"


def read(column: Column, text: "Composable") -> "Composed":
    """The typed value of a text, null where it is empty or cannot be read."""
    from psycopg2 import sql

    return sql.SQL(READ.get(column.type, READ_OTHERS)).format(
        text=text, type_name=sql.Literal(column.type), type=sql.SQL(column.type), moment=sql.Literal(MOMENT)
    )


def problems(column: Column, text: "Composable", value: "Composable") -> Iterator["Problem"]:
    """(condition, reason) of what can be wrong with a value by itself; a condition that is null is no problem."""
    from psycopg2 import sql

    def fill(condition: str, bound: object = None) -> "Composed":
        return sql.SQL(condition).format(text=text, value=value, bound=literal(bound))

    if column.type != "text":
        yield fill("({value} is null and {text} <> '')"), UNREADABLE[column.type]
    if column.required:
        yield fill("coalesce({text}, '') = ''"), "is missing"
    if column.type == "text":
        yield fill("length({value}) > {bound}", column.longest), f"is longer than {column.longest} characters"
    if column.type == "double precision":
        yield fill("{value} - {value} <> 0"), "is not a finite number"
    if column.minimum is not None:
        yield fill("{value} < {bound}", column.minimum), f"is below {column.minimum:g}"
    if column.maximum is not None:
        yield fill("{value} > {bound}", column.maximum), f"is above {column.maximum:g}"
    if column.choices:
        allowed = ", ".join(column.choices)
        yield fill("{value} <> all ({bound})", list(column.choices)), f"is none of {allowed}"


def literal(value: object) -> "Composable":
    """A value within a statement that is run with bound parameters."""
    from psycopg2 import sql

    if isinstance(value, list):
        return sql.Literal([item.replace("%", "%%") for item in value])
    return sql.Literal(value.replace("%", "%%") if isinstance(value, str) else value)
