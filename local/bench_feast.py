"""What the training set of the sample year costs, against the same rows served by Feast from the same tables.

It has a server of its own, with the settings of `make run`, in a temporary folder. There the year is loaded and built
once; then both sides take turns, each in a fresh process that has served one day before the clock starts, and the rows
of the last turns are compared.

Feast is asked in two ways:

- `feast_vs_training_set`: one call for the year, as a training asks for its rows, and as the other side is asked.
- `feast_by_month_vs_training_set`: twelve calls, the fastest way that was found. Feast joins by key, and only then by
  time, so that a call costs more than its share of the year the longer it is. Who knows that can cut the year by hand.

In both the entities are an SQL string, in which the labels are a column: from a data frame Feast would insert them one
by one. And its role has the planner's settings that the project's own statement sets for its transaction. Without them
Postgres takes the intermediate rows of Feast's query for a handful and loops over all pairs of them, far longer than
anybody waits.

Equal are the rows, their labels and every feature; see `compare`.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from local import bench, bench_features, bench_server, postgres
from local.bench_server import Bench, Figures
from local.settings import REPO, LocalError, load

if TYPE_CHECKING:
    import pyarrow as pa

    from include.core.domain import Domain

MODULE = "local.bench_feast"
ROUNDS = 3
FEAST_PYTHON = REPO / ".venv-feast" / "bin" / "python"
# -I: neither the modules beside the script nor those of PYTHONPATH are for Feast.
FEAST = [str(FEAST_PYTHON), "-I", str(REPO / "local" / "feast_side.py")]
FEAST_ROLE = "feast"
# Far more than it takes on a slow machine, and far less than with a plan that loops over all pairs.
FEAST_WITHIN_SECONDS = 1800.0


def measure() -> dict[str, Any]:
    """Seconds of Feast, of the project, and the one over the other; a LocalError when their rows differ."""
    if not FEAST_PYTHON.exists():
        raise LocalError("There is no .venv-feast here. `make bench-feast` makes it.")
    with bench_server.server() as server:
        return _measure(server)


def _measure(server: Bench) -> dict[str, Any]:
    told, served, expected = (server.home / name for name in ("feast.json", "feast.arrow", "ours.arrow"))
    bench_server.say("Building a year of features")
    for step in ("prepare", "chunks"):
        server.run(bench_features.MODULE, step)
    server.run(MODULE, "describe", str(told), str(postgres.socket_folder(server.settings)))
    description = json.loads(told.read_text())
    _prepare_server(server, description["settings"])
    seconds: dict[str, list[float]] = {"training_set": [], **{way: [] for way in description["entities"]}}
    for number in range(1, ROUNDS + 1):
        bench_server.say(f"Serving it, by the training set and by Feast, {number} of {ROUNDS}")
        seconds["training_set"].append(server.run(MODULE, "serve", str(expected))["seconds"])
        for way in description["entities"]:
            seconds[way].append(_run_feast(server, told, served, way))
            rows = compare(expected, served, description["key"])
    taken = {way: median(of_way) for way, of_way in seconds.items()}
    figures: dict[str, Any] = {"training_set_seconds": taken.pop("training_set"), "feast_rows_compared": rows}
    for way, of_way in taken.items():
        figures[f"{way}_vs_training_set"] = of_way / figures["training_set_seconds"]
        figures[f"{way}_seconds"] = of_way
    return figures


def describe(output: Path, host: str) -> Figures:
    """Write what Feast has to know: the server, the views, the queries that list the rows, the settings of its role.

    A key column of the unit is no feature to Feast: it comes with the row that asks for features.
    """
    from include.core import warehouse
    from include.flights.domain import domain

    known = {column.name for column in domain.view(domain.unit).entity}
    views = [
        {
            "name": view.name,
            "table": f"features.{view.name}",
            "keys": [(c.name, c.type) for c in view.entity if view.name != domain.unit or c.name in domain.unit_key],
            "features": [(feature.name, feature.type) for feature in view.features if feature.name not in known],
        }
        for view in domain.views
    ]
    start, end = bench_features.year_of(domain)
    with warehouse.transaction() as cursor:
        warehouse.join_by_hash(cursor)
        cursor.execute("select name, current_setting(name) from pg_settings where source = 'session' order by name")
        settings = dict(cursor.fetchall())
        warm_up = _entities(cursor, domain, start, start)
        entities = {
            "feast": [_entities(cursor, domain, start, end)],
            "feast_by_month": [_entities(cursor, domain, *month) for month in _months(start, end)],
        }
    described = {
        "postgres": {"host": host, "database": "warehouse", "user": FEAST_ROLE},
        "settings": settings,
        "key": domain.unit_key,
        "views": views,
        "warm_up": warm_up,
        "entities": entities,
    }
    output.write_text(json.dumps(described))
    return {"views": len(views)}


def serve(output: Path) -> Figures:
    """Seconds of the training set of the year, after one of a day, which imports what a process needs."""
    from pyarrow import feather

    from include.dataops import feature_store
    from include.flights.domain import domain

    start, end = bench_features.year_of(domain)
    for last in (start, end):
        started = time.perf_counter()
        found = feature_store.training_set(domain, start, last)
        seconds = time.perf_counter() - started
    feather.write_feather(found.rows, str(output), compression="uncompressed")
    return {"seconds": seconds}


def compare(ours: Path, feasts: Path, key: list[str]) -> int:
    """The number of rows, when both have the same ones: keys, labels and every feature are equal, nulls included.

    Text, integers and flags have to be the same, and floating-point numbers to the last bit.
    """
    import pyarrow as pa
    from pyarrow import compute, feather

    expected, served = feather.read_table(str(ours)), feather.read_table(str(feasts))
    parts = [served[name].cast(pa.string()) for name in key]
    served = served.append_column("as_of", served["event_timestamp"].cast(pa.date32()))
    served = served.append_column("entity_id", compute.binary_join_element_wise(*parts, "-"))
    served = served.sort_by([("as_of", "ascending"), ("entity_id", "ascending")])
    if served.num_rows != expected.num_rows:
        raise LocalError(f"Feast served {served.num_rows} rows, and the training set has {expected.num_rows}.")
    differ = [field.name for field in expected.schema if not _equal(expected[field.name], served[field.name])]
    if differ:
        raise LocalError(f"Feast's values and those of the training set differ in {', '.join(differ)}.")
    return expected.num_rows


def _equal(ours: "pa.ChunkedArray", feasts: "pa.ChunkedArray") -> bool:
    """Feast knows fewer types than Postgres, so its column is taken as the type of ours, if that loses nothing."""
    import pyarrow as pa

    try:
        return ours.equals(feasts.cast(ours.type))
    except pa.ArrowInvalid:
        return False


def _entities(cursor: Any, domain: "Domain", start: date, end: date) -> str:
    """The query of the rows to serve, with the labels, as Feast wants it: key columns and `event_timestamp`.

    The time is without a zone, like the day that it is compared with: so Postgres need not look up a zone's offset.
    """
    from include.core.domain import EVENT_DAY
    from include.dataops import feature_store

    unit = domain.view(domain.unit)
    query = sql.SQL(
        "select unit.as_of::timestamp as event_timestamp, {columns}, labels.label"
        " from {unit} as unit join ({labels}) as labels on {on} where unit.as_of between %(start)s and %(end)s"
    ).format(
        columns=sql.SQL(", ").join(sql.Identifier("unit", column.name) for column in unit.entity),
        unit=sql.Identifier("features", unit.name),
        labels=feature_store.landed_labels(domain),
        on=sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier("labels", theirs), sql.Identifier("unit", ours))
            for theirs, ours in [(EVENT_DAY, "as_of"), *((name, name) for name in domain.unit_key)]
        ),
    )
    bound = feature_store.bounds(domain, *bench_features.year_of(domain), None) | {"start": start, "end": end}
    return str(cursor.mogrify(query, bound).decode())


def _prepare_server(server: Bench, planner: dict[str, str]) -> None:
    """A role for Feast; and for both sides fresh statistics, and nothing left to write from the build."""
    role = sql.Identifier(FEAST_ROLE)
    with closing(postgres.connect(server.settings, "warehouse")) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("create role {} login superuser").format(role))
        for name, value in planner.items():
            cursor.execute(sql.SQL("alter role {} set {} = {}").format(role, sql.Identifier(name), sql.Literal(value)))
        cursor.execute("vacuum (analyze)")
        cursor.execute("checkpoint")


def _run_feast(server: Bench, told: Path, served: Path, way: str) -> float:
    """Let Feast serve the rows in one of the ways, in its own interpreter, into `served`; returns its seconds."""
    try:
        result = subprocess.run(
            [*FEAST, str(told), way, str(served)],
            cwd=server.home,
            env=server.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=FEAST_WITHIN_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"Feast was not done after {FEAST_WITHIN_SECONDS:.0f} seconds.") from error
    if result.returncode:
        raise LocalError(f"Feast failed:\n{result.stderr.strip()}")
    return float(json.loads(result.stdout.splitlines()[-1])["seconds"])


def _months(start: date, end: date) -> list[tuple[date, date]]:
    from include.core import warehouse

    firsts = [*warehouse.months(start, end), end + timedelta(days=1)]
    return [(first, following - timedelta(days=1)) for first, following in pairwise(firsts)]


def main(*arguments: str) -> int:
    """One step in this process, as JSON; without arguments all of it, into the file of `make bench`."""
    try:
        match arguments:
            case ["describe", output, host]:
                print(json.dumps(describe(Path(output), host)))
            case ["serve", output]:
                print(json.dumps(serve(Path(output))))
            case _:
                bench.report(load(), measure())
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
