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
from include.core.domain import Domain, days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError, Passage, Stage
from include.dataops import archive
from include.dataops.checks import CheckResult, scan

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

Partition = tuple[date, str]  # as-of day, source
Contents = dict[Partition, tuple[str, str]]  # the hash of its file, the run that loaded it
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

    A range is scanned at once. A source that fails in it is scanned again, each day alone: so a bad day takes neither
    its neighbours along nor the other sources. Raises FailedChecksError after the verdicts are written; not for what
    `waiver`, or one that was given before for the same file, accepts. NotReadyError names days that are not ingested,
    or says that a drop was loaded again meanwhile; then nothing is written.
    """
    contents = _require_ingested(domain, start, end)
    first = start - timedelta(days=domain.reach)
    archive.restore_missing(domain, first, end, run_id)
    # Checks compare with earlier days, and to a check a month that left for the archive looks like days that never
    # were. So one transaction, which holds this lock and nothing else, is open over all scans: with one for each, a
    # month could leave between the range and its days.
    with warehouse.transaction() as guard:
        archive.hold(guard, domain, first, end)
        results = _scan_range(domain, start, end)
    halting = _write(contents, start, end, results, run_id, passage, waiver)
    _raise_alerts(results, waiver)
    if halting:
        raise FailedChecksError(
            f"Checks failed, and nothing downstream will use these days. {_told_by_day(results, halting)}."
            " Ask upstream for a corrected drop and replay the day through ingest_sources; or accept it as it is:"
            " trigger check_quality with the day as partition key and the Params waive and reason."
        )


def _scan_range(domain: Domain, start: date, end: date) -> list[CheckResult]:
    """One scan of every source; of those that fail in a range, the results of each of its days instead."""
    results = scan(domain, start, end)
    failing = {result.source for result in results if result.failed}
    if start == end or not failing:
        return results
    again = [source for source in domain.sources if source.name in failing]
    alone = [result for day in days_between(start, end) for result in scan(domain, day, day, again)]
    return [*(result for result in results if result.source not in failing), *alone]


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


def _write(
    contents: Contents,
    start: date,
    end: date,
    results: list[CheckResult],
    run_id: str,
    passage: Passage,
    waiver: Waiver | None,
) -> set[Partition]:
    """Replace the results of these days, set the state of each partition and day; returns the partitions that halt."""
    failed = _failed(results)
    with warehouse.transaction() as cursor:
        if _contents(cursor, start, end) != contents:
            raise NotReadyError(f"{start} to {end} was loaded again while it was checked. Clear this task.")
        cursor.execute(
            "delete from quality.check_results where as_of between %(start)s and %(end)s", {"start": start, "end": end}
        )
        warehouse.copy_rows(
            cursor,
            "quality",
            "check_results",
            ("as_of", "source", "check_name", "first_day", "outcome", "measured"),
            ((found.end, found.source, found.name, found.start, found.outcome, found.measured) for found in results),
        )
        if waiver:
            _record_waiver(cursor, results, waiver, run_id)
        halting = _set_states(cursor, start, end, failed)
        for day in days_between(start, end):
            state = "failed" if day in _days(halting) else "waived" if day in _days(failed) else "done"
            ledger.record(cursor, day, Stage.CHECKED, run_id, state=state, detail={"by": passage})
    return halting


def _record_waiver(cursor: "Cursor", results: list[CheckResult], waiver: Waiver, run_id: str) -> None:
    """Write down for each partition that failed which of its checks the person accepted."""
    checks: dict[Partition, list[str]] = {}
    for result in results:
        if result.failed:
            checks.setdefault((result.end, result.source), []).append(result.name)
    for (day, source), names in sorted(checks.items()):
        cursor.execute(
            warehouse.statement("dataops/record_waiver"),
            {"as_of": day, "source": source, "checks": names, "by": waiver.by, "reason": waiver.reason}
            | {"run_id": run_id},
        )


def _set_states(cursor: "Cursor", start: date, end: date, failed: set[Partition]) -> set[Partition]:
    """Set the state of each partition of these days; returns those that failed and that nobody accepted."""
    cursor.execute(
        warehouse.statement("dataops/set_states"),
        {"start": start, "end": end}
        | {"failed_days": [day for day, _ in failed], "failed_sources": [source for _, source in failed]},
    )
    return {(day, source) for day, source, state in cursor.fetchall() if state == "failed"}


def _failed(results: list[CheckResult]) -> set[Partition]:
    return {(result.end, result.source) for result in results if result.failed}


def _days(partitions: set[Partition]) -> set[date]:
    return {day for day, _ in partitions}


def _raise_alerts(results: list[CheckResult], waiver: Waiver | None) -> None:
    """One alert for each check that did not pass, and one for each day that was accepted all the same."""
    for result in results:
        if result.outcome != "pass":
            subject = f"{result.source}: {result.name}"
            alerts.raise_alert(result.end, f"check_{result.outcome}", subject, _told(result))
    if waiver is None:
        return
    failed = _failed(results)
    for day in sorted(_days(failed)):
        sources = ", ".join(sorted(source for found, source in failed if found == day))
        told = f"{waiver.by} accepted the drop of {sources} although checks failed: {waiver.reason}"
        alerts.raise_alert(day, "waived", sources, told)
    if not failed:
        log.info("Nothing has failed, so there is nothing to waive")


def _told(result: CheckResult) -> str:
    days = f"{result.end}" if result.start == result.end else f"{result.start} to {result.end}"
    measured = "" if result.measured is None else f" (measured {result.measured:g})"
    return f"The check '{result.name}' of {result.source} ended with {result.outcome} for {days}{measured}"


def _told_by_day(results: list[CheckResult], halting: set[Partition]) -> str:
    """The failed checks of the partitions that halt, as 'day: source: check, ...; day: ...'."""
    told: dict[date, list[str]] = {day: [] for day in sorted(_days(halting))}
    for result in results:
        if result.failed and (result.end, result.source) in halting:
            told[result.end].append(f"{result.source}: {result.name}")
    return "; ".join(f"{day}: " + ", ".join(checks) for day, checks in told.items())
