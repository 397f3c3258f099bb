"""A drop that is a Parquet file, as the lines of CSV that COPY reads."""

from typing import IO, TYPE_CHECKING, Any, Protocol

from include.dataops.drops import BadDropError, unreadable

if TYPE_CHECKING:
    import hashlib

    from airflow.sdk import ObjectStoragePath

BATCH_ROWS = 5_000
# Without it a whole column of a row group would be read at once.
BUFFER_BYTES = 8 << 20
MAGIC = b"PAR1"


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1) -> bytes: ...  # noqa: D102


def read(file: "ObjectStoragePath", binary: IO[bytes], sha256: "hashlib._Hash") -> tuple[tuple[str, ...], Readable]:
    """The columns of a Parquet file, and its rows as lines of CSV, batch after batch."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        magic = tail = binary.read(len(MAGIC))
        sha256.update(magic)
        while chunk := binary.read(1 << 20):
            sha256.update(chunk)
            tail = (tail + chunk)[-len(MAGIC) :]
        if magic == MAGIC != tail:
            raise EOFError
        binary.seek(0)
        table = parquet.ParquetFile(binary, page_checksum_verification=True, buffer_size=BUFFER_BYTES, pre_buffer=False)
        fields = list(table.schema_arrow)
        names = tuple(field.name.strip() for field in fields)
    except (pa.ArrowException, EOFError, OSError, ValueError) as error:
        raise unreadable(file, error) from error
    nested = [field.name for field in fields if pa.types.is_nested(field.type)]
    if nested:
        raise BadDropError(
            f"{file} has columns with lists or structures in them: {', '.join(nested)}."
            " Ask upstream for columns of plain values."
        )
    return names, _ParquetLines(table)


class _ParquetLines:
    """The rows of a Parquet file as lines of CSV. A null is an empty value, an empty text is quoted."""

    def __init__(self, table: Any) -> None:
        self.batches = table.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
        self.missing = table.metadata.num_rows
        self.rest = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes of the lines; a new batch is turned into lines when the last one is used up."""
        import pyarrow as pa

        try:
            while not self.rest and (batch := next(self.batches, None)) is not None:
                self.rest = _as_lines(batch)
                self.missing -= batch.num_rows
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
        if not self.rest and self.missing:
            # Some damage is taken for the end of the rows.
            raise ValueError("its footer counts other rows than there are")
        cut = len(self.rest) if size < 0 else size
        chunk, self.rest = self.rest[:cut], self.rest[cut:]
        return chunk


def _as_lines(batch: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    plain = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns]
    # The writer of CSV does not know this type yet.
    plain = [column.cast(pa.string()) if pa.types.is_string_view(column.type) else column for column in plain]
    buffer = pa.BufferOutputStream()
    arrow_csv.write_csv(
        pa.RecordBatch.from_arrays(plain, names=batch.schema.names),
        buffer,
        arrow_csv.WriteOptions(include_header=False),
    )
    return buffer.getvalue().to_pybytes()
