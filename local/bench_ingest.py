"""What ingestion costs: a year of drops against a bare COPY of the same files, and the memory that a big drop takes.

What is measured runs in a fresh process, `python -m local.bench_ingest write | copy | ingest | load`.
"""

import csv
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import date
from itertools import cycle, islice, product
from pathlib import Path

from psycopg2 import sql

from local import bench_server
from local.bench_server import Bench, Figures

MODULE = "local.bench_ingest"
ROUNDS = 3
# A big drop is a month of the timetable in one file. The bigger one has ten times its lines, each with its own key.
SOURCE = "schedule"
MONTH = "2013-01-*"
BIG = {"1x": (date(2013, 1, 1), 1), "10x": (date(2013, 1, 2), 10)}


def measure() -> Figures:
    """Seconds of a year's ingestion over those of COPY, and peak memory in MB for a file of one and of ten months."""
    bench_server.say("Ingesting a year, and copying it, three times each")
    with bench_server.server() as bench:
        return _measure(bench)


def _measure(bench: Bench) -> Figures:
    year = str(bench.home / "year")
    bench.run(MODULE, "write", year, str(bench.home / "month"))
    commands = {"copy": ("copy", year), "ingest": ("ingest",)}
    seconds: dict[str, list[float]] = {way: [] for way in commands}
    for number in range(ROUNDS):
        for way, command in commands.items():
            with bench.fresh_database(f"{way}_{number}") as database:
                seconds[way].append(bench.run(MODULE, *command, database=database)["seconds"])
    copy, ingest = (statistics.median(taken) for taken in seconds.values())
    figures = {"ingest_vs_copy": ingest / copy, "ingest_seconds": ingest, "copy_seconds": copy}
    with bench.fresh_database("memory") as database:
        for size, (day, _) in BIG.items():
            loaded = bench.run(MODULE, "load", day.isoformat(), database=database, landing="month")
            figures[f"ingest_peak_mb_{size}"] = loaded["peak_mb"]
    return figures


def write(year: Path, month: Path) -> Figures:
    """Prepare the year, and write the big drops into `month`."""
    domain = bench_server.prepare()
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
            bench_server.load_source(domain, source, domain.first_day, last)
        seconds = time.perf_counter() - started
    return {"seconds": seconds}


def load(day: date) -> Figures:
    """Peak memory in MB of this process, after it has loaded one big drop."""
    from include.flights.domain import domain

    bench_server.load_source(domain, domain.source(SOURCE), day, day)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


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
