"""What is archived, and how it comes back. Which months leave, and how, is in `retention`.

`quality.archives` has a row for each source and month that ever left. A step that reads or replaces older days calls
`restore_missing` first, and `hold` in the transaction that reads.
"""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Domain, Source
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import cold_copy, cold_storage, parquet
from include.dataops.cold_storage import ArchiveError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Identifier


def plan_restore(domain: Domain, start: str | None, end: str | None) -> list[str]:
    """The archived months, as YYYY-MM, that `[start, end]` touches; a DomainError refuses what is no such range."""
    try:
        first, last = date.fromisoformat(start or ""), date.fromisoformat(end or "")
    except ValueError:
        raise DomainError(
            f"restore_start is {start!r} and restore_end is {end!r}. Give both, as days YYYY-MM-DD inside the calendar"
            f" of {domain.name}; both are included."
        ) from None
    domain.check_days(first, last)
    with warehouse.transaction() as cursor:
        return sorted({f"{month:%Y-%m}" for _, month in _archived(cursor, domain, first, last)})


def restore_month(domain: Domain, month: str, run_id: str) -> list[str]:
    """Bring every archived source of a month back; returns their names."""
    first = first_day(month)
    return [source for source, _ in restore_missing(domain, first, first, run_id)]


def restore_missing(domain: Domain, start: date, end: date, run_id: str = "on demand") -> list[tuple[str, date]]:
    """Bring back what is archived of the months that `[start, end]` touches, as (source, first day of the month).

    One query when nothing is. Raises ArchiveError for a file that is missing or damaged; its month stays archived.
    """
    with warehouse.transaction() as cursor:
        missing = _archived(cursor, domain, start, end)
    return [(source, month) for source, month in missing if _restore(domain.source(source), month, run_id)]


def hold(cursor: "Cursor", domain: Domain, start: date, end: date) -> None:
    """Keep the months that `[start, end]` touches in the warehouse until the caller's transaction ends.

    Raises NotReadyError if one left since `restore_missing`: a step that went on would not see its rows.
    """
    for month in warehouse.months(start, end):
        warehouse.lock_shared(cursor, "archive", f"{month:%Y-%m}")
    if gone := _archived(cursor, domain, start, end):
        told = ", ".join(f"{source} of {month:%Y-%m}" for source, month in gone)
        raise NotReadyError(
            f"{start} to {end} is needed, and these months are archived: {told}. Clear this task, or trigger"
            f" archive_partitions with restore_start {start} and restore_end {end} first."
        )


def _restore(source: Source, month: date, run_id: str) -> bool:
    """Put the rows of one month back, in one transaction; False when another run was faster."""
    from psycopg2 import sql

    manifest = cold_storage.read_manifest(source.name, month)
    if manifest is None:
        raise ArchiveError(
            f"{cold_storage.manifest_path(source.name, month)} is missing, and raw.{source.name} of {month:%Y-%m} is"
            " archived. Put it back in place, for example from a backup, or set COLD_URI to where it is."
        )
    if changed := sorted(set(manifest.schema.items()) - set(parquet.schema_of(source).items())):
        told = ", ".join(f"{name} {kind}" for name, kind in changed)
        raise ArchiveError(
            f"{cold_storage.cold_storage() / manifest.path} has columns that {source.name} does not declare: {told}."
            " Declare them in the domain and add them to the table, then try again."
        )
    partition = partition_of(source.name, month)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "fetched.parquet"
        cold_storage.fetch(manifest, file)
        warehouse.make_partitions(source.name, month, month)
        with warehouse.transaction() as cursor:
            warehouse.lock_months(cursor, source.name, month, month)
            state, checksum = state_of(cursor, source, month)
            if state != "archived":
                return False
            if checksum != manifest.checksum:
                raise ArchiveError(
                    f"{cold_storage.manifest_path(source.name, month)} is of other rows than those that were archived"
                    " (quality.archives has their path and checksum). Put the right manifest back in place."
                )
            cursor.execute(sql.SQL("select exists (select from {})").format(partition))
            if cursor.fetchone() == (True,):
                raise mixed(source, month)
            parquet.copy_into(cursor, sql.Identifier("raw", source.name), file, manifest.schema)
            warehouse.ensure_keys(cursor, source.name, month, month)
            cold_copy.compare(cursor, partition, manifest)
            cursor.execute(
                warehouse.statement("dataops/record_restored"),
                {"source": source.name, "month": month, "run_id": run_id},
            )
    return True


def _archived(cursor: "Cursor", domain: Domain, start: date, end: date) -> list[tuple[str, date]]:
    """The (source, month) pairs that are archived and that `[start, end]` touches."""
    parameters = {"sources": [source.name for source in domain.sources], "start": start.replace(day=1), "end": end}
    cursor.execute(warehouse.statement("dataops/archived_months"), parameters)
    return cursor.fetchall()


def state_of(cursor: "Cursor", source: Source, month: date) -> tuple[str | None, str | None]:
    """The state and checksum in the ledger, both None for a month that never left."""
    cursor.execute(
        "select state, checksum from quality.archives where source = %s and month = %s", (source.name, month)
    )
    return cursor.fetchone() or (None, None)


def mixed(source: Source, month: date) -> ArchiveError:
    """The error for a month that is archived and has rows in the warehouse too."""
    return ArchiveError(
        f"raw.{source.name} of {month:%Y-%m} is archived, and yet the warehouse holds rows of it. Delete those, restore"
        f" the month by archive_partitions with restore_start {month} and restore_end {last_day(month)}, then replay"
        " the days that they were of."
    )


def partition_of(source: str, month: date) -> "Identifier":
    """The partition's table, by the name that `warehouse.ensure_partitions` gives it."""
    from psycopg2 import sql

    return sql.Identifier("raw", f"{source}_{month:%Y_%m}")


def first_day(month: str) -> date:
    """The first day of a month that is written YYYY-MM."""
    return date.fromisoformat(f"{month}-01")


def last_day(month: date) -> date:
    """The last day of the month that begins on `month`."""
    return (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
