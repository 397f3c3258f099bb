"""From the landing zone into `raw`: one drop or many, typed rows in, malformed rows into quarantine, none lost.

A drop of day D is `{LANDING_URI}/{D}/{source}.csv`. Its lines go by COPY into a temporary table of text, then one
statement of the domain (`sql/ingest/<source>.sql`) types what is valid and puts the rest aside with its reason.
All of it is one transaction per source, so a crash leaves either the old rows of those days or the new ones.
"""

import hashlib
import os
from collections.abc import Sequence
from datetime import date
from typing import IO, TYPE_CHECKING

from include.core import ledger, warehouse
from include.core.domain import Domain, Source, days_between
from include.core.ledger import NotReadyError, Passage, Stage

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath
    from psycopg2.extensions import cursor as Cursor


class BadDropError(ValueError):
    """A drop that cannot be loaded at all; the message says what is wrong with which file."""


def landing_zone() -> "ObjectStoragePath":
    """The folder of the drops, from the environment variable LANDING_URI."""
    from airflow.sdk import ObjectStoragePath

    uri = os.environ.get("LANDING_URI")
    if not uri:
        raise NotReadyError(
            "LANDING_URI is not set. Set it to the folder of the drops, for example file:///data/landing,"
            " in .env or in the deployment's environment variables."
        )
    return ObjectStoragePath(uri)


def load_source(domain: Domain, source: Source, start: date, end: date, run_id: str) -> dict[str, int]:
    """Replace `raw.<source>` and its quarantine for the drops of `[start, end]`.

    Returns the counts {"lines", "raw_rows", "quarantined_rows"}. Raises NotReadyError for a drop that is missing
    and BadDropError for one that is not the CSV it should be; then nothing of the interval has changed.
    """
    from psycopg2 import sql

    domain.check_days(start, end)
    days = days_between(start, end)
    files = find_drops(domain, source, days)
    table = sql.Identifier("raw", source.name)
    interval = {"start": start, "end": end, "source": source.name}
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "raw", source.name)
        warehouse.ensure_partitions(cursor, source.name, start, end)
        _stage(cursor, source)
        hashes = [_copy_drop(cursor, source, day, file) for day, file in zip(days, files, strict=True)]
        cursor.execute(
            "delete from quarantine.rows where source = %(source)s and as_of between %(start)s and %(end)s", interval
        )
        cursor.execute(sql.SQL("delete from {} where as_of between %(start)s and %(end)s").format(table), interval)
        cursor.execute(domain.sql(f"ingest/{source.name}"), interval)
        cursor.execute(
            sql.SQL(
                "create temporary table loaded on commit drop as"
                " select as_of, count(*) as number from {} where as_of between %(start)s and %(end)s group by as_of"
            ).format(table),
            interval,
        )
        cursor.execute(
            warehouse.statement("dataops/record_partitions"),
            {"source": source.name, "run_id": run_id, "days": days, "hashes": hashes},
        )
        cursor.execute(
            "select sum(lines), sum(raw_rows), sum(quarantined_rows) from quality.partitions"
            " where source = %(source)s and as_of between %(start)s and %(end)s",
            interval,
        )
        counts = dict(zip(("lines", "raw_rows", "quarantined_rows"), cursor.fetchone() or (), strict=True))
    return counts


def record_ingested(days: Sequence[date], run_id: str, passage: Passage) -> None:
    """Write in the ledger that every source of these days is in `raw`."""
    with warehouse.transaction() as cursor:
        for day in days:
            ledger.record(cursor, day, Stage.INGESTED, run_id, detail={"by": passage})


def find_drops(domain: Domain, source: Source, days: Sequence[date]) -> list["ObjectStoragePath"]:
    """The files of these days, in order; a NotReadyError names the first that is missing."""
    zone = landing_zone()
    files = [zone / day.isoformat() / f"{source.name}.csv" for day in days]
    missing = [file for file in files if not file.exists()]
    if missing:
        raise NotReadyError(
            f"{len(missing)} drop(s) of {source.name} have not arrived; the first is looked for at {missing[0]}."
            f" Put the file there, then clear this task."
        )
    return files


def _stage(cursor: "Cursor", source: Source) -> None:
    """A table of text for the lines as they come, gone with the transaction."""
    from psycopg2 import sql

    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in source.columns)
    cursor.execute(
        sql.SQL(
            "create temporary table staged (as_of date not null, line integer generated always as identity, {})"
            " on commit drop"
        ).format(columns)
    )


def _copy_drop(cursor: "Cursor", source: Source, day: date, file: "ObjectStoragePath") -> str:
    """Copy one file into the staging table and return its SHA-256."""
    from psycopg2 import DataError, sql

    with file.open("rb") as stream:  # type: ignore[no-untyped-call]
        drop = _HashedStream(stream)
        header = drop.readline().decode("utf-8-sig", errors="replace").strip()
        if header.split(",") != list(source.columns):
            raise BadDropError(
                f"{file} begins with '{header[:200]}', but {source.name} has the columns"
                f" {','.join(source.columns)}. Ask upstream for the right file, or change the domain's Source."
            )
        cursor.execute(
            sql.SQL("alter table staged alter column as_of set default {}, alter column line restart with 1").format(
                sql.Literal(day)
            )
        )
        copy = sql.SQL("copy staged ({}) from stdin (format csv)").format(
            sql.SQL(", ").join(map(sql.Identifier, source.columns))
        )
        try:
            cursor.copy_expert(copy, drop)
        except DataError as error:
            raise BadDropError(f"{file} is not readable as CSV: {error}".strip()) from error
        return drop.sha256.hexdigest()


class _HashedStream:
    """A binary file that hashes what is read from it, so that a file is read once and never held in memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self.stream.read(size)
        self.sha256.update(chunk)
        return chunk

    def readline(self, size: int = -1) -> bytes:
        line = self.stream.readline(size)
        self.sha256.update(line)
        return line
