"""Check partitions of `raw` with Soda Core and write the verdict into the ledger.

The checks are SodaCL files of the domain, `checks/<source>.yml`, over the as-of days from `${START}` to `${END}`.
A check that fails halts its days; one that warns raises an alert, and the chain goes on.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from include.core import alerts, ledger, warehouse
from include.core.domain import Domain, days_between
from include.core.ledger import Passage, Stage

SODA_CONFIG = Path(__file__).with_name("soda_config.yml")


class FailedChecksError(ValueError):
    """Days that may not be used; the message names the checks that failed."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found: outcome is pass, warn, fail or error; measured is its number, if it has one."""

    source: str
    name: str
    outcome: str
    measured: float | None


def check_days(domain: Domain, start: date, end: date, run_id: str, passage: Passage) -> None:
    """Check every source for the days `[start, end]` and write states, results and the ledger.

    A range is scanned at once; only when that fails is each day looked at alone, so that a bad day does not take
    its neighbours along. Raises FailedChecksError after the verdicts are written.
    """
    results = scan(domain, start, end)
    if start == end or not _failed(results):
        verdicts = [(start, end, results)]
    else:
        verdicts = [(day, day, scan(domain, day, day)) for day in days_between(start, end)]
    for first, last, found in verdicts:
        _write(domain, first, last, found, run_id, passage)
    bad = {f"{last}": _failed(found) for _, last, found in verdicts if _failed(found)}
    if bad:
        told = "; ".join(
            f"{day}: " + ", ".join(f"{result.source}: {result.name}" for result in found) for day, found in bad.items()
        )
        raise FailedChecksError(
            f"Checks failed, and nothing downstream will use these days. {told}."
            " Ask upstream for a corrected drop and replay the day through ingest_sources."
        )


def scan(domain: Domain, start: date, end: date) -> list[CheckResult]:
    """Run the SodaCL files of every source over `[start, end]`. Reads only."""
    soda = soda_scan()()
    soda.set_data_source_name("warehouse")
    soda.add_configuration_yaml_str(json.dumps(_data_source()))
    soda.add_variables({"START": start.isoformat(), "END": end.isoformat()})
    for source in domain.sources:
        soda.add_sodacl_yaml_file(str(domain.folder / "checks" / f"{source.name}.yml"))
    soda.execute()
    found = [
        CheckResult(
            source=Path(check["location"]["filePath"]).stem,
            name=check["name"],
            outcome=check["outcome"] or "error",
            measured=_number(check["diagnostics"].get("value")),
        )
        for check in soda.build_scan_results()["checks"]
    ]
    if soda.has_error_logs() and not any(result.outcome == "error" for result in found):
        raise RuntimeError(f"Soda could not run the checks of {domain.name}: {soda.get_error_logs_text()}")
    return found


def soda_scan() -> Any:
    """The class of Soda's scans. Its settings are read first: importing it would otherwise set up its telemetry."""
    from soda.common.config_helper import ConfigHelper

    ConfigHelper.get_instance(str(SODA_CONFIG))
    from soda.scan import Scan

    return Scan


def _failed(results: list[CheckResult]) -> list[CheckResult]:
    return [result for result in results if result.outcome in ("fail", "error")]


def _write(domain: Domain, start: date, end: date, results: list[CheckResult], run_id: str, passage: Passage) -> None:
    """Replace the results of these days and set the state of each partition."""
    failed_sources = sorted({result.source for result in _failed(results)})
    with warehouse.transaction() as cursor:
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
        cursor.execute(
            warehouse.statement("dataops/set_states"),
            {"failed_sources": failed_sources, "start": start, "end": end, "run_id": run_id},
        )
        for day in days_between(start, end):
            ledger.record(
                cursor,
                day,
                Stage.CHECKED,
                run_id,
                state="failed" if failed_sources else "done",
                detail={"by": passage},
            )
    for result in results:
        if result.outcome != "pass":
            alerts.raise_alert(end, f"check_{result.outcome}", f"{result.source}: {result.name}", _told(result))


def _data_source() -> dict[str, Any]:
    """The warehouse connection in Soda's words."""
    from airflow.sdk import BaseHook

    connection = BaseHook.get_connection(warehouse.CONNECTION_ID)
    settings = {
        "type": "postgres",
        "host": connection.host,
        "port": str(connection.port or 5432),
        "username": connection.login,
        "password": connection.password or "",
        "database": connection.schema,
        "schema": "raw",
    }
    return {"data_source warehouse": settings}


def _told(result: CheckResult) -> str:
    measured = "" if result.measured is None else f" (measured {result.measured:g})"
    return f"The check '{result.name}' of {result.source} ended with {result.outcome}{measured}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
