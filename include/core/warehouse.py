"""The way to the warehouse: connections, transactions, SQL files and partitions of `raw`.

Statements live in `.sql` files beside the package that runs them; values are always bound. Where a statement
needs a table's name, it is composed with `psycopg2.sql.Identifier`, from names that the domain declares.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

CONNECTION_ID = "warehouse"
_INCLUDE = Path(__file__).parent.parent


@contextmanager
def transaction() -> Iterator["Cursor"]:
    """A cursor in a transaction of its own: committed at the end, rolled back on an error.

    psycopg2 is called directly: the provider's hook takes seconds to import, on the path of every task.
    """
    import psycopg2
    from airflow.sdk import BaseHook

    known = BaseHook.get_connection(CONNECTION_ID)
    with (
        closing(
            psycopg2.connect(
                host=known.host,
                port=known.port or 5432,
                dbname=known.schema,
                user=known.login,
                password=known.password,
                **known.extra_dejson,
            )
        ) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        yield cursor


@cache
def statement(name: str) -> str:
    """The SQL of `<package>/sql/<file>.sql`, named as 'package/file'."""
    package, _, file = name.partition("/")
    return (_INCLUDE / package / "sql" / f"{file}.sql").read_text()


def lock(cursor: "Cursor", *key: object) -> None:
    """Wait until no other transaction holds `key`; held until this one ends."""
    cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", ("/".join(map(str, key)),))


def lock_shared(cursor: "Cursor", *key: object) -> None:
    """Wait until no other transaction holds `key` alone; others may share it until this one ends."""
    cursor.execute("select pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", ("/".join(map(str, key)),))


def months(start: date, end: date) -> list[date]:
    """The first day of every month that `[start, end]` touches."""
    found = [start.replace(day=1)]
    while (following := (found[-1] + timedelta(days=32)).replace(day=1)) <= end:
        found.append(following)
    return found


def lock_months(cursor: "Cursor", table: str, start: date, end: date) -> None:
    """Wait until no other transaction writes the months of `raw.<table>` that `[start, end]` touches.

    Month after month, so that two that overlap take their locks in the same order.
    """
    for month in months(start, end):
        lock(cursor, "raw", table, f"{month:%Y-%m}")


def ensure_partitions(cursor: "Cursor", table: str, start: date, end: date) -> None:
    """Make the monthly partitions of `raw.<table>` that `[start, end]` needs."""
    from psycopg2 import sql

    for month in months(start, end):
        following = (month + timedelta(days=32)).replace(day=1)
        name = f"{table}_{month:%Y_%m}"
        cursor.execute("select to_regclass(format('raw.%%I', %s::text)) is null", (name,))
        if cursor.fetchone()[0]:  # type: ignore[index]
            lock(cursor, "partition", name)
            cursor.execute(
                sql.SQL("create table if not exists raw.{} partition of raw.{} for values from ({}) to ({})").format(
                    sql.Identifier(name), sql.Identifier(table), sql.Literal(month), sql.Literal(following)
                )
            )


def make_partitions(table: str, start: date, end: date) -> None:
    """`ensure_partitions` in a short transaction of its own: it needs the whole of `raw.<table>` for a moment.

    Gives up soon when somebody reads the table for long, for everybody else would wait behind it.
    """
    with transaction() as cursor:
        cursor.execute("set local lock_timeout = '5s'")
        ensure_partitions(cursor, table, start, end)


def ensure_keys(cursor: "Cursor", table: str, start: date, end: date) -> None:
    """Give the partitions that `ensure_partitions` made their primary key, once their first rows are in.

    To build an index takes a quarter of the time of keeping it up to date row by row.
    """
    from psycopg2 import sql

    for month in months(start, end):
        name = f"{table}_{month:%Y_%m}"
        cursor.execute(
            "select exists (select from pg_index"
            " where indrelid = format('raw.%%I', %s::text)::regclass and indisprimary)",
            (name,),
        )
        if cursor.fetchone() == (False,):
            cursor.execute(sql.SQL("alter table raw.{} add primary key (as_of, line)").format(sql.Identifier(name)))


def join_by_hash(cursor: "Cursor") -> None:
    """Keep the planner from other joins until the transaction ends, and give hashes and sorts some memory.

    Of rows loaded a moment ago it has no statistics, takes them for a handful, and loops over all pairs: minutes
    instead of a second. The large joins here are all by equality, and none needs its rows in order.
    """
    cursor.execute("set local enable_nestloop = off; set local enable_mergejoin = off; set local work_mem = '32MB'")


def copy_rows(cursor: "Cursor", schema: str, table: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Append `rows` to `schema.table` by COPY. A None becomes null; every text stays what it is, an empty one too."""
    from psycopg2 import sql

    buffer = StringIO()
    buffer.writelines(",".join(map(_quoted, row)) + "\n" for row in rows)
    buffer.seek(0)
    cursor.copy_expert(
        sql.SQL("copy {}.{} ({}) from stdin (format csv)").format(
            sql.Identifier(schema), sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        ),
        buffer,
    )


def _quoted(value: Any) -> str:
    """A value of a line of CSV. Only what stands without quotes can be null, so every value has them."""
    return "" if value is None else '"' + str(value).replace('"', '""') + '"'
