"""Rows of a source as Parquet and back, exactly, and the checksum that proves it. A batch at a time, however large.

Both ways go through CSV as Postgres writes it: numbers in their shortest exact form, null apart from the empty text.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Source

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composed, Identifier

_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 1 << 16
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


def write(cursor: "Cursor", table: "Identifier", schema: Mapping[str, str], file: Path) -> None:
    """Write the rows of `table`, by day and line, to the Parquet `file`.

    Raises ValueError for a value that Parquet's types have no room for, such as the date 'infinity'.
    """
    import pyarrow as pa
    from psycopg2 import sql
    from pyarrow import csv, parquet

    lines = file.with_suffix(".csv")
    copy = sql.SQL(
        "copy (select {} from {} order by as_of, line) to stdout (format csv, header, encoding 'UTF8')"
    ).format(_list(schema), table)
    cursor.execute(warehouse.statement("dataops/fixed_text"))
    with lines.open("wb") as stream:
        cursor.copy_expert(copy, stream)
    types = _arrow_types()
    arrow = pa.schema([(name, types[kind]) for name, kind in schema.items()])
    try:
        with (
            csv.open_csv(
                lines,
                csv.ReadOptions(block_size=_BATCH_BYTES),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=arrow,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    true_values=["t"],
                    false_values=["f"],
                ),
            ) as batches,
            parquet.ParquetWriter(file, arrow, compression="zstd") as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
    finally:
        lines.unlink()


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


def _arrow_types() -> dict[str, Any]:
    """The type in Parquet of every type that a column may have."""
    import pyarrow as pa

    return {
        "text": pa.string(),
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "double precision": pa.float64(),
        "date": pa.date32(),
        "timestamptz": pa.timestamp("us", "UTC"),
    }


def _list(columns: Iterable[str]) -> "Composed":
    from psycopg2 import sql

    return sql.SQL(", ").join(map(sql.Identifier, columns))
