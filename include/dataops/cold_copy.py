"""A verified copy of one month of `raw` in cold storage. The warehouse is only read here.

A copy is complete when its manifest says so, and that is written once the file was read back and compared.
"""

import logging
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Source
from include.dataops import cold_storage, parquet
from include.dataops.cold_storage import ArchiveError, Manifest

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Identifier

log = logging.getLogger(__name__)


def ensure(source: Source, month: date, partition: "Identifier") -> Manifest:
    """Make the copy of `partition`, or find the one that an earlier run made of the same rows; verified either way."""
    return _find(source, month, partition) or _make(source, month, partition)


def compare(cursor: "Cursor", table: "Identifier", manifest: Manifest) -> None:
    """Refuse with an ArchiveError a table that does not hold what the manifest says."""
    found = parquet.content(cursor, table, manifest.schema)
    if found.checksum != manifest.checksum:
        days = sorted(day for day, _ in set(found.rows_per_day.items()) ^ set(manifest.rows_per_day.items()))
        told = f"the numbers of rows differ on {', '.join(dict.fromkeys(days))}" if days else "the values differ"
        raise ArchiveError(
            f"What {cold_storage.cold_storage() / manifest.path} holds is not what its manifest says: {told}."
        )


def _find(source: Source, month: date, partition: "Identifier") -> Manifest | None:
    try:
        manifest = cold_storage.read_manifest(source.name, month)
        if manifest is None or manifest.schema != parquet.schema_of(source):
            return None
        with warehouse.transaction() as cursor:
            held = parquet.content(cursor, partition, manifest.schema)
        if held.checksum != manifest.checksum:
            return None
        _verify(source, manifest)
    except ArchiveError as error:
        log.warning("%s The month is still in the warehouse, and is written again.", error)
        return None
    return manifest


def _make(source: Source, month: date, partition: "Identifier") -> Manifest:
    schema = parquet.schema_of(source)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "written.parquet"
        with warehouse.transaction() as cursor:
            # One snapshot for the rows and for their checksum.
            cursor.execute("set transaction isolation level repeatable read, read only")
            held = parquet.content(cursor, partition, schema)
            try:
                parquet.write(cursor, partition, schema, file)
            except ValueError as error:
                raise ArchiveError(
                    f"raw.{source.name} of {month:%Y-%m} holds a value that Parquet has no room for: {error}. Correct"
                    " the drop and replay its day. Nothing has changed."
                ) from error
        manifest = Manifest(
            source=source.name,
            month=f"{month:%Y-%m}",
            sha256=cold_storage.sha256_of(file),
            checksum=held.checksum,
            rows=held.rows,
            rows_per_day=held.rows_per_day,
            schema=schema,
        )
        cold_storage.put(file, manifest)
    _verify(source, manifest)
    cold_storage.write_manifest(manifest)
    return manifest


def _verify(source: Source, manifest: Manifest) -> None:
    """Restore the file into a temporary table and compare: what comes back has to be what went."""
    from psycopg2 import sql

    with TemporaryDirectory() as folder:
        file = Path(folder) / "read_back.parquet"
        cold_storage.fetch(manifest, file)
        with warehouse.transaction() as cursor:
            cursor.execute(
                sql.SQL("create temporary table read_back (like {}) on commit drop").format(
                    sql.Identifier("raw", source.name)
                )
            )
            table = sql.Identifier("pg_temp", "read_back")
            parquet.copy_into(cursor, table, file, manifest.schema)
            compare(cursor, table, manifest)
