"""The verdict about partitions of `raw`: which days may be used, by their checks and by the word of a person.

A check that fails halts its days; one that warns raises an alert, and the chain goes on. A person may waive what
failed: the drop is then used as it is, until another file replaces it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import alerts, ledger, warehouse
from include.core.domain import Domain, DomainError, days_between
from include.core.ledger import NotReadyError, Passage, Stage
from include.dataops import archive
from include.dataops.checks import CheckResult, scan

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

# {(as-of day, source): (hash of its file, run that loaded it)}
Contents = dict[tuple[date, str], tuple[str, str]]
log = logging.getLogger(__name__)


class FailedChecksError(ValueError):
    """Days that may not be used; the message names the checks that failed."""


@dataclass(frozen=True)
class Waiver:
    """The word of a person that a day is to be used although its checks failed."""

    by: str
    reason: str

    @classmethod
    def from_params(cls, params: Mapping[str, Any], user: str | None) -> "Waiver | None":
        """What the Params `waive` and `reason` ask for; a DomainError when the reason is missing."""
        if not params["waive"]:
            return None
        reason = str(params["reason"]).strip()
        if not reason:
            raise DomainError("A waiver needs a reason: trigger check_quality again and fill in the Param `reason`.")
        return cls(user or "somebody without a login", reason)


def check_days(
    domain: Domain, start: date, end: date, run_id: str, passage: Passage, waiver: Waiver | None = None
) -> None:
    """Check every source for the days `[start, end]` and write states, results and the ledger.

    A range is scanned at once; only when that fails is each day looked at alone, so that a bad day does not take
    its neighbours along. Raises FailedChecksError after the verdicts are written; not for what `waiver`, or one that
    was given before for the same file, accepts. NotReadyError names days that are not ingested.
    """
    contents = _require_ingested(domain, start, end)
    first = start - timedelta(days=max(view.lookback for view in domain.views))
    archive.restore_missing(domain, first, end, run_id)
    with warehouse.transaction() as guard:
        archive.hold(guard, domain, first, end)
        results = scan(domain, start, end)
        if start == end or not _failed(results):
            verdicts = [(start, end, results)]
        else:
            verdicts = [(day, day, scan(domain, day, day)) for day in days_between(start, end)]
    halted = {}
    for begin, last, found in verdicts:
        if bad := _write(contents, begin, last, found, run_id, passage, waiver):
            halted[f"{last}"] = [result for result in _failed(found) if result.source in bad]
    if halted:
        told = "; ".join(
            f"{day}: " + ", ".join(f"{result.source}: {result.name}" for result in found)
            for day, found in halted.items()
        )
        raise FailedChecksError(
            f"Checks failed, and nothing downstream will use these days. {told}."
            " Ask upstream for a corrected drop and replay the day through ingest_sources; or accept it as it is:"
            " trigger check_quality with the day as partition key and the Params waive and reason."
        )


def _require_ingested(domain: Domain, start: date, end: date) -> Contents:
    """What the partitions hold, for the verdict is about that; NotReadyError names those that are not ingested."""
    with warehouse.transaction() as cursor:
        contents = _contents(cursor, start, end)
        sources = [source.name for source in domain.sources]
        unusable = ledger.unusable_days(cursor, sources, start, end)
    absent = [(day, source) for day, source, state in unusable if state == ledger.NOT_INGESTED]
    if absent:
        day, source = absent[0]
        raise NotReadyError(
            f"{len(absent)} drop(s) of {start} to {end} are not ingested, the first is {day} of {source}. Run:"
            f" airflow backfill create --dag-id ingest_sources --from-date {day} --to-date {day}T23:59:59"
            " --reprocess-behavior completed"
        )
    return contents


def _contents(cursor: "Cursor", start: date, end: date) -> Contents:
    """Which load of which file each partition holds; they stay as they are until the transaction ends."""
    cursor.execute(
        "select as_of, source, file_sha256, run_id from quality.partitions where as_of between %s and %s"
        " order by as_of, source for update",
        (start, end),
    )
    return {(as_of, source): (sha256, run_id) for as_of, source, sha256, run_id in cursor.fetchall()}


def _failed(results: list[CheckResult]) -> list[CheckResult]:
    return [result for result in results if result.outcome in ("fail", "error")]


def _write(
    contents: Contents,
    start: date,
    end: date,
    results: list[CheckResult],
    run_id: str,
    passage: Passage,
    waiver: Waiver | None,
) -> set[str]:
    """Replace the results of these days and set the state of each partition; returns the sources that halt them."""
    failed = {result.source for result in _failed(results)}
    with warehouse.transaction() as cursor:
        if _contents(cursor, start, end) != {key: held for key, held in contents.items() if start <= key[0] <= end}:
            raise NotReadyError(f"{start} to {end} was loaded again while it was checked. Clear this task.")
        cursor.execute(
            "delete from quality.check_results where as_of between %(start)s and %(end)s", {"start": start, "end": end}
        )
        warehouse.copy_rows(
            cursor,
            "quality",
            "check_results",
            ("as_of", "source", "check_name", "first_day", "outcome", "measured"),
            ((end, result.source, result.name, start, result.outcome, result.measured) for result in results),
        )
        if waiver:
            for source in sorted(failed):
                checks = [result.name for result in _failed(results) if result.source == source]
                cursor.execute(
                    warehouse.statement("dataops/record_waiver"),
                    {"source": source, "start": start, "end": end, "checks": checks, "by": waiver.by}
                    | {"reason": waiver.reason, "run_id": run_id},
                )
        cursor.execute(
            warehouse.statement("dataops/set_states"), {"failed_sources": sorted(failed), "start": start, "end": end}
        )
        halting = {source for source, state in cursor.fetchall() if state == "failed"}
        state = "failed" if halting else "waived" if failed else "done"
        for day in days_between(start, end):
            ledger.record(cursor, day, Stage.CHECKED, run_id, state=state, detail={"by": passage})
    for result in results:
        if result.outcome != "pass":
            subject = f"{result.source}: {result.name}"
            alerts.raise_alert(end, f"check_{result.outcome}", subject, _told(result, start, end))
    if waiver and not failed:
        log.info("Nothing of %s to %s has failed, so there is nothing to waive", start, end)
    elif waiver:
        told = f"{waiver.by} accepted the drop of {', '.join(sorted(failed))} although checks failed: {waiver.reason}"
        alerts.raise_alert(end, "waived", ", ".join(sorted(failed)), told)
    return halting


def _told(result: CheckResult, start: date, end: date) -> str:
    days = f"{end}" if start == end else f"{start} to {end}"
    measured = "" if result.measured is None else f" (measured {result.measured:g})"
    return f"The check '{result.name}' of {result.source} ended with {result.outcome} for {days}{measured}"
