"""Run the checks of a domain with Soda Core. Reads only; what follows from the results is for `quality`.

The checks are SodaCL files of the domain, `checks/<source>.yml`, over the as-of days from `${START}` to `${END}`.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from include.core import warehouse
from include.core.domain import Domain, Source

SODA_CONFIG = Path(__file__).with_name("soda_config.yml")
CONSERVED = "every line of the drop is in raw or in quarantine"


@dataclass(frozen=True)
class CheckResult:
    """What one check found: outcome is pass, warn, fail or error; measured is its number, if it has one."""

    source: str
    name: str
    outcome: str
    measured: float | None


def scan(domain: Domain, start: date, end: date) -> list[CheckResult]:
    """Run the SodaCL files of every source over `[start, end]`, and count that no line was lost. Reads only."""
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
    return [*found, *(_count_lines(source, start, end) for source in domain.sources)]


def soda_scan() -> Any:
    """The class of Soda's scans. Its settings are read first: importing it would otherwise set up its telemetry."""
    from soda.common.config_helper import ConfigHelper

    ConfigHelper.get_instance(str(SODA_CONFIG))
    from soda.scan import Scan

    return Scan


def _count_lines(source: Source, start: date, end: date) -> CheckResult:
    """Compare the lines of the drops with the rows that are there; `measured` is the number of days that differ."""
    from psycopg2 import sql

    with warehouse.transaction() as cursor:
        cursor.execute(
            sql.SQL(warehouse.statement("dataops/unaccounted_days")).format(raw=sql.Identifier("raw", source.name)),
            {"source": source.name, "start": start, "end": end},
        )
        differing = len(cursor.fetchall())
    return CheckResult(source.name, CONSERVED, "fail" if differing else "pass", float(differing))


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
        "sslmode": connection.extra_dejson.get("sslmode", "prefer"),
    }
    return {"data_source warehouse": settings}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
