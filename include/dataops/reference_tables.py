"""The tables of the schema `reference`, made as the domain declares them and replaced as a whole."""

from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Domain, Reference
from include.dataops import reference_rules

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Identifier

# (column, type, must have a value, place in the key) of each column.
Shape = list[tuple[str, str, bool, int | None]]
MEND = "Mend the file, or change the domain's Reference, and run prepare_project again. The tables are as they were."


class BadReferenceError(ValueError):
    """A reference file that cannot be loaded; the message says what is wrong with it. No table has changed."""


def create_tables(cursor: "Cursor", domain: Domain) -> None:
    """Make the tables that are not there yet, empty. One of another shape stays until its file is loaded."""
    for reference in domain.reference:
        if not shape(cursor, reference.name):
            _create(cursor, reference)


def replace(cursor: "Cursor", reference: Reference) -> int:
    """Replace the rows of a table, and the table itself when it has not the declared shape; returns the rows."""
    from psycopg2 import errors, sql

    table = _table(reference)
    have, wanted = shape(cursor, reference.name), _wanted(reference)
    if have == wanted:
        cursor.execute(sql.SQL("delete from {}").format(table))
        _describe(cursor, reference)
    else:
        try:
            cursor.execute(sql.SQL("drop table if exists {}").format(table))
        except errors.DependentObjectsStillExist as error:
            raise BadReferenceError(
                f"{full_name(reference)} has to be made anew, for its columns are not those that the domain declares"
                f" (different: {_difference(have, wanted)}), and {error.diag.message_detail}. Drop what depends on it,"
                " run prepare_project again, and make it anew. The tables are as they were."
            ) from error
        _create(cursor, reference)
    cursor.execute(reference_rules.insertion(reference, staging(reference.name), table), {})
    return cursor.rowcount


def _create(cursor: "Cursor", reference: Reference) -> None:
    from psycopg2 import sql

    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.type),
            sql.SQL(" not null" if reference_rules.is_required(reference, column) else ""),
        )
        for column in reference.columns
    ]
    key = sql.SQL("primary key ({})").format(sql.SQL(", ").join(map(sql.Identifier, reference.key)))
    cursor.execute(sql.SQL("create table {} ({})").format(_table(reference), sql.SQL(", ").join([*columns, key])))
    _describe(cursor, reference)


def _describe(cursor: "Cursor", reference: Reference) -> None:
    from psycopg2 import sql

    for column in reference.columns:
        name = sql.Identifier("reference", reference.name, column.name)
        cursor.execute(sql.SQL("comment on column {} is {}").format(name, sql.Literal(column.meaning)))


def shape(cursor: "Cursor", table: str, schema: str = "reference") -> Shape:
    """(column, type, must have a value, place in the key) of a table's columns; empty when there is no table."""
    cursor.execute(warehouse.statement("dataops/table_shape"), {"schema": schema, "table": table})
    return cursor.fetchall()


def _wanted(reference: Reference) -> Shape:
    types = {"timestamptz": "timestamp with time zone"}
    return [
        (
            column.name,
            types.get(column.type, column.type),
            reference_rules.is_required(reference, column),
            reference.key.index(column.name) + 1 if column.name in reference.key else None,
        )
        for column in reference.columns
    ]


def _difference(have: Shape, wanted: Shape) -> str:
    changed = {name for name, *_ in set(have) ^ set(wanted)}
    return ", ".join(sorted(changed)) or "their order"


def staging(name: str) -> "Identifier":
    """The table that the file of `reference.<name>` is staged in."""
    from psycopg2 import sql

    return sql.Identifier("staging", f"reference_{name}")


def _table(reference: Reference) -> "Identifier":
    from psycopg2 import sql

    return sql.Identifier("reference", reference.name)


def full_name(reference: Reference) -> str:
    """Its name with the schema, for messages."""
    return f"reference.{reference.name}"
