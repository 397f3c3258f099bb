"""How the text of a reference file becomes typed rows, and what is wrong with one that cannot.

An empty value is null, and so is NA, except in a column that must have a value: there it is text like any other.
Of a Column the type, `required`, `minimum`, `maximum`, `choices` and `longest` count; the rest is about drops.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from include.core.domain import Column, Reference
from include.dataops import values

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composed, Identifier

MISSING = "NA"
SHOWN = 5


def is_required(reference: Reference, column: Column) -> bool:
    """Whether a row without a value in this column is wrong."""
    return column.required or column.name in reference.key


def find_problems(cursor: "Cursor", reference: Reference, staged: "Identifier") -> str:
    """What is wrong with the staged lines, or an empty text."""
    return _find_values(cursor, reference, staged) or _find_repeated_keys(cursor, reference, staged)


def insertion(reference: Reference, staged: "Identifier", table: "Identifier") -> "Composed":
    """The statement that types what is staged and adds it to the table."""
    from psycopg2 import sql

    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in reference.columns)
    return sql.SQL("insert into {} ({}) select {} from {} as staged").format(
        table, names, sql.SQL(", ").join(_typed(reference, column) for column in reference.columns), staged
    )


def _find_values(cursor: "Cursor", reference: Reference, staged: "Identifier") -> str:
    from psycopg2 import sql

    checks = [
        sql.SQL("({}, {}, {})").format(sql.Literal(column.name), _value(reference, column), _problem(reference, column))
        for column in reference.columns
    ]
    cursor.execute(
        sql.SQL(
            "select _line, _name, _value, _problem, count(*) over () from ({}) as staged"
            " cross join lateral (values {}) as checked (_name, _value, _problem)"
            " where _problem is not null order by _line, _name limit {}"
        ).format(_numbered(reference, staged), sql.SQL(", ").join(checks), sql.Literal(SHOWN)),
        {},
    )
    found = cursor.fetchall()
    told = [
        f"{name} {problem} in line {line}" + ("" if value is None else f": {value[:100]!r}")
        for line, name, value, problem, _ in found
    ]
    return _list(told, found[0][-1]) if found else ""


def _find_repeated_keys(cursor: "Cursor", reference: Reference, staged: "Identifier") -> str:
    from psycopg2 import sql

    columns = {column.name: column for column in reference.columns}
    cursor.execute(
        sql.SQL(
            "select array[{texts}], array_agg(_line order by _line), count(*) over () from"
            " (select _line, {typed} from ({staged}) as staged) as typed"
            " group by {key} having count(*) > 1 order by min(_line) limit {shown}"
        ).format(
            texts=sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in reference.key),
            typed=sql.SQL(", ").join(
                sql.SQL("{} as {}").format(_typed(reference, columns[name]), sql.Identifier(name))
                for name in reference.key
            ),
            staged=_numbered(reference, staged),
            key=sql.SQL(", ").join(map(sql.Identifier, reference.key)),
            shown=sql.Literal(SHOWN),
        ),
        {},
    )
    found = cursor.fetchall()
    told = [
        f"the key {', '.join(reference.key)} = {', '.join(map(repr, key))} stands in the lines"
        f" {', '.join(map(str, lines[:SHOWN]))}"
        for key, lines, _ in found
    ]
    return _list(told, found[0][-1]) if found else ""


def _list(told: list[str], number: int) -> str:
    return "; ".join(told) + (f"; and {number - len(told)} more" if number > len(told) else "")


def _numbered(reference: Reference, staged: "Identifier") -> "Composed":
    """The declared columns of the staged lines and their number in the file, `_line`, where the header is line 1.

    Both ways append in the order of the file. No declared column begins with an underscore.
    """
    from psycopg2 import sql

    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in reference.columns)
    return sql.SQL("select row_number() over (order by ctid) + 1 as _line, {} from {}").format(names, staged)


def _value(reference: Reference, column: Column) -> "Composed":
    """The text of a value, or null."""
    from psycopg2 import sql

    nulls = ("",) if is_required(reference, column) else ("", MISSING)
    name = sql.Identifier("staged", column.name)
    return sql.SQL("case when {0} not in ({1}) then {0} end").format(name, sql.SQL(", ").join(map(sql.Literal, nulls)))


def _typed(reference: Reference, column: Column) -> "Composed":
    return values.read(column, _value(reference, column))


def _problem(reference: Reference, column: Column) -> "Composed":
    """An expression that is the first thing wrong with a value, or null."""
    from psycopg2 import sql

    strict = replace(column, required=is_required(reference, column))
    found = values.problems(strict, _value(reference, column), _typed(reference, column))
    whens = [sql.SQL("when {} then {}").format(condition, sql.Literal(told)) for condition, told in found]
    return sql.SQL("case {} end").format(sql.SQL(" ").join(whens))
