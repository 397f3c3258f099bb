"""Rows of a source as Parquet and back, exactly, and the checksum that proves it. A batch at a time, however large.

Both ways go through CSV as Postgres writes it: numbers in their shortest exact form, null apart from the empty text.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Source

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composable, Composed, Identifier

_BATCH_BYTES = 1 << 20
_BATCH_ROWS = 1 << 16
_PIPE_BYTES = 1 << 18
# Without it a whole column of a row group would be read at once.
_BUFFER_BYTES = 8 << 20


@dataclass(frozen=True)
class Content:
    """What a table holds: its rows per ISO day, and a checksum of all values that ignores the order of the rows."""

    rows_per_day: dict[str, int]
    checksum: str

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.rows_per_day.values())


def schema_of(source: Source) -> dict[str, str]:
    """The Postgres type of every column of `raw.<source>`, in order."""
    return {"as_of": "date", "line": "integer", **{column.name: column.type for column in source.columns}}


def content(cursor: "Cursor", table: "Identifier", columns: Iterable[str]) -> Content:
    """The content of `table`: the same rows give the same, whatever the session's settings and the server."""
    from psycopg2 import sql

    cursor.execute(warehouse.statement("dataops/fixed_text"))
    cursor.execute(sql.SQL(warehouse.statement("dataops/content_per_day")).format(columns=_list(columns), table=table))
    days = cursor.fetchall()
    digest = hashlib.sha256("\n".join(" ".join(map(str, day)) for day in days).encode())
    return Content({f"{day}": rows for day, rows, _ in days}, digest.hexdigest())


class Streamed:
    """Rows on their way: record batches, to be read once, and the digest, which is known when all are read."""

    def __init__(self, batches: Iterable[Any], lines: "_Hashing") -> None:
        self.batches, self._lines = batches, lines

    @property
    def digest(self) -> str:
        """The SHA-256 of the rows and their schema, in hex."""
        return self._lines.sha256.hexdigest()


@contextmanager
def stream(
    cursor: "Cursor", query: "Composable", bound: Mapping[str, Any], schema: Mapping[str, str]
) -> Iterator[Streamed]:
    """The rows of a query as Arrow batches, parsed while the server sends: memory does not grow with their number.

    `schema` is the name and Postgres type of each column, in order. The same rows in the same order give the same
    digest on any machine. Raises ValueError for a value that Arrow's types have no room for, such as the date
    'infinity'.
    """
    import pyarrow as pa
    from psycopg2 import sql
    from pyarrow import csv

    cursor.execute(warehouse.statement("dataops/fixed_text"))
    rows = cursor.mogrify(query, dict(bound)).decode()
    copy = sql.SQL("copy ({}) to stdout (format csv, header, encoding 'UTF8')").format(sql.SQL(rows))
    reader, writer = os.pipe()
    with ThreadPoolExecutor(max_workers=1) as pool, os.fdopen(reader, "rb") as lines:
        copied = pool.submit(_copy, cursor, copy, writer)
        hashing = _Hashing(lines, schema)
        try:
            with csv.open_csv(
                pa.PythonFile(hashing, "r"),
                csv.ReadOptions(block_size=_BATCH_BYTES),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=arrow_schema(schema),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    true_values=["t"],
                    false_values=["f"],
                ),
            ) as batches:
                yield Streamed(batches, hashing)
        except pa.ArrowInvalid:
            if copied.done():
                copied.result()  # the rows end in the middle because the server had to stop: that is the error to tell
            raise
        copied.result()


def _copy(cursor: "Cursor", copy: "Composable", writer: int) -> None:
    """Write what the server sends into a pipe, and close it."""
    with os.fdopen(writer, "wb", buffering=_PIPE_BYTES) as lines:
        cursor.copy_expert(copy, lines)


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes], schema: Mapping[str, str]) -> None:
        self.file, self.sha256 = file, hashlib.sha256(repr(list(schema.items())).encode())

    closed = False

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.sha256.update(data)
        return data


def write(cursor: "Cursor", table: "Identifier", schema: Mapping[str, str], file: Path) -> None:
    """Write the rows of `table`, by day and line, to the Parquet `file`. Raises ValueError as `stream` does."""
    from psycopg2 import sql
    from pyarrow import parquet

    rows = sql.SQL("select {} from {} order by as_of, line").format(_list(schema), table)
    with (
        stream(cursor, rows, {}, schema) as streamed,
        parquet.ParquetWriter(file, arrow_schema(schema), compression="zstd") as writer,
    ):
        for batch in streamed.batches:
            writer.write_batch(batch)


def copy_into(cursor: "Cursor", table: "Identifier", file: Path, columns: Iterable[str]) -> None:
    """Append the rows of a Parquet file to `table` by COPY."""
    from psycopg2 import sql
    from pyarrow import csv, parquet

    names = list(columns)
    copy = sql.SQL("copy {} ({}) from stdin (format csv, encoding 'UTF8')").format(table, _list(names))
    cursor.execute(warehouse.statement("dataops/fixed_text"))
    with parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False) as rows:
        for batch in rows.iter_batches(_BATCH_ROWS, columns=names):
            lines = BytesIO()
            csv.write_csv(batch, lines, csv.WriteOptions(include_header=False))
            lines.seek(0)
            cursor.copy_expert(copy, lines)


def arrow_schema(schema: Mapping[str, str]) -> Any:
    """The Arrow schema of these columns and Postgres types."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "double precision": pa.float64(),
        "date": pa.date32(),
        "timestamptz": pa.timestamp("us", "UTC"),
    }
    return pa.schema([(name, types[kind]) for name, kind in schema.items()])


def _list(columns: Iterable[str]) -> "Composed":
    from psycopg2 import sql

    return sql.SQL(", ").join(map(sql.Identifier, columns))
