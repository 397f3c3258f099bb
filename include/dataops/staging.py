"""Where the lines of a drop wait as text: tables of one run in the schema `staging`, without a log of their own.

A line keeps its number by the order in which COPY appends: `__n` counts on over all files of a load, and a file's
first `__n` is known from the number of lines before it. So a file costs no statement beside its COPY.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Source
from include.dataops import drop_files, drops
from include.dataops.drops import BadDropError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath
    from psycopg2.extensions import cursor as Cursor

COPY_BYTES = 1 << 16
# In front of the name of a column that the domain does not declare: its values are kept for the quarantine only.
UNDECLARED = "+"
LONGEST_NAME = 60


@dataclass(frozen=True)
class StagedDrop:
    """One file in the staging table: how its columns differ from the declared ones, besides what the ledger keeps.

    `file` is its path below the landing zone.
    """

    day: str
    file: str
    sha256: str
    lines: int
    extra: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Staged:
    """The staging table of one source and the files in it, in the order of their days."""

    source: str
    table: str
    drops: tuple[StagedDrop, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values, to be handed from task to task."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Staged":
        """What `to_json` gave."""
        return cls(value["source"], value["table"], tuple(StagedDrop(**drop) for drop in value["drops"]))


def stage(source: Source, days: Sequence[date], run_id: str) -> Staged:
    """Copy the files of these days into a fresh staging table of the run; a retry begins it anew.

    Raises NotReadyError for a file that is missing or half written, BadDropError for one that cannot be read.
    """
    files = drops.find(source, days)
    table = f"{source.name}_{_token(run_id)}_{days[0]:%Y%m%d}"
    with warehouse.transaction() as cursor:
        # A task that Airflow took for dead may still be at it.
        warehouse.lock(cursor, "staging", table)
        _make(cursor, source, table)
        copy_into = cache(partial(_copy_into, cursor, source, table))
        staged = [_copy(cursor, source, copy_into, day, file) for day, file in zip(days, files, strict=True)]
    return Staged(source.name, table, tuple(staged))


def drop_table(staged: Staged) -> None:
    """Remove one staging table, when it has been loaded."""
    from psycopg2 import sql

    with warehouse.transaction() as cursor:
        cursor.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("staging", staged.table)))


def drop_tables(run_id: str) -> None:
    """Remove the staging tables of a run, also those that a killed task left."""
    from psycopg2 import sql

    with warehouse.transaction() as cursor:
        cursor.execute(
            "select tablename from pg_tables where schemaname = 'staging' and tablename like %s",
            (f"%\\_{_token(run_id)}\\_%",),
        )
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("staging", name)))


def _token(run_id: str) -> str:
    """What tells the tables of two runs apart: runs of the same day may be at work at once."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:12]


def _make(cursor: "Cursor", source: Source, table: str) -> None:
    from psycopg2 import sql

    name = sql.Identifier("staging", table)
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column)) for column in source.names)
    cursor.execute(sql.SQL("drop table if exists {}").format(name))
    # Numbers that are fetched one by one would be a fifth of the time of COPY.
    cursor.execute(
        sql.SQL("create unlogged table {} (__n bigint generated always as identity (cache 1000), {})").format(
            name, columns
        )
    )


def _copy(
    cursor: "Cursor", source: Source, copy_into: Callable[..., str], day: date, file: "ObjectStoragePath"
) -> StagedDrop:
    """Append one file; its lines are counted by COPY."""
    from psycopg2 import DatabaseError

    with drop_files.open_drop(file, source) as drop:
        extra = tuple(name for name in drop.columns if name not in source.names)
        try:
            cursor.copy_expert(copy_into(drop.columns, extra), drop.lines, COPY_BYTES)
        except DatabaseError as error:
            drop.lines.raise_failure(file)
            if error.pgcode is None or error.pgcode[:2] not in ("22", "54"):  # neither bad data nor a limit
                raise
            drop.lines.refuse_half(file)
            raise BadDropError(
                f"{file} is not readable as CSV: {_told(error)}. Ask upstream for a corrected file."
            ) from error
        lines = cursor.rowcount
        sha256 = drop.finish()
        absent = [name for name in source.names if name not in drop.columns]
        return StagedDrop(day.isoformat(), f"{day}/{file.name}", sha256, lines, extra, tuple(absent))


def _copy_into(cursor: "Cursor", source: Source, table: str, columns: tuple[str, ...], extra: tuple[str, ...]) -> str:
    """The COPY for a file with these columns; a column that is not declared gets a place of its own."""
    from psycopg2 import sql

    name = sql.Identifier("staging", table)
    # A name of Postgres has at most 63 bytes: longer ones are cut, and told apart by their number.
    places = {
        column: UNDECLARED + (column if len(column.encode()) <= LONGEST_NAME else f"{column[:12]}... {number}")
        for number, column in enumerate(extra, 1)
    }
    for place in places.values():
        cursor.execute(sql.SQL("alter table {} add column if not exists {} text").format(name, sql.Identifier(place)))
    names = (sql.Identifier(places.get(column, column)) for column in columns)
    copy = sql.SQL("copy {} ({}) from stdin (format csv, encoding 'UTF8')").format(name, sql.SQL(", ").join(names))
    return copy.as_string(cursor.connection)


def _told(error: Any) -> str:
    """Postgres' message and the line of the file that it is about: COPY counts from the line after the header."""
    message = (error.diag.message_primary or str(error)).strip()
    line = re.search(r"\bline (\d+)", error.diag.context or "")
    return f"{message} (line {int(line.group(1)) + 1})" if line else message
