"""From the landing zone into `raw`: one drop or many, valid rows in, the others into quarantine, none lost.

First the lines of the drops go as text into staging tables of the run (`staging.py`). Then one statement a source
(`rules.py`) types them, and replaces its partition of those days. That is one transaction, so a crash leaves either
the old rows of those days or the new ones.
"""

from collections.abc import Sequence
from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from include.core import alerts, ledger, warehouse
from include.core.domain import Domain, Source, days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError, Passage, Stage
from include.dataops import archive, rules, staging
from include.dataops.staging import Staged, StagedDrop

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

Counts = dict[str, int]  # {"lines", "raw_rows", "quarantined_rows"}


def create_tables(cursor: "Cursor", domain: Domain) -> None:
    """Make `raw.<source>` as the domain declares it, partitioned by the as-of day. Existing tables are kept.

    A column that was added to the declaration is added to the table; it is empty for the days before.
    """
    from psycopg2 import sql

    for source in domain.sources:
        table = sql.Identifier("raw", source.name)
        cursor.execute(
            sql.SQL(
                "create table if not exists {} (as_of date not null, line integer not null) partition by range (as_of)"
            ).format(table)
        )
        cursor.execute(warehouse.statement("dataops/table_shape"), {"schema": "raw", "table": source.name})
        known = {name: kind for name, kind, *_ in cursor.fetchall()}
        for column in source.columns:
            name = sql.Identifier("raw", source.name, column.name)
            if column.name not in known:  # even an alter that changes nothing waits for every reader of the table
                cursor.execute(
                    sql.SQL("alter table {} add column {} {}").format(
                        table, sql.Identifier(column.name), sql.SQL(column.type)
                    )
                )
            elif known[column.name].replace("timestamp with time zone", "timestamptz") != column.type:
                raise DomainError(
                    f"raw.{source.name}.{column.name} is {known[column.name]}, and the domain declares {column.type}."
                    f" Run: alter table raw.{source.name} alter column {column.name} type {column.type}"
                )
            cursor.execute(sql.SQL("comment on column {} is {}").format(name, sql.Literal(column.meaning)))


def stage_drop(domain: Domain, day: date, run_id: str) -> list[dict[str, Any]]:
    """Copy every source's file of a day into staging tables of the run; returns what `load_drop` needs."""
    domain.check_days(day, day)
    return [staging.stage(source, [day], run_id).to_json() for source in domain.sources]


def load_drop(domain: Domain, staged: Sequence[dict[str, Any]], run_id: str) -> dict[str, Counts]:
    """Replace the rows of every source by what `stage_drop` staged, and write the day into the ledger."""
    tables = [Staged.from_json(value) for value in staged]
    counts = {table.source: load_staged(domain, table, run_id) for table in tables}
    record_ingested(sorted({drop.day for table in tables for drop in table.drops}), run_id, Passage.CHAIN)
    return counts


def load_source(domain: Domain, source: Source, start: date, end: date, run_id: str) -> Counts:
    """Stage and load the drops of `[start, end]` of one source.

    Raises NotReadyError for a drop that is missing or half written, and BadDropError for one that cannot be read;
    then nothing of the interval has changed.
    """
    domain.check_days(start, end)
    staged = staging.stage(source, days_between(start, end), run_id)
    counts = load_staged(domain, staged, run_id)
    staging.drop_table(staged)
    return counts


