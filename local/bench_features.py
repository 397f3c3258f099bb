"""What the feature store costs: a day late in the year against an early one, and a year by backfill.

What is measured runs in a fresh process, `python -m local.bench_features prepare | chunks | statements | days | year`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING

from local import bench_server, postgres, services
from local.airflow_api import AirflowApi
from local.bench_server import RUN, Bench, Figures
from local.guardian import Guard
from local.settings import REPO, LocalError, Settings, load

if TYPE_CHECKING:
    from include.core.domain import Domain

MODULE = "local.bench_features"
ROUNDS = 3
ROUNDS_OF_DAYS = 5
# Both have all the drops that their windows ask for, so a build that reads no more than these takes as long for both.
LATE, EARLY = (date(2013, 1, 1) + timedelta(days=number - 1) for number in (300, 40))
PREPARE, BACKFILL = "prepare_project", "backfill_features"
PARSE_WITHIN_SECONDS = 180.0
PREPARE_WITHIN_SECONDS = 300.0
BACKFILL_WITHIN_SECONDS = 1800.0
POLL_SECONDS = 0.5


def measure() -> Figures:
    """The seconds of a day and of a year, and what they are compared with."""
    with bench_server.server() as bench:
        figures = _measure_building(bench)
    return figures | _measure_backfill()


def _measure_building(bench: Bench) -> Figures:
    """A late day over an early one; and the twelve chunks of a backfill over one statement a view for the year.

    For the chunks it is the wall time of all calls, and so no less than the time of their SQL.
    """
    bench_server.say("Building a year of features, by chunks and by one statement a view, three times each")
    bench.run(MODULE, "prepare")
    with closing(postgres.connect(bench.settings, "warehouse")) as connection, connection.cursor() as cursor:
        cursor.execute("vacuum (analyze)")  # else the server does so in the midst of a measurement
    taken: dict[str, list[Figures]] = {"chunks": [], "statements": []}
    for number in range(ROUNDS):
        for way, found in taken.items():
            with bench.fresh_database(f"{way}_{number}") as database:
                found.append(bench.run(MODULE, way, database=database))
    if len({found["rows"] for ways in taken.values() for found in ways}) > 1:
        raise LocalError(f"The chunks and the statements built different rows: {taken}")
    chunks, statements = (statistics.median(found["seconds"] for found in ways) for ways in taken.values())
    figures = {
        "backfill_vs_one_statement": chunks / statements,
        "backfill_build_seconds": chunks,
        "one_statement_seconds": statements,
    }
    with bench.fresh_database("days") as database:
        return figures | bench.run(MODULE, "days", database=database)


def _measure_backfill() -> Figures:
    """A year from the drops on, by a scheduler, on services of its own."""
    bench_server.say("Running a backfill of a year on a scheduler of its own")
    with bench_server.temporary_home() as home:
        airflow_port, mlflow_port = bench_server.free_ports(2)
        settings = Settings(home / "runtime", airflow_port, mlflow_port, REPO / "dags")
        environment = bench_server.clean_environment() | {
            "FLIGHTLINE_HOME": str(settings.home),
            "FLIGHTLINE_AIRFLOW_PORT": str(settings.airflow_port),
            "FLIGHTLINE_MLFLOW_PORT": str(settings.mlflow_port),
        }
        try:
            return bench_server.run(MODULE, "year", environment=environment)
        finally:
            services.stop(settings)  # nothing is left to stop, unless that process was killed


def prepare() -> Figures:
    """Ingest the year, and vouch for every drop of it."""
    from include.core import warehouse

    domain = bench_server.prepare()
    for source in domain.sources:
        bench_server.load_source(domain, source, *year_of(domain))
    with warehouse.transaction() as cursor:
        cursor.execute("update quality.partitions set state = 'checked'")
        return {"drops": cursor.rowcount}


def chunks() -> Figures:
    """Seconds to build the year as the tasks of a backfill do, one after the other. The plan imports what they need."""
    from include.dataops import backfill
    from include.flights.domain import domain

    first, last = (day.isoformat() for day in year_of(domain))
    planned = backfill.plan(domain, first, last, [], rebuild=False)
    started = time.perf_counter()
    rows = sum(sum(backfill.build_chunk(domain, chunk, [], RUN, rebuild=False).values()) for chunk in planned)
    return {"seconds": time.perf_counter() - started, "rows": rows}


def statements() -> Figures:
    """Seconds to build the year by one statement a view, into the same tables, and to write no more than its rows."""
    from psycopg2 import sql

    from include.core import warehouse
    from include.dataops import feature_registry
    from include.flights.domain import domain

    first, last = year_of(domain)
    rows = 0
    feature_registry.ensure_registered(domain)
    started = time.perf_counter()
    for view in domain.built_views:
        columns = sql.SQL(", ").join(map(sql.Identifier, ("as_of", *(column.name for column in view.columns))))
        statement = sql.SQL("insert into {} ({}) select {} from ({}) as built").format(
            feature_registry.table_of(view), columns, columns, sql.SQL(view.sql)
        )
        with warehouse.transaction() as cursor:
            cursor.execute(statement, {"start": first, "end": last})
            rows += cursor.rowcount
    return {"seconds": time.perf_counter() - started, "rows": rows}


def days() -> Figures:
    """Seconds to build a late day again, and over those of an early one, in a year that is built."""
    from include.dataops import feature_build
    from include.flights.domain import domain

    chunks()
    seconds: dict[date, list[float]] = {LATE: [], EARLY: []}
    for _ in range(ROUNDS_OF_DAYS):
        for day, taken in seconds.items():
            started = time.perf_counter()
            feature_build.build_day(domain, day, RUN)
            taken.append(time.perf_counter() - started)
    late, early = (statistics.median(taken) for taken in seconds.values())
    return {"day300_vs_day40": late / early, "build_day_seconds": late}


def year() -> Figures:
    """Seconds from the trigger of a backfill of the year, with nothing ingested, to its success.

    The services are those of this process' FLIGHTLINE_HOME. Should it be killed, a guardian stops them.
    """
    from include.project import domain

    here = load()
    guard = Guard(here)
    try:
        running = services.start(here, "bench")
        api = AirflowApi(here)

        def wait(done: Callable[[], bool], seconds: float, what: str) -> None:
            end = time.monotonic() + seconds
            while not done():
                services.raise_if_dead(here, running)
                if time.monotonic() > end:
                    seen = f"{api.runs_by_state()} {api.import_errors()}"
                    raise LocalError(f"{what} within {seconds:.0f} seconds: {seen}")
                time.sleep(POLL_SECONDS)

        wait(lambda: {PREPARE, BACKFILL} <= api.dag_ids(), PARSE_WITHIN_SECONDS, "The DAG files were not parsed")
        wait(lambda: _has_ended(api, PREPARE), PREPARE_WITHIN_SECONDS, f"{PREPARE} did not end")
        first, last = (day.isoformat() for day in year_of(domain))
        started = time.perf_counter()
        api.trigger(BACKFILL, RUN, {"start": first, "end": last})
        wait(lambda: _has_ended(api, BACKFILL), BACKFILL_WITHIN_SECONDS, f"{BACKFILL} did not end")
        return {"backfill_year_seconds": time.perf_counter() - started}
    finally:
        services.stop(here)
        guard.release()


def _has_ended(api: AirflowApi, dag_id: str) -> bool:
    """Whether the only run of a DAG has succeeded; a LocalError names the tasks of one that failed."""
    for run in api.runs(dag_id):
        if run["state"] == "failed":
            tasks = ", ".join(api.failed_tasks(dag_id, run["dag_run_id"])) or "no task of its own"
            raise LocalError(f"{dag_id} failed in {tasks}. To see its logs, run it after `make up`.")
        if run["state"] == "success":
            return True
    return False


def year_of(domain: "Domain") -> tuple[date, date]:
    """The first and the last day of the sample year."""
    assert domain.last_day is not None  # noqa: S101 - that of the sample year
    return domain.first_day, domain.last_day


def main(command: str) -> int:
    """One measurement in this process, as JSON."""
    commands = {function.__name__: function for function in (prepare, chunks, statements, days, year)}
    try:
        print(json.dumps(commands.get(command, measure)()))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["measure"]))
