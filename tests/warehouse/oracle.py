"""What a drop holds, told by plain Python: a second opinion, which shares no line of code with the loading.

It reads the declarations of a source, and nothing else of the engine.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.core.domain import Column, Source

Row = dict[str, Any]
WHOLE = re.compile(r"\s*([+-]?)(0x(?:_?[0-9a-f])+|0o(?:_?[0-7])+|0b(?:_?[01])+|\d(?:_?\d)*)\s*", re.A | re.I)
LIMITS = {"smallint": 2**15, "integer": 2**31}


class NotReadableError(ValueError):
    """A file that has to be halted as a whole."""


@dataclass(frozen=True)
class Drop:
    """The columns of a file and its records, by column; a value is None where nothing stood between two commas."""

    columns: tuple[str, ...]
    records: list[Row]


def read_csv(content: bytes, source: Source) -> Drop:
    """Read a file of CSV, byte by byte; a NotReadableError says why there is no telling what it holds."""
    first, newline, rest = content.partition(b"\n")
    if not newline or not content.endswith(b"\n"):
        raise NotReadableError("the end is missing")
    if len(first) > 65_000 or b"\r" in first.removesuffix(b"\r") or b"\0" in content:
        raise NotReadableError("not text")
    if re.search(rb"[\r\n]\\\.[\r\n]", content):
        raise NotReadableError("an end marker")
    try:
        header, text = first.decode("utf-8-sig"), rest.decode()
        columns = tuple(name.strip() for name in next(csv.reader(io.StringIO(header.rstrip("\r")), strict=True), ()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotReadableError("not UTF-8, or no CSV") from error
    required = {column.name for column in source.columns if column.required}
    if len(set(columns)) != len(columns) or not required <= set(columns):
        raise NotReadableError("columns are missing or there twice")
    records = list(_records(text))
    if any(len(record) != len(columns) for record in records):
        raise NotReadableError("too few or too many values")
    return Drop(columns, [dict(zip(columns, record, strict=True)) for record in records])


def _records(text: str) -> Iterator[list[str | None]]:
    """Cut a text into records: a quote opens or closes wherever it stands, and two within quotes are one."""
    ends: set[str] = set()
    record: list[str | None] = []
    value, quoted, inside, at = "", False, False, 0
    while at < len(text):
        char = text[at]
        at += 1
        if inside and char == '"' and text[at : at + 1] == '"':
            value, at = value + char, at + 1
        elif char == '"':
            inside, quoted = not inside, True
        elif inside or char not in ",\r\n":
            value += char
        else:
            record.append(value if value or quoted else None)
            value, quoted = "", False
            if char != ",":
                end = "\r\n" if text[at - 1 : at + 1] == "\r\n" else char
                at += len(end) - 1
                ends.add(end)
                yield record
                record = []
    if inside or len(ends) > 1:
        raise NotReadableError("a quote is open, or line ends differ")


def accepted(
    drop: Drop, source: Source, day: date, known: Mapping[str, set[str]], rule: Callable[[Row], bool]
) -> dict[int, tuple[Any, ...]]:
    """The values of every record that belongs into raw, by its number; of the same key the first one."""
    rows: dict[int, tuple[Any, ...]] = {}
    keys: set[tuple[Any, ...]] = set()
    for number, record in enumerate(drop.records, 1):
        try:
            row = {column.name: _read(column, record.get(column.name), day, known) for column in source.columns}
        except ValueError:
            continue
        key = tuple(row[name] for name in source.key)
        if rule(row) and key not in keys:
            keys.add(key)
            rows[number] = tuple(row.values())
    return rows


def _read(column: Column, text: str | None, day: date, known: Mapping[str, set[str]]) -> Any:
    if not text:
        if column.required:
            raise ValueError("missing")
        return None
    value = _typed(column, text)
    first, last = column.days or (None, None)
    wrong = (
        (column.minimum is not None and value < column.minimum),
        (column.maximum is not None and value > column.maximum),
        (column.choices and value not in column.choices),
        (column.reference and value not in known[column.reference]),
        (first is not None and (value - day).days < first),
        (last is not None and (value - day).days > last),
        (column.type == "text" and len(value) > column.longest),
    )
    if any(wrong):
        raise ValueError("not accepted")
    return value


def _typed(column: Column, text: str) -> Any:
    if column.type == "text":
        return text
    if column.type == "date":
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.A):
            raise ValueError("no date")
        return date.fromisoformat(text)
    match = WHOLE.fullmatch(text)
    if match is None:
        raise ValueError("no number")
    sign, digits = match.groups()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2].lower(), 10)
    value = int(sign + digits.replace("_", ""), base)
    if not -LIMITS[column.type] <= value < LIMITS[column.type]:
        raise ValueError("too large")
    return value
