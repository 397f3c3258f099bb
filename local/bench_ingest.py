"""What ingestion costs: a year of drops against a bare COPY of the same files, and the memory that a big drop takes.

It has a server of its own, with the settings of `make run`, in a temporary folder. What is measured runs in a fresh
process, `python -m local.bench_ingest write | copy | ingest | load`. The one that starts them stays small: Linux
counts what a parent holds when it forks as the child's.
"""

import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from itertools import cycle, islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2 import sql

from local import postgres
from local.settings import MARKER, REPO, LocalError, Settings

if TYPE_CHECKING:
    from include.core.domain import Domain, Source

ROUNDS = 3
RUN = "manual__bench"
# A big drop is a month of the timetable in one file. The bigger one has ten times its lines, each with its own key.
SOURCE = "schedule"
MONTH = "2013-01-*"
BIG = {"1x": (date(2013, 1, 1), 1), "10x": (date(2013, 1, 2), 10)}
FOREIGN_PREFIXES = ("AIRFLOW_", "AWS_", "COLD_", "LANDING_", "PG")

Figures = dict[str, float]


def measure() -> Figures:
    """Seconds of a year's ingestion over those of COPY, and peak memory in MB for a file of one and of ten months."""
    # A short path, for the server's socket lies in it.
    short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="fl-", dir=short) as folder:
        home = Path(folder)
        home.chmod(0o711)  # the server may run as another user than this one
        settings = Settings(home=home / "pg", airflow_port=0, mlflow_port=0, dags=REPO / "dags")
        settings.home.mkdir()
        clean = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN_PREFIXES)}
        clean |= {"AIRFLOW_HOME": str(home / "airflow"), "PYTHONPATH": str(REPO)}
        clean |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins")}
        postgres.start(settings, clean | {MARKER: str(settings.home), "SPT_NOENV": "1"})
        try:
            return _measure(settings, home, clean)
        finally:
            postgres.stop(settings)


def _measure(settings: Settings, home: Path, environment: dict[str, str]) -> Figures:
    year, month = (environment | {"LANDING_URI": (home / name).as_uri()} for name in ("year", "month"))
    _run(settings, "warehouse", year, "write", str(home / "year"), str(home / "month"))
    commands = {"copy": ("copy", str(home / "year")), "ingest": ("ingest",)}
    seconds: dict[str, list[float]] = {way: [] for way in commands}
    for number in range(ROUNDS):
        for way, command in commands.items():
            with _fresh_database(settings, f"{way}_{number}") as database:
                seconds[way].append(_run(settings, database, year, *command)["seconds"])
    copy, ingest = (statistics.median(taken) for taken in seconds.values())
    figures = {"ingest_vs_copy": ingest / copy, "ingest_seconds": ingest, "copy_seconds": copy}
    with _fresh_database(settings, "memory") as database:
        for size, (day, _) in BIG.items():
            figures[f"ingest_peak_mb_{size}"] = _run(settings, database, month, "load", day.isoformat())["peak_mb"]
    return figures


