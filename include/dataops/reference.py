"""The tables of the schema `reference`: refreshed as a whole from their files, typed as the domain declares them.

A file goes as text into `staging.reference_<name>`, through the Astro SDK or by COPY, and from there into its table.
The second step is the same for both ways. It changes all tables in one transaction or none, and by `delete`, which
keeps the rows for whoever began to read before: no reader sees an empty or a half table, or has to wait. The staging
tables stay until the next load, so that a publication that crashed can be run again.
"""

import csv
import logging
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.astro_sdk import interpreter
from include.core import warehouse
from include.core.domain import Domain, Reference, load_object
from include.dataops import reference_rules, reference_tables
from include.dataops.reference_tables import MEND, BadReferenceError, full_name

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

log = logging.getLogger(__name__)
NO_ROWS = "has no rows, and a reference table without rows would reject every drop"


class Way(StrEnum):
    """How the files get into the warehouse. Each value is also a task id in prepare_project."""

    ASTRO_SDK = "load_with_astro_sdk"
    COPY = "load_without_astro_sdk"


def choose_way(domain: Domain) -> str | None:
    """The way that this deployment has; None when the domain has no reference tables.

    Raises UnusableInterpreterError when there should be an Astro SDK and it cannot be used.
    """
    if not domain.reference:
        return None
    python = interpreter.find_interpreter()
    way = Way.ASTRO_SDK if python else Way.COPY
    log.info("%s: the interpreter of the Astro SDK is %s", way, python or "not here")
    return way.value


def find_files(domain: Domain) -> dict[str, str]:
    """The path of each table's file; a BadReferenceError when one is not a table with the declared columns.

    Looked at as a whole before anything is loaded: pandas would fill up short lines and shift long ones silently.
    """
    files = {reference.name: str(load_object(reference.file)()) for reference in domain.reference}
    for reference in domain.reference:
        _check_file(reference, files[reference.name])
    return files


def load_files(files: dict[str, str]) -> dict[str, int]:
    """Replace `staging.reference_<name>` by each CSV file, as text, and return the rows of each."""
    from psycopg2 import sql

    rows = {}
    with warehouse.transaction() as cursor:
        for name, path in files.items():
            (_, header), *lines = _read(path)
            table = reference_tables.staging(name)
            columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column)) for column in header)
            cursor.execute(sql.SQL("drop table if exists {}").format(table))
            cursor.execute(sql.SQL("create table {} ({})").format(table, columns))
            warehouse.copy_rows(cursor, "staging", table.strings[1], header, (line for _, line in lines))
            rows[name] = len(lines)
    return rows


def publish(domain: Domain, way: Way) -> dict[str, Any]:
    """Replace every reference table by what is staged; returns {"loaded_by", "rows"} for the event.

    Raises BadReferenceError for a column that is missing, a value that is not of its declared type or range, a key
    that stands twice, and a table that must be made anew while something depends on it.
    """
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "reference")
        for reference in domain.reference:
            _check_columns(cursor, reference)
            if found := reference_rules.find_problems(cursor, reference, reference_tables.staging(reference.name)):
                raise BadReferenceError(
                    f"{_file(reference)} cannot be loaded into {full_name(reference)}: {found}. {MEND}"
                )
        rows = {reference.name: _replace(cursor, reference) for reference in domain.reference}
    log.info("Rows of the reference tables: %s", rows)
    return {"loaded_by": way.name.lower(), "rows": rows}


def _check_file(reference: Reference, path: str) -> None:
    told = f"{path}, the file of {full_name(reference)},"
    try:
        (_, header), *lines = _read(path)
    except OSError as error:
        raise BadReferenceError(f"{told} cannot be read: {error.strerror}. {MEND}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadReferenceError(f"{told} is not CSV in UTF-8: {error}. {MEND}") from error
    except ValueError as error:
        raise BadReferenceError(f"{told} is empty. {MEND}") from error
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise BadReferenceError(f"{told} has more than one column {', '.join(twice)}. {MEND}")
    _require_columns(reference, header, told)
    if not lines:
        raise BadReferenceError(f"{told} {NO_ROWS}. {MEND}")
    for number, line in lines:
        if len(line) != len(header):
            raise BadReferenceError(
                f"{told} has {len(line)} values in line {number}, and {len(header)} columns. {MEND}"
            )


def _read(path: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of every line that is not blank, the header first. Ends of lines as the SDK reads them."""
    with Path(path).open(encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        for line in reader:
            if line:
                yield reader.line_num, line


def _require_columns(reference: Reference, have: Sequence[str], told: str) -> None:
    if missing := [column.name for column in reference.columns if column.name not in have]:
        raise BadReferenceError(f"{told} lacks {', '.join(missing)}; it has the columns {', '.join(have)}. {MEND}")


def _check_columns(cursor: "Cursor", reference: Reference) -> None:
    """Look at what is staged: by another task, perhaps for another version of the declaration."""
    have = [name for name, *_ in reference_tables.shape(cursor, f"reference_{reference.name}", "staging")]
    if not have:
        raise BadReferenceError(
            f"Nothing is staged for {full_name(reference)}. Run prepare_project again, or clear its task"
            f" {Way.ASTRO_SDK} or {Way.COPY}, whichever ran, and all after it."
        )
    _require_columns(reference, have, f"{_file(reference)}, the file of {full_name(reference)},")
    if extra := [name for name in have if name not in {column.name for column in reference.columns}]:
        log.warning(
            "%s has columns that %s does not declare, and is loaded without them: %s",
            _file(reference),
            full_name(reference),
            ", ".join(extra),
        )


def _replace(cursor: "Cursor", reference: Reference) -> int:
    rows = reference_tables.replace(cursor, reference)
    if not rows:
        raise BadReferenceError(f"{_file(reference)}, the file of {full_name(reference)}, {NO_ROWS}. {MEND}")
    return rows


def _file(reference: Reference) -> str:
    return str(load_object(reference.file)())
