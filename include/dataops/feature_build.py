"""Build views for an interval of as-of days: one statement a view, the same for a day and for a year.

What a day holds is decided by the drops of its reach and by the SQL, and by nothing else: neither the order of builds
nor the cut of the range nor what stood there before.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import ledger, warehouse
from include.core.domain import Domain, days_between
from include.core.errors import DomainError
from include.core.feature_view import FeatureView, Kind
from include.core.ledger import NotReadyError, Stage
from include.dataops import archive, feature_registry, feature_statistics
from include.dataops.feature_registry import intervals

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

log = logging.getLogger(__name__)
Contents = list[tuple[Any, ...]]


def build(
    domain: Domain, views: Iterable[str], start: date, end: date, run_id: str, *, stale_only: bool = False
) -> dict[str, int]:
    """Replace these views for `[start, end]`, and what is stale of the views below them; returns the rows of each.

    With `stale_only`, days that are built from the present SQL and drops stay. Raises NotReadyError, after all other
    days are built, for those of which a drop is neither checked nor waived.
    """
    domain.check_days(start, end)
    chosen = sorted({domain.view(name) for name in views}, key=domain.built_views.index)
    feature_registry.ensure_registered(domain)
    reach = max(view.reach for view in chosen)
    archive.restore_missing(domain, _back(domain, start, reach), end, run_id)
    with warehouse.transaction() as cursor:
        days = days_between(start, end)
        if stale_only:
            stale = feature_registry.stale_days(cursor, chosen, start, end)
            days = sorted({day for of_view in stale.values() for day in of_view})
        unusable = _unusable(cursor, domain, reach, days)
        read = _contents(cursor, _back(domain, start, reach), end)
    blocked = {day for day in days if any(_back(domain, day, reach) <= bad <= day for bad, *_ in unusable)}
    rows = dict.fromkeys((view.name for view in chosen), 0)
    for first, last in intervals(set(days) - blocked):
        built = _build_interval(domain, chosen, first, last, run_id, read, stale_only)
        for name, number in built.items():
            rows[name] += number
        log.info("%s to %s: %s rows in %s views", first, last, f"{sum(built.values()):,}", len(built))
    if set(domain.views) <= set(chosen):
        _record_missing(set(days_between(start, end)) - blocked, run_id)
    if blocked:
        raise NotReadyError(_told(domain, reach, sorted(blocked), unusable, len(days)))
    return rows


def build_day(domain: Domain, as_of: date, run_id: str) -> dict[str, int]:
    """Replace every view for one day; returns the rows of each.

    Later days that were built from another content of this day's drop are built again. Predictions that were made from
    them stay: they are what was decided on that morning.
    """
    everything = [view.name for view in domain.built_views]
    rows = build(domain, everything, as_of, as_of, run_id)
    until = as_of + timedelta(days=domain.reach - 1)
    with warehouse.transaction() as cursor:
        stale = feature_registry.stale_days(cursor, domain.built_views, as_of + timedelta(days=1), until)
    outdated = {day for days in stale.values() for day, why in days.items() if why == feature_registry.OTHER_DROPS}
    for first, last in intervals(outdated):
        log.info("The drops of %s were others when %s to %s were built: they are built again", as_of, first, last)
        try:
            build(domain, everything, first, last, run_id, stale_only=True)
        except NotReadyError as error:
            log.warning("%s They stay stale, and no training uses them.", error)
    return rows


def unusable_lookback(domain: Domain, as_of: date) -> str | None:
    """Which drops that the views of a day read are neither checked nor waived, in words; None when all may be used."""
    with warehouse.transaction() as cursor:
        unusable = _unusable(cursor, domain, domain.reach, [as_of])
    return _told(domain, domain.reach, [as_of], unusable, 1) if unusable else None


def _build_interval(
    domain: Domain,
    chosen: Sequence[FeatureView],
    start: date,
    end: date,
    run_id: str,
    read: Contents,
    stale_only: bool,
) -> dict[str, int]:
    """Build `[start, end]`, of which every drop may be used: first what other views read, then the rest.

    Two transactions, so that a chunk that waits for days of the chunk before it does not wait for all of its work.
    """
    first_drop = _back(domain, start, max(view.reach for view in chosen))
    known = [content for content in read if first_drop <= content[0] <= end]
    needed = _needed_from(domain, chosen, start)
    below = {name for view in domain.built_views for name in view.reads}
    rows: dict[str, int] = {}
    for is_below in (True, False):
        level = [view for view in domain.built_views if view.name in needed and (view.name in below) is is_below]
        with warehouse.transaction() as cursor:
            archive.hold(cursor, domain, first_drop, end)
            for view in level:
                for month in warehouse.months(needed[view.name], end):
                    warehouse.lock(cursor, "features", view.name, f"{month:%Y-%m}")
                stale = feature_registry.stale_days(cursor, [view], needed[view.name], end).get(view.name, {})
                days = set(stale)
                if view in chosen and not stale_only:
                    days.update(days_between(start, end))
                built = sum(_replace(cursor, domain, view, *interval) for interval in intervals(days))
                if view in chosen:
                    rows[view.name] = built
            if not is_below and set(domain.views) <= set(chosen):
                for day in days_between(start, end):
                    ledger.record(cursor, day, Stage.BUILT, run_id)
            if _contents(cursor, first_drop, end) != known:
                raise NotReadyError(
                    f"A drop of {first_drop} to {end} was replaced while features were built. Clear this task."
                )
    return rows


def _record_missing(built: set[date], run_id: str) -> None:
    """Write the days into the ledger that it lacks: those that were built view by view."""
    with warehouse.transaction() as cursor:
        cursor.execute("select as_of from quality.stages where stage = %s", (Stage.BUILT,))
        for day in sorted(built - {day for (day,) in cursor.fetchall()}):
            ledger.record(cursor, day, Stage.BUILT, run_id)


def _needed_from(domain: Domain, chosen: Sequence[FeatureView], start: date) -> dict[str, date]:
    """The first day that each of these views, and of those below them, has to hold for days from `start` on."""
    needed = {view.name: start for view in chosen}
    for view in reversed(domain.built_views):
        if view.name in needed:
            for name in view.reads:
                first = _back(domain, needed[view.name], view.lookback)
                needed[name] = min(first, needed.get(name, first))
    return needed


def _replace(cursor: "Cursor", domain: Domain, view: FeatureView, start: date, end: date) -> int:
    """Build one view for these days by one statement, and write what it was built from."""
    from psycopg2 import sql

    interval: dict[str, Any] = {"start": start, "end": end}
    table = feature_registry.table_of(view)
    cursor.execute(sql.SQL("delete from {} where as_of between %(start)s and %(end)s").format(table), interval)
    columns = sql.SQL(", ").join(map(sql.Identifier, ("as_of", *(column.name for column in view.columns))))
    cursor.execute(
        sql.SQL("insert into {} ({}) select {} from ({}\n) as built").format(
            table, columns, columns, sql.SQL(view.sql)
        ),
        interval,
    )
    rows: int = cursor.rowcount
    cursor.execute(
        sql.SQL(warehouse.statement("dataops/record_features")).format(table=table),
        {
            **interval,
            "view": view.name,
            "version": view.version,
            "sources": list(view.sources),
            "reach": view.reach,
            "first_day": domain.first_day,
        },
    )
    within = sum(number for (number,) in cursor.fetchall())
    if within != rows:
        raise DomainError(
            f"{view.name}.sql gives {rows - within} rows of days outside {start} to {end}: limit its as_of by them."
        )
    if view.kind is not Kind.TALLY:
        feature_statistics.record(cursor, view, start, end)
    return rows


def _contents(cursor: "Cursor", start: date, end: date) -> Contents:
    """Which file each drop was loaded from, when, and what is thought of it."""
    cursor.execute(
        "select as_of, source, file_sha256, run_id, state from quality.partitions where as_of between %s and %s"
        " order by 1, 2",
        (start, end),
    )
    return cursor.fetchall()


def _unusable(cursor: "Cursor", domain: Domain, reach: int, days: Sequence[date]) -> list[tuple[date, str, str]]:
    """The (day, source, state) of drops that these days read and nobody vouches for."""
    if not days:
        return []
    first = _back(domain, days[0], reach)
    return ledger.unusable_days(cursor, (source.name for source in domain.sources), first, days[-1])


def _told(
    domain: Domain, reach: int, blocked: Sequence[date], unusable: Sequence[tuple[date, str, str]], asked: int
) -> str:
    """Which days cannot be built, for want of which drops, and what mends that."""
    first = _back(domain, blocked[0], reach)
    bad = [(day, source, state) for day, source, state in unusable if first <= day <= blocked[-1]]
    told = ", ".join(f"{day} of {source} ({state})" for day, source, state in bad[:6])
    more = f" and {len(bad) - 6} more" if len(bad) > 6 else ""
    built = f" The other {asked - len(blocked)} days are built." if asked > len(blocked) else ""
    return (
        f"The features of {blocked[0]} to {blocked[-1]} read the drops from {first} on, and these are not checked:"
        f" {told}{more}.{built} Correct or waive what failed, and for what is missing run: airflow backfill create"
        f" --dag-id ingest_sources --from-date {bad[0][0]} --to-date {bad[-1][0]}T23:59:59 --reprocess-behavior"
        " completed"
    )


def _back(domain: Domain, day: date, reach: int) -> date:
    """The first of `reach` drops up to a day; before the first day of the calendar there are none."""
    return max(domain.first_day, day - timedelta(days=reach - 1))