def load_staged(domain: Domain, staged: Staged, run_id: str) -> Counts:
    """Replace `raw.<source>` and its quarantine for the staged days.

    Raises NotReadyError when a reference table that the rows are compared with is empty.
    """
    from psycopg2 import sql

    source = domain.source(staged.source)
    days = [date.fromisoformat(drop.day) for drop in staged.drops]
    start, end = days[0], days[-1]
    lines = [drop.lines for drop in staged.drops]
    bound = {
        "source": source.name,
        "run_id": run_id,
        "start": start,
        "end": end,
        "days": days,
        "firsts": [1 + before for before in accumulate(lines[:-1], initial=0)],
        "lines": lines,
        "hashes": [drop.sha256 for drop in staged.drops],
        "files": [drop.file for drop in staged.drops],
    }
    table = sql.Identifier("raw", source.name)
    archive.restore_missing(domain, start, end, run_id)
    warehouse.make_partitions(source.name, start, end)
    with warehouse.transaction() as cursor:
        warehouse.lock_months(cursor, source.name, start, end)
        archive.hold(cursor, domain, start, end)
        _require_references(cursor, source)
        _require_staged(cursor, staged)
        corrected = _corrected(cursor, bound)
        cursor.execute(
            "delete from quarantine.rows where source = %(source)s and as_of between %(start)s and %(end)s", bound
        )
        cursor.execute(sql.SQL("delete from {} where as_of between %(start)s and %(end)s").format(table), bound)
        warehouse.join_by_hash(cursor)
        loading = rules.Loading(domain, source, staged.table)
        cursor.execute(loading.load_valid, bound)
        loaded = cursor.rowcount
        cursor.execute(loading.remove_repeated, bound)
        if loaded - cursor.rowcount < sum(lines):
            cursor.execute(loading.quarantine_rest, bound)
        warehouse.ensure_keys(cursor, source.name, start, end)
        cursor.execute(sql.SQL(warehouse.statement("dataops/record_partitions")).format(raw=table), bound)
        sums = map(sum, zip(*cursor.fetchall(), strict=True))
        counts = dict(zip(("lines", "raw_rows", "quarantined_rows"), sums, strict=True))
        cursor.execute(warehouse.statement("dataops/record_drops"), bound)
        # Before the end of the transaction: after it, a retry would find nothing to tell any more.
        for drop in staged.drops:
            _warn_of_columns(source, drop)
        for day in corrected:
            _warn_of_correction(source, day)
    return counts


def record_ingested(days: Sequence[date | str], run_id: str, passage: Passage) -> None:
    """Write in the ledger that every source of these days is in `raw`."""
    with warehouse.transaction() as cursor:
        for day in days:
            ledger.record(cursor, date.fromisoformat(str(day)), Stage.INGESTED, run_id, detail={"by": passage})


def _require_references(cursor: "Cursor", source: Source) -> None:
    """Refuse to compare with an empty table: every row of the drop would be rejected.

    Until the transaction ends the tables stay as they are.
    """
    from psycopg2 import sql

    if rules.reference_tables(source):
        warehouse.lock_shared(cursor, "reference")
    for table in rules.reference_tables(source):
        cursor.execute("select to_regclass(format('reference.%%I', %s::text)) is not null", (table,))
        (known,) = cursor.fetchone() or (False,)
        if known:
            cursor.execute(sql.SQL("select exists (select from {})").format(sql.Identifier("reference", table)))
            (known,) = cursor.fetchone() or (False,)
        if not known:
            raise NotReadyError(
                f"reference.{table} is empty, and rows of {source.name} are compared with it."
                " Trigger prepare_project, which loads it, then clear this task."
            )


def _require_staged(cursor: "Cursor", staged: Staged) -> None:
    """The text has no log of its own: after a crash of the server its table is empty."""
    from psycopg2 import errors, sql

    try:
        cursor.execute(sql.SQL("select count(*) from {}").format(sql.Identifier("staging", staged.table)))
        (lines,) = cursor.fetchone() or (0,)
    except errors.UndefinedTable:
        lines = 0
    if lines != sum(drop.lines for drop in staged.drops):
        raise NotReadyError(
            f"The text of {staged.source} is no longer staged. Clear stage_drop of this run, and what follows it."
        )


def _corrected(cursor: "Cursor", bound: dict[str, Any]) -> list[date]:
    """The days of this load that were loaded before, with another content, and that features were built from."""
    cursor.execute(warehouse.statement("dataops/corrected_days"), bound)
    return [day for (day,) in cursor.fetchall()]


def _warn_of_columns(source: Source, drop: StagedDrop) -> None:
    day = date.fromisoformat(drop.day)
    if drop.extra:
        alerts.raise_alert(
            day,
            "extra_columns",
            source.name,
            f"{drop.file} has columns that the domain does not declare: {', '.join(drop.extra)[:500]}."
            " The drop was loaded without them. Declare them in the domain's Source if they are of use.",
        )
    if drop.absent:
        alerts.raise_alert(
            day,
            "absent_columns",
            source.name,
            f"{drop.file} lacks the optional columns {', '.join(drop.absent)}. It was loaded, with nulls in them.",
        )


def _warn_of_correction(source: Source, day: date) -> None:
    alerts.raise_alert(
        day,
        "corrected_drop",
        source.name,
        f"Another drop of {source.name} has replaced that of {day}, and features of later days were built from the"
        " one before. They are built again when those of this day are; until then no training uses them. Predictions"
        " that were made stay. To score those days again, replay them: airflow backfill create --dag-id ingest_sources"
        " --reprocess-behavior completed",
    )