def write(year: Path, month: Path) -> Figures:
    """Make the tables, load the reference tables, write the drops of the year, and the big ones into `month`."""
    from include.dataops import preparation, reference
    from include.flights.domain import domain

    preparation.create_tables(domain)
    reference.load_files(reference.find_files(domain))
    reference.publish(domain, reference.Way.COPY)
    preparation.write_sample_drops(domain)
    lines = []
    for path in sorted(year.glob(f"{MONTH}/{SOURCE}.csv")):
        with path.open() as file:
            lines += list(csv.DictReader(file))
    for day, times in BIG.values():
        (month / day.isoformat()).mkdir(parents=True)
        with (month / day.isoformat() / f"{SOURCE}.csv").open("w") as file:
            writer = csv.DictWriter(file, domain.source(SOURCE).names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(islice(_lines(lines, day), times * len(lines)))
    return {"lines": len(lines)}


def _lines(like: list[dict[str, str]], day: date) -> Iterator[dict[str, str]]:
    """Valid lines of one day, no two with the same key; what is not part of the key is taken from `like`."""
    places = [sorted({line[name] for line in like}) for name in ("carrier", "origin")]
    flights = map(str, range(1, 10_000))
    for line, (flight, carrier, origin) in zip(cycle(like), product(flights, *places), strict=False):
        yield line | {"flight_date": day.isoformat(), "flight": flight, "carrier": carrier, "origin": origin}


def copy(year: Path) -> Figures:
    """Seconds to COPY the files of the year, as they lie there, into tables with the columns of `raw`, and no more."""
    from include.core import warehouse
    from include.flights.domain import domain

    with warehouse.transaction() as cursor:
        for source in domain.sources:
            columns = (sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.type)) for c in source.columns)
            cursor.execute(
                sql.SQL("create table {} ({})").format(sql.Identifier(source.name), sql.SQL(", ").join(columns))
            )
    started = time.perf_counter()
    for source in domain.sources:
        statement = sql.SQL("copy {} from stdin (format csv, header)").format(sql.Identifier(source.name))
        with warehouse.transaction() as cursor:
            for path in sorted(year.glob(f"*/{source.name}.csv")):
                with path.open("rb") as file:
                    cursor.copy_expert(statement, file)
    return {"seconds": time.perf_counter() - started}


def ingest() -> Figures:
    """Seconds to ingest the year: one call a source, after one for a day, which imports what a process needs."""
    from include.flights.domain import domain

    assert domain.last_day is not None  # noqa: S101 - that of the sample year
    for last in (domain.first_day, domain.last_day):
        started = time.perf_counter()
        for source in domain.sources:
            _load(domain, source, domain.first_day, last)
        seconds = time.perf_counter() - started
    return {"seconds": seconds}


def load(day: date) -> Figures:
    """Peak memory in MB of this process, after it has loaded one big drop."""
    from include.flights.domain import domain

    _load(domain, domain.source(SOURCE), day, day)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def _load(domain: "Domain", source: "Source", start: date, end: date) -> None:
    from include.dataops import landing

    counts = landing.load_source(domain, source, start, end, RUN)
    if counts["raw_rows"] < 0.999 * counts["lines"]:
        # A measurement of rows that are put aside would tell nothing of loading.
        raise LocalError(f"Too many lines of {source.name} were put aside: {counts}")


@contextmanager
def _fresh_database(settings: Settings, name: str) -> Iterator[str]:
    """A copy of the prepared database, without what the one before left to write to disk."""
    with closing(postgres.connect(settings, "postgres")) as connection, connection.cursor() as cursor:
        identifier = sql.Identifier(name)
        cursor.execute(sql.SQL("create database {} template warehouse").format(identifier))
        cursor.execute("checkpoint")
        yield name
        cursor.execute(sql.SQL("drop database {}").format(identifier))


def _run(settings: Settings, database: str, environment: dict[str, str], *arguments: str) -> Figures:
    """Run one of the functions above in a process of its own; returns what it measured."""
    warehouse = {"conn_type": "postgres", "host": str(postgres.socket_folder(settings)), "schema": database}
    result = subprocess.run(
        [sys.executable, "-m", "local.bench_ingest", *arguments],
        cwd=REPO,
        env=environment | {"AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse | {"login": "postgres"})},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise LocalError(f"The measurement of ingestion failed:\n{result.stderr.strip()}")
    figures: Figures = json.loads(result.stdout.splitlines()[-1])
    return figures


def main(command: str, *arguments: str) -> int:
    """One measurement in this process, as JSON."""
    match command:
        case "write":
            figures = write(*map(Path, arguments))
        case "copy":
            figures = copy(*map(Path, arguments))
        case "ingest":
            figures = ingest()
        case "load":
            figures = load(date.fromisoformat(arguments[0]))
        case _:
            figures = measure()
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["measure"]))
