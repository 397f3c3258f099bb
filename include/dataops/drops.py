"""The files of the landing zone: where the drop of a day is, and how each format becomes lines of CSV.

A drop of day D is `{LANDING_URI}/{D}/{source}` with one of the endings of `FORMATS`. Files are read as a stream, so
memory does not grow with their size. What is wrong with a file as a whole is a BadDropError; what is wrong with a
row of it is for the loading to tell.
"""

import csv
import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import IO, TYPE_CHECKING, Any, Protocol

from include.core.domain import Domain, Source
from include.core.ledger import NotReadyError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

FORMATS = (".csv", ".csv.gz", ".parquet")
LONGEST_HEADER = 64 * 1024
MOST_COLUMNS = 500
PARQUET_BATCH_ROWS = 5_000
# What is fetched at once from an object store, which would otherwise be some 50 MB.
READ_AHEAD_BYTES = 8 << 20
# Before version 18 Postgres takes such a line for the end of the data, and drops what follows.
END_MARKER = re.compile(rb"[\r\n]\\\.[\r\n]")
PARQUET_MAGIC = b"PAR1"


class BadDropError(ValueError):
    """A drop that cannot be loaded at all; the message says what is wrong with which file."""


class HalfWrittenDropError(NotReadyError):
    """A drop that ends before it is complete, perhaps because it is still being written."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1) -> bytes: ...  # noqa: D102


@dataclass
class OpenDrop:
    """A drop while it is read: its path, its columns in the order of the file, and its lines after the header.

    `finish` is called after the last line has been read; it refuses a file that is cut off and gives its SHA-256.
    """

    file: str
    columns: tuple[str, ...]
    lines: "_Lines"
    _sha256: "hashlib._Hash"

    def finish(self) -> str:
        """The SHA-256 of the file as it lies in the landing zone."""
        self.lines.refuse_half(self.file)
        return self._sha256.hexdigest()


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


def find(source: Source, days: Sequence[date]) -> list["ObjectStoragePath"]:
    """The files of these days, in order. A NotReadyError names the first that is missing."""
    zone = landing_zone()
    # Object stores keep what they listed before: a drop that came since then would never be seen.
    zone.fs.invalidate_cache()
    found = [_find_one(zone / day.isoformat(), source) for day in days]
    missing = [day for day, file in zip(days, found, strict=True) if file is None]
    if missing:
        raise NotReadyError(
            f"{len(missing)} drop(s) of {source.name} have not arrived; the first is looked for at"
            f" {_looked_for(zone, missing[0], source)}. Put the file there, then clear this task."
        )
    return [file for file in found if file is not None]


def missing(domain: Domain, day: date) -> str | None:
    """Which files of the day's drop have not arrived, in words; None when all are there."""
    zone = landing_zone()
    zone.fs.invalidate_cache()
    absent = [source for source in domain.sources if _find_one(zone / day.isoformat(), source) is None]
    if not absent:
        return None
    looked_for = " and ".join(_looked_for(zone, day, source) for source in absent)
    return f"the drop of {day} has not arrived: looked for {looked_for}"


@contextmanager
def open_drop(file: "ObjectStoragePath", source: Source) -> Iterator[OpenDrop]:
    """Open one file of `source` for COPY; its header is read and judged.

    Raises BadDropError for what is not the file that it should be, HalfWrittenDropError for one that is cut off.
    """
    sha256 = hashlib.sha256()
    with _opened(file) as binary:
        if file.name.endswith(".parquet"):
            columns, stream = _read_parquet(file, binary, sha256)
            lines = _Lines(stream)
        else:
            stream = _Hashed(binary, sha256)
            lines = _Lines(_decompressed(stream) if file.name.endswith(".gz") else stream)
            columns = _read_header(file, lines)
        _check_columns(file, columns, source)
        yield OpenDrop(str(file), columns, lines, sha256)


def _opened(file: "ObjectStoragePath") -> IO[bytes]:
    try:
        return file.open("rb", block_size=READ_AHEAD_BYTES)  # type: ignore[no-untyped-call]
    except IsADirectoryError:
        raise BadDropError(f"{file} is a folder. Put a file in its place, then clear this task.") from None
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: object, error: Exception) -> Exception:
    """What an error while reading means: the way to the file (the system gives those a number), its end, or it."""
    if isinstance(error, OSError) and error.errno is not None:
        return NotReadyError(f"{file} cannot be reached: {error}. Clear this task when it can.")
    if isinstance(error, EOFError):
        return HalfWrittenDropError(f"{file} ends before its data do, {HALF}.")
    return BadDropError(f"{file} is not readable: {error}. Ask upstream for it again.")


def _find_one(folder: "ObjectStoragePath", source: Source) -> "ObjectStoragePath | None":
    try:
        there = {name.rpartition("/")[2] for name in folder.fs.ls(folder.path, detail=False)}
    except (FileNotFoundError, NotADirectoryError):
        return None
    names = [f"{source.name}{ending}" for ending in FORMATS if f"{source.name}{ending}" in there]
    if len(names) > 1:
        raise BadDropError(
            f"{folder} holds {' and '.join(names)}, and only one of them can be the drop of {source.name}."
            " Remove what is not, then clear this task."
        )
    return folder / names[0] if names else None


def _looked_for(zone: "ObjectStoragePath", day: date, source: Source) -> str:
    return f"{zone / day.isoformat() / source.name}.csv (or {', '.join(FORMATS[1:])})"


