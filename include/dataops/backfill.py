"""The steps of a backfill over a range of as-of days, one chunk (a calendar month) at a time.

Each step leaves alone what is done, so a backfill that stopped half way takes up where it was. What is wrong with a day
is told at the end of the step, after all other days of the chunk are done.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from include.core import ledger, warehouse
from include.core.domain import Domain, days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError, Passage, Stage
from include.dataops import feature_build, feature_registry, landing, quality
from include.dataops.drops import BadDropError
from include.dataops.feature_registry import intervals
from include.dataops.quality import FailedChecksError

log = logging.getLogger(__name__)
# Each chunk that is worked on holds a connection, its month's locks and the text of its drops: so never all at once.
CHUNKS_AT_ONCE = 4

# {"start", "end": ISO days, both included; "ingest": drops, "check": days, "build": {view: days} that are to be done}
Chunk = dict[str, Any]


def plan(domain: Domain, start: str, end: str, views: list[str], *, rebuild: bool) -> list[Chunk]:
    """The chunks of `[start, end]` and what there is to do in each; logs the same in words. Changes nothing.

    No views named means all. Days that are built from the present SQL and drops are left out unless `rebuild`. A
    DomainError refuses days that are none or outside the calendar, and views that do not exist.
    """
    chosen = [domain.view(name) for name in views or _all(domain)]
    bounds = cut(domain, start, end)
    with warehouse.transaction() as cursor:
        sources = [source.name for source in domain.sources]
        unusable = ledger.unusable_days(cursor, sources, bounds[0][0], bounds[-1][1])
        stale = feature_registry.stale_days(cursor, chosen, bounds[0][0], bounds[-1][1])
    chunks: list[Chunk] = []
    for first, last in bounds:
        of_chunk = [(day, state) for day, _, state in unusable if first <= day <= last]
        to_build = {
            view.name: len(days_between(first, last))
            if rebuild
            else sum(first <= day <= last for day in stale.get(view.name, {}))
            for view in chosen
        }
        chunk = {
            "start": first.isoformat(),
            "end": last.isoformat(),
            "ingest": sum(state == ledger.NOT_INGESTED for _, state in of_chunk),
            "check": len({day for day, _ in of_chunk}),
            "build": {name: days for name, days in to_build.items() if days},
        }
        chunks.append(chunk)
        log.info("%s to %s: %s", first, last, _told(chunk))
    return chunks


def cut(domain: Domain, start: str, end: str) -> list[tuple[date, date]]:
    """`[start, end]` cut at the ends of months. A DomainError refuses what is no range inside the calendar."""
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except ValueError:
        raise DomainError(f"start is {start!r} and end is {end!r}. Give both as days YYYY-MM-DD.") from None
    domain.check_days(first, last)
    starts = [first, *(day for day in days_between(first, last)[1:] if day.day == 1)]
    edges = [*starts, last + timedelta(days=1)]
    return [(a, b - timedelta(days=1)) for a, b in pairwise(edges)]


def ingest_missing(domain: Domain, chunk: Chunk, run_id: str) -> int:
    """Load the drops of the chunk that are not held yet, as few intervals at a time as possible; returns the days.

    An interval with a bad or missing drop is loaded day by day. Raises for the bad ones after all others are loaded.
    """
    before = _not_ingested(domain, chunk)
    errors: list[Exception] = []
    for source in domain.sources:
        load = partial(landing.load_source, domain, source, run_id=run_id)
        for first, last in intervals(day for day, name in before if name == source.name):
            found = _each(load, [(first, last)], (BadDropError, NotReadyError))
            if found and first < last:
                found = _each(load, [(day, day) for day in days_between(first, last)], (BadDropError, NotReadyError))
            errors += found
    absent = {day for day, _ in _not_ingested(domain, chunk)}
    complete = sorted({day for day, _ in before} - absent)
    landing.record_ingested(complete, run_id, Passage.BACKFILL)
    _raise_all(errors)
    return len(complete)


def check_unchecked(domain: Domain, chunk: Chunk, run_id: str) -> int:
    """Check the days of the chunk that have no verdict yet, or a bad one; returns how many.

    Raises for those that fail, and for those that are not ingested, after all others have their verdict.
    """
    unusable = _unusable(domain, chunk)
    absent = {day for day, _, state in unusable if state == ledger.NOT_INGESTED}
    days = {day for day, *_ in unusable}
    check = partial(quality.check_days, domain, run_id=run_id, passage=Passage.BACKFILL)
    _raise_all(_each(check, [*intervals(days - absent), *intervals(absent)], (FailedChecksError, NotReadyError)))
    return len(days)


def build_chunk(domain: Domain, chunk: Chunk, views: list[str], run_id: str, *, rebuild: bool) -> dict[str, int]:
    """Build these views (none named: all of them) over the chunk, where they are stale or all of it with `rebuild`.

    Returns the rows of each. Raises NotReadyError for days of which a drop may not be used, after all others are built.
    """
    return feature_build.build(domain, views or _all(domain), *_bounds(chunk), run_id, stale_only=not rebuild)


def announce(end: str, run_id: str) -> None:
    """Write in the ledger that the last day goes on down the chain, so that the day after it waits for it."""
    with warehouse.transaction() as cursor:
        for stage in (Stage.INGESTED, Stage.CHECKED):
            ledger.record(cursor, date.fromisoformat(end), stage, run_id, detail={"by": Passage.CHAIN})


def _each(
    step: Callable[[date, date], object], ranges: Iterable[tuple[date, date]], expected: tuple[type[Exception], ...]
) -> list[Exception]:
    """Call `step` for every range, whatever becomes of the one before; returns the errors that are expected."""
    errors = []
    for first, last in ranges:
        try:
            step(first, last)
        except expected as error:
            errors.append(error)
    return errors


def _raise_all(errors: list[Exception]) -> None:
    """One error for all: of the kind of the first, with the words of each."""
    if errors:
        raise type(errors[0])("\n".join(map(str, errors))) from errors[0]


def _told(chunk: Chunk) -> str:
    """What there is to do in a chunk, in words."""
    builds = ", ".join(f"{name} {days}" for name, days in chunk["build"].items())
    parts = [
        f"{chunk['ingest']} drops to ingest" if chunk["ingest"] else "",
        f"{chunk['check']} days to check" if chunk["check"] else "",
        f"days to build: {builds}" if builds else "",
    ]
    return "; ".join(part for part in parts if part) or "nothing to do"


def _all(domain: Domain) -> list[str]:
    return [view.name for view in domain.built_views]


def _not_ingested(domain: Domain, chunk: Chunk) -> list[tuple[date, str]]:
    return [(day, source) for day, source, state in _unusable(domain, chunk) if state == ledger.NOT_INGESTED]


def _unusable(domain: Domain, chunk: Chunk) -> list[tuple[date, str, str]]:
    with warehouse.transaction() as cursor:
        return ledger.unusable_days(cursor, [source.name for source in domain.sources], *_bounds(chunk))


def _bounds(chunk: Chunk) -> tuple[date, date]:
    return date.fromisoformat(chunk["start"]), date.fromisoformat(chunk["end"])
