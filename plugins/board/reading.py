"""What the page shows, read from the warehouse in one read-only snapshot, as arrays by column.

The connection is `warehouse_reader`, whose role may only select.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import columns, project, troubles

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

CONNECT_SECONDS = 3
STATEMENT_TIMEOUT = "5s"
BY_COLUMN = ("performance", "decisions", "alerts", "checks", "waivers", "slices", "versions", "quality")
BY_ROW = ("judgements", "waiting", "saving")
_HERE = Path(__file__).parent


def read(days: int) -> dict[str, Any]:
    """Everything about the last `days` as-of days. An UnavailableError says why there is nothing."""
    with _snapshot() as cursor:
        cursor.execute("select to_regclass('quality.stages') is null")
        if _first(cursor)[0]:
            return {"state": "empty", "what": "The warehouse has no tables yet.", "next": troubles.PREPARE}
        cursor.execute(_statement("span"))
        first, last = _first(cursor)
        if first is None:
            told = "The tables are there, and no drop has come in yet."
            return {"state": "empty", "what": told, "next": troubles.INGEST}
        shown = max(first, last - timedelta(days=days - 1))
        return {
            "state": "ready",
            "project": project.facts(),
            "span": {"first": str(first), "from": str(shown), "last": str(last)},
            **_tables(cursor, shown, last),
        }


def _tables(cursor: "Cursor", start: date, end: date) -> dict[str, Any]:
    bound = {"start": start, "end": end}
    found: dict[str, Any] = {"changes": columns.by_column(_rows(cursor, project.champion_changes(), {}))}
    for name in ("days", *BY_COLUMN):
        found[name] = columns.by_column(_rows(cursor, _statement(name), bound))
    for name in BY_ROW:
        found[name] = columns.by_row(_rows(cursor, _statement(name), bound))
    found["drift"] = columns.as_matrix(_rows(cursor, _statement("drift"), bound), start, end)
    return found


def _rows(cursor: "Cursor", statement: str, bound: dict[str, Any]) -> columns.Table:
    cursor.execute(statement, bound)
    return columns.Table([column.name for column in cursor.description or ()], cursor.fetchall())


def _first(cursor: "Cursor") -> tuple[Any, ...]:
    row = cursor.fetchone()
    return row if row is not None else ()


@contextmanager
def _snapshot() -> Iterator["Cursor"]:
    """A cursor in a read-only transaction that sees one moment of the warehouse."""
    import psycopg2

    try:
        with closing(psycopg2.connect(**_parameters())) as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection, connection.cursor() as cursor:
                cursor.execute("select set_config('default_transaction_read_only', 'on', false)")
                cursor.execute("select set_config('statement_timeout', %s, false)", (STATEMENT_TIMEOUT,))
                yield cursor
    except psycopg2.Error as error:
        raise troubles.told(error) from None


def _parameters() -> dict[str, Any]:
    """The connection as psycopg2 takes it; Airflow looks it up where this deployment keeps its connections."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        known = BaseHook.get_connection(troubles.CONNECTION_ID)
    except AirflowNotFoundException:
        raise troubles.NO_CONNECTION from None
    return {
        **known.extra_dejson,
        "host": known.host,
        "port": known.port or 5432,
        "dbname": known.schema,
        "user": known.login,
        "password": known.password,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "flightline model board",
    }


@cache
def _statement(name: str) -> str:
    return (_HERE / "sql" / f"{name}.sql").read_text()
