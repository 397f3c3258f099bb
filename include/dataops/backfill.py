"""The steps of a backfill over a range of as-of days, one chunk (a calendar month) at a time.

Each step leaves alone what is done: a backfill that stopped half way takes up where it was.
"""

from datetime import date, timedelta
from itertools import pairwise

from include.core import ledger, warehouse
from include.core.domain import Domain, days_between
from include.core.ledger import Passage, Stage
from include.dataops import feature_store, landing, quality

Chunk = dict[str, str]  # {"start", "end"}: ISO days, both included


def plan_chunks(domain: Domain, start: str, end: str) -> list[Chunk]:
    """Cut `[start, end]` at the ends of months. A DomainError refuses days outside the calendar."""
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    domain.check_days(first, last)
    starts = [first, *(day for day in days_between(first, last)[1:] if day.day == 1)]
    edges = [*starts, last + timedelta(days=1)]
    return [{"start": a.isoformat(), "end": (b - timedelta(days=1)).isoformat()} for a, b in pairwise(edges)]


def ingest_missing(domain: Domain, chunk: Chunk, run_id: str) -> Chunk:
    """Load the drops of the chunk that no source holds yet, as few intervals at a time as possible."""
    loaded: set[date] = set()
    for source in domain.sources:
        missing = _days_in_state(chunk, [source.name], ledger.NOT_INGESTED)
        for first, last in _intervals(missing):
            landing.load_source(domain, source, first, last, run_id)
        loaded.update(missing)
    landing.record_ingested(sorted(loaded), run_id, Passage.BACKFILL)
    return chunk


def check_unchecked(domain: Domain, chunk: Chunk, run_id: str) -> Chunk:
    """Check the days of the chunk that have no verdict yet, or a bad one."""
    sources = [source.name for source in domain.sources]
    with warehouse.transaction() as cursor:
        unusable = ledger.unusable_days(cursor, sources, *_bounds(chunk))
    for first, last in _intervals(sorted({day for day, _, _ in unusable})):
        quality.check_days(domain, first, last, run_id, Passage.BACKFILL)
    return chunk


def build_chunk(domain: Domain, chunk: Chunk, views: list[str], run_id: str) -> dict[str, int]:
    """Replace these views (none named: all of them) over the chunk; returns the rows of each."""
    return feature_store.build(domain, views or [view.name for view in domain.views], *_bounds(chunk), run_id)


def announce(end: str, run_id: str) -> None:
    """Write in the ledger that the last day goes on down the chain, so that the day after it waits for it."""
    with warehouse.transaction() as cursor:
        for stage in (Stage.INGESTED, Stage.CHECKED):
            ledger.record(cursor, date.fromisoformat(end), stage, run_id, detail={"by": Passage.CHAIN})


def _days_in_state(chunk: Chunk, sources: list[str], state: str) -> list[date]:
    with warehouse.transaction() as cursor:
        found = ledger.unusable_days(cursor, sources, *_bounds(chunk))
    return sorted({day for day, _, known in found if known == state})


def _bounds(chunk: Chunk) -> tuple[date, date]:
    return date.fromisoformat(chunk["start"]), date.fromisoformat(chunk["end"])


def _intervals(days: list[date]) -> list[tuple[date, date]]:
    """The runs of consecutive days, as (first, last)."""
    starts = [day for day in days if day - timedelta(days=1) not in days]
    ends = [day for day in days if day + timedelta(days=1) not in days]
    return list(zip(starts, ends, strict=True))
