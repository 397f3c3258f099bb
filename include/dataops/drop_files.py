"""A file of a drop while it is read: header, lines and hash.

Files are read as a stream, so memory does not grow with their size. What is wrong with a file as a whole is found here;
what is wrong with a row of it is for the loading to tell.
"""

import csv
import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from include.core.domain import Source
from include.dataops import parquet_drops
from include.dataops.drops import HALF, BadDropError, HalfWrittenDropError, unreadable
from include.dataops.parquet_drops import Readable

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

LONGEST_HEADER = 64 * 1024
MOST_COLUMNS = 500
# What is fetched at once from an object store, which would otherwise be some 50 MB.
READ_AHEAD_BYTES = 8 << 20
# Before version 18 Postgres takes such a line for the end of the data, and drops what follows.
END_MARKER = re.compile(rb"[\r\n]\\\.[\r\n]")


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


@contextmanager
def open_drop(file: "ObjectStoragePath", source: Source) -> Iterator[OpenDrop]:
    """Open one file of `source` for COPY; its header is read and judged.

    Raises BadDropError for what is not the file that it should be, HalfWrittenDropError for one that is cut off.
    """
    sha256 = hashlib.sha256()
    with _opened(file) as binary:
        if file.name.endswith(".parquet"):
            columns, stream = parquet_drops.read(file, binary, sha256)
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
        raise unreadable(file, error) from error


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
            raise unreadable(file, self.failure) from self.failure

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


def _decompressed(stream: Readable) -> Readable:
    import gzip

    return gzip.GzipFile(fileobj=stream, mode="rb")  # type: ignore[call-overload]
