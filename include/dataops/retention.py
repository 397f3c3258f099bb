"""Which months of `raw` leave the warehouse, and how: copied, verified, and dropped in one transaction.

A month leaves when it is past the domain's retention and a model was trained on it. The order is file, read back and
compared, manifest, drop: an end at any moment loses nothing, and the next run goes on from there.
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Domain, Source
from include.core.ledger import NotReadyError
from include.dataops import archive, cold_copy, parquet
from include.dataops.cold_storage import ArchiveError, Manifest

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

# A drop that waits for a long reader makes everybody wait behind it, so it soon gives up and is tried again.
LOCK_SECONDS = 5


def plan_archive(domain: Domain, as_of: date) -> list[str]:
    """The months, as YYYY-MM, of which a source may leave the warehouse on `as_of`."""
    return sorted({f"{month:%Y-%m}" for _, month in _due(domain, as_of)})


def archive_month(domain: Domain, month: str, as_of: date, run_id: str) -> list[str]:
    """Move what is due of a month to cold storage; returns the names of the sources that left the warehouse.

    Raises NotReadyError when the rows are in use or being changed, and ArchiveError when they cannot be kept exactly.
    """
    first = archive.first_day(month)
    for source, of_month in _due(domain, as_of):
        if of_month == first:
            _archive(domain.source(source), first, as_of, run_id)
    # By the ledger: a try that was killed after its drop has to be announced by the one that follows it.
    with warehouse.transaction() as cursor:
        cursor.execute(
            "select source from quality.archives where month = %s and run_id = %s and state = 'archived' order by 1",
            (first, run_id),
        )
        return [source for (source,) in cursor.fetchall()]


def _due(domain: Domain, as_of: date) -> list[tuple[str, date]]:
    """The (source, month) pairs in the warehouse that are past retention and that a model was trained on."""
    from psycopg2 import sql

    kept_from = as_of - timedelta(days=domain.retention)
    months = [month for month in warehouse.months(domain.first_day, kept_from) if archive.last_day(month) < kept_from]
    due = []
    with warehouse.transaction() as cursor:
        cursor.execute("select distinct fitted_from, fitted_through from ml.models")
        trained = cursor.fetchall()
        for source, month in _attached(cursor, [source.name for source in domain.sources], months):
            # By way of the parent: the partition itself may leave at this moment, by the task of that month.
            table, days = sql.Identifier("raw", source), (month, archive.last_day(month))
            cursor.execute(sql.SQL("select min(as_of) from {} where as_of between %s and %s").format(table), days)
            (first,) = cursor.fetchone()  # type: ignore[misc]
            if first and any(since <= first and archive.last_day(month) <= through for since, through in trained):
                due.append((source, month))
    return due


def _archive(source: Source, month: date, as_of: date, run_id: str) -> bool:
    """Copy, verify and drop one partition; False when another run was faster."""
    from psycopg2.errors import LockNotAvailable

    # Two runs would write over each other's manifest. The lock has a transaction of its own, so that nothing else is
    # locked while cold storage is written.
    with warehouse.transaction() as guard:
        warehouse.lock(guard, "archiving", source.name, f"{month:%Y-%m}")
        if not _attached(guard, [source.name], [month]):
            return False
        if archive.state_of(guard, source, month)[0] == "archived":
            raise archive.mixed(source, month)
        manifest = cold_copy.ensure(source, month, archive.partition_of(source.name, month))
        try:
            _drop(source, month, manifest, as_of, run_id)
        except LockNotAvailable as error:
            raise NotReadyError(
                f"raw.{source.name} is in use, and {month:%Y-%m} could not be dropped within {LOCK_SECONDS} seconds."
                " Its rows are in cold storage and still in the warehouse. Clear this task when the long query is over."
            ) from error
    return True


def _drop(source: Source, month: date, manifest: Manifest, as_of: date, run_id: str) -> None:
    """Take the partition out of the warehouse, if it still holds what the manifest says, and write the ledger."""
    from psycopg2 import sql

    partition = archive.partition_of(source.name, month)
    with warehouse.transaction() as cursor:
        cursor.execute("select set_config('lock_timeout', %s, true)", (f"{LOCK_SECONDS}s",))
        warehouse.lock_months(cursor, source.name, month, month)
        warehouse.lock(cursor, "archive", f"{month:%Y-%m}")  # shared by `hold`
        cursor.execute(sql.SQL("lock table {} in share mode").format(partition))
        _refuse_undeclared_columns(cursor, source)
        if parquet.content(cursor, partition, manifest.schema).checksum != manifest.checksum:
            raise NotReadyError(
                f"raw.{source.name} of {month:%Y-%m} was changed while it was being archived. Nothing was dropped."
                " Clear this task, and the rows as they are now are written."
            )
        cursor.execute(
            sql.SQL("alter table {} detach partition {}").format(sql.Identifier("raw", source.name), partition)
        )
        cursor.execute(sql.SQL("drop table {}").format(partition))
        cursor.execute(
            warehouse.statement("dataops/record_archive"),
            {
                "source": source.name,
                "month": month,
                "path": manifest.path,
                "row_count": manifest.rows,
                "checksum": manifest.checksum,
                "file_sha256": manifest.sha256,
                "as_of": as_of,
                "run_id": run_id,
            },
        )


def _attached(cursor: "Cursor", sources: list[str], months: list[date]) -> list[tuple[str, date]]:
    """Those of the (source, month) pairs that the warehouse has a partition of."""
    cursor.execute(warehouse.statement("dataops/attached_months"), {"sources": sources, "months": months})
    return cursor.fetchall()


def _refuse_undeclared_columns(cursor: "Cursor", source: Source) -> None:
    """A column that the domain does not declare would not be in the file, and be lost."""
    cursor.execute(warehouse.statement("dataops/table_shape"), {"schema": "raw", "table": source.name})
    lost = sorted({name for name, *_ in cursor.fetchall()} - set(parquet.schema_of(source)))
    if lost:
        raise ArchiveError(
            f"raw.{source.name} has columns that the source does not declare: {', '.join(lost)}. Declare them in the"
            " domain, or drop them. Nothing was dropped."
        )