def _read_header(file: "ObjectStoragePath", lines: "_Lines") -> tuple[str, ...]:
    """The names in the first line, without a byte order mark."""
    first = lines.readline(LONGEST_HEADER)
    lines.raise_failure(file)
    if not first:
        raise BadDropError(f"{file} is empty, without even a header. Ask upstream for the file, then clear this task.")
    if b"\0" in first:
        raise BadDropError(f"{file} has zero bytes in its header. Ask upstream for a CSV file in UTF-8.")
    if b"\r" in first.removesuffix(b"\n")[:-1]:
        raise BadDropError(f"{file} ends its lines with CR alone. Ask upstream for line ends of LF or CRLF.")
    if len(first) == LONGEST_HEADER:
        raise BadDropError(f"{file} has no line end in its first {LONGEST_HEADER:,} bytes. Ask upstream for a CSV.")
    if not first.endswith(b"\n"):
        raise HalfWrittenDropError(f"{file} ends in the middle of its header, {HALF}.")
    try:
        header = first.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadDropError(f"{file} has a header that is not UTF-8. Ask upstream for a file in UTF-8.") from None
    try:
        return tuple(name.strip() for name in next(csv.reader([header.rstrip("\r\n")], strict=True), ()))
    except csv.Error as error:
        raise BadDropError(
            f"{file} has a header that is no line of CSV ({error}): {header[:200]!r}. Ask upstream for the right file."
        ) from error


def _check_columns(file: "ObjectStoragePath", columns: tuple[str, ...], source: Source) -> None:
    """Refuse a header in which a required column is missing or that names one twice. Order and others are free."""
    known = f"{source.name} has the columns {','.join(source.names)}"
    told = ",".join(columns)[:200]
    absent = [column.name for column in source.columns if column.required and column.name not in columns]
    if absent:
        raise BadDropError(
            f"{file} begins with '{told}', which lacks {', '.join(absent)}: {known}, separated by commas."
            " Ask upstream for the right file, or change the domain's Source."
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice or len(columns) > MOST_COLUMNS:
        wrong = f"names {', '.join(map(repr, twice))[:200]} more than once" if twice else f"has {len(columns)} columns"
        raise BadDropError(f"{file} begins with '{told}', which {wrong}: {known}. Ask upstream for the right file.")


class _Hashed:
    """A binary file that hashes what is read from it, so that a file is read only once."""

    def __init__(self, stream: IO[bytes], sha256: "hashlib._Hash") -> None:
        self.stream, self.sha256 = stream, sha256

    def read(self, size: int = -1) -> bytes:
        chunk = self.stream.read(size)
        self.sha256.update(chunk)
        return chunk


class _Lines:
    """The bytes that COPY reads: keeps what went wrong while reading, and how the file ends.

    COPY would report an error of this side as one of its own, so the error is kept here and raised afterwards.
    """

    def __init__(self, stream: Readable) -> None:
        self.stream = stream
        self.failure: Exception | None = None
        self._ahead = b""
        self._tail = b"\n"

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b'' at the end, or when reading failed."""
        if self._ahead and size >= 0:
            chunk, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            chunk, self._ahead = self._ahead + self._fetch(size), b""
        seen = self._tail + chunk
        if b"\\." in seen and END_MARKER.search(seen):
            self.failure = ValueError("a line holds nothing but '\\.', the end marker of COPY")
            return b""
        self._tail = seen[-4:]
        return chunk

    def readline(self, longest: int = -1) -> bytes:
        """The first line, with its end; at most `longest` bytes of it. Not for later lines: COPY reads blocks."""
        head = b""
        while len(head) < longest and b"\n" not in head and (chunk := self._fetch(8192)):
            head += chunk
        end = head.find(b"\n") + 1 or len(head)
        self._ahead = head[end:]
        self._tail = head[:end][-4:] or self._tail
        return head[: min(end, longest)]

    def raise_failure(self, file: object) -> None:
        """Raise what went wrong while reading, if something did."""
        if self.failure is not None:
            raise _unreadable(file, self.failure) from self.failure

    def refuse_half(self, file: object) -> None:
        """Refuse a file whose last line has no end: nobody can tell whether its last value is whole."""
        self.raise_failure(file)
        if not self._tail.endswith(b"\n"):
            raise HalfWrittenDropError(
                f"{file} ends in the middle of a line, {HALF}."
                " If it is complete, end its last line with a line feed, then clear this task."
            )

    def _fetch(self, size: int) -> bytes:
        try:
            return self.stream.read(size)
        except (EOFError, OSError, zlib.error, ValueError) as error:  # what gzip and pyarrow raise for broken files
            self.failure = error
            return b""


HALF = "so it is only half written. Upstream should write it under another name and rename it when it is complete"


def _decompressed(stream: Readable) -> Readable:
    import gzip

    return gzip.GzipFile(fileobj=stream, mode="rb")  # type: ignore[call-overload]


def _read_parquet(
    file: "ObjectStoragePath", binary: IO[bytes], sha256: "hashlib._Hash"
) -> tuple[tuple[str, ...], Readable]:
    """The columns of a Parquet file, and its rows as lines of CSV, batch after batch."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        magic = tail = binary.read(len(PARQUET_MAGIC))
        sha256.update(magic)
        while chunk := binary.read(1 << 20):
            sha256.update(chunk)
            tail = (tail + chunk)[-len(PARQUET_MAGIC) :]
        if magic == PARQUET_MAGIC != tail:
            raise EOFError
        binary.seek(0)
        table = parquet.ParquetFile(binary, page_checksum_verification=True)
        fields = list(table.schema_arrow)
        names = tuple(field.name.strip() for field in fields)
    except (pa.ArrowException, EOFError, OSError, ValueError) as error:
        raise _unreadable(file, error) from error
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
        self.batches = table.iter_batches(batch_size=PARQUET_BATCH_ROWS, use_threads=False)
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
