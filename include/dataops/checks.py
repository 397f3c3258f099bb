"""Run the checks of a domain with Soda Core. Reads only; what follows from the results is for `quality`.

The checks are SodaCL files of the domain, `checks/<source>.yml`, over the as-of days from `${START}` to `${END}`.
"""

import json
from collections.abc import Sequence
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
    """What one check of a source found over the days `[start, end]`.

    outcome is pass, warn, fail, or error when the rows make the check itself fail; measured is its number, if any.
    """

    source: str
    name: str
    start: date
    end: date
    outcome: str
    measured: float | None

    @property
    def failed(self) -> bool:
        """Whether it halts its days."""
        return self.outcome in ("fail", "error")


def scan(domain: Domain, start: date, end: date, sources: Sequence[Source] | None = None) -> list[CheckResult]:
    """Run the SodaCL file of each of these sources (None: all) once over `[start, end]`, and count its lines.

    Reads only, over one connection at a time. Raises RuntimeError when Soda cannot read a file or run its checks.
    """
    # One scan of Soda's for all of them takes as long as one each, and connects once.
    sources = domain.sources if sources is None else sources
    soda = _execute(domain, start, end, sources)
    found = [
        CheckResult(
            source=Path(check["location"]["filePath"]).stem,
            name=check["name"],
            start=start,
            end=end,
            outcome=check["outcome"],
            measured=_number(check["diagnostics"].get("value")),
        )
        for check in soda.get_scan_results()["checks"]
    ]
    return [*found, *_not_computed(soda, start, end), *_count_lines(sources, start, end)]


def _execute(domain: Domain, start: date, end: date, sources: Sequence[Source]) -> Any:
    """A scan of Soda's that has run, and whose errors, if any, are about the rows."""
    soda = soda_scan()()
    soda.set_data_source_name("warehouse")
    soda.add_configuration_yaml_str(json.dumps(_data_source()))
    soda.add_variables({"START": start.isoformat(), "END": end.isoformat()})
    for source in sources:
        soda.add_sodacl_yaml_file(str(domain.folder / "checks" / f"{source.name}.yml"))
    _refuse(domain, soda.get_error_logs())
    try:
        soda.execute()
    finally:
        # Soda does not: its connection would stay, in a transaction, until the scan is collected as garbage.
        for known in soda._data_source_manager.data_sources.values():
            known.disconnect()
    _refuse(domain, [log for log in soda.get_error_logs() if not _is_about_rows(log)])
    return soda


def soda_scan() -> Any:
    """The class of Soda's scans. Its settings are read first: importing it would otherwise set up its telemetry."""
    from soda.common.config_helper import ConfigHelper

    ConfigHelper.get_instance(str(SODA_CONFIG))
    from soda.scan import Scan

    return Scan


def _refuse(domain: Domain, errors: list[Any]) -> None:
    if errors:
        told = "\n".join(map(str, errors))
        raise RuntimeError(f"Soda could not run the checks of {domain.name}: {told}")


def _is_about_rows(log: Any) -> bool:
    """Whether an error is one of the rows, so that other days are none the worse for it.

    That is a value that SQL cannot compute with. A check that has no number because of it, or because its query found
    null, Soda tells without an exception. Anything else is wrong with the check or with the warehouse.
    """
    from psycopg2 import DataError

    return log.exception is None or isinstance(log.exception, DataError)


def _not_computed(soda: Any, start: date, end: date) -> list[CheckResult]:
    """The checks without an outcome, which Soda leaves out of its results."""
    return [
        CheckResult(Path(check.check_cfg.location.file_path).stem, check.name, start, end, "error", None)
        for check in soda._checks
        if check.outcome is None
    ]


def _count_lines(sources: Sequence[Source], start: date, end: date) -> list[CheckResult]:
    """Compare the lines of the drops with the rows that are there; `measured` is the number of days that differ."""
    from psycopg2 import sql

    found = []
    with warehouse.transaction() as cursor:
        for source in sources:
            cursor.execute(
                sql.SQL(warehouse.statement("dataops/unaccounted_days")).format(raw=sql.Identifier("raw", source.name)),
                {"source": source.name, "start": start, "end": end},
            )
            differing = len(cursor.fetchall())
            outcome = "fail" if differing else "pass"
            found.append(CheckResult(source.name, CONSERVED, start, end, outcome, float(differing)))
    return found


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
