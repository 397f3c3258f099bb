"""What the benches share: a server of their own, copies of its database, and a fresh process for what is measured.

The server has the settings of `make run` and lies in a temporary folder. The process that starts the others stays
small: Linux counts what a parent holds when it forks as the child's.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from psycopg2 import sql

from local import postgres
from local.settings import MARKER, REPO, LocalError, Settings

if TYPE_CHECKING:
    from include.core.domain import Domain, Source

RUN = "manual__bench"
# What a user has set for a runtime or a storage of his own must not lead a measurement there.
FOREIGN_PREFIXES = ("AIRFLOW_", "AWS_", "COLD_", "FLIGHTLINE_", "LANDING_", "PG")

Figures = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """A server in the temporary folder `home`, and the environment for what is measured on it."""

    settings: Settings
    home: Path
    environment: dict[str, str]

    def run(self, module: str, *arguments: str, database: str = "warehouse", landing: str = "year") -> Figures:
        """Run `python -m <module> <arguments>` in a process of its own; returns what it measured."""
        host = str(postgres.socket_folder(self.settings))
        warehouse = {"conn_type": "postgres", "host": host, "schema": database, "login": "postgres"}
        return run(
            module,
            *arguments,
            environment=self.environment
            | {"LANDING_URI": (self.home / landing).as_uri(), "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse)},
        )

    @contextmanager
    def fresh_database(self, name: str) -> Iterator[str]:
        """A copy of the prepared database, without what the one before left to write to disk."""
        with closing(postgres.connect(self.settings, "postgres")) as connection, connection.cursor() as cursor:
            identifier = sql.Identifier(name)
            cursor.execute(sql.SQL("create database {} template warehouse").format(identifier))
            cursor.execute("checkpoint")
            yield name
            cursor.execute(sql.SQL("drop database {}").format(identifier))


@contextmanager
def server() -> Iterator[Bench]:
    """A server for this block only."""
    with temporary_home() as home:
        settings = Settings(home=home / "pg", airflow_port=0, mlflow_port=0, dags=REPO / "dags")
        settings.home.mkdir()
        clean = clean_environment() | {"AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        clean["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(REPO / "plugins")
        try:
            postgres.start(settings, clean | {MARKER: str(settings.home), "SPT_NOENV": "1"})
            yield Bench(settings, home, clean)
        finally:
            postgres.stop(settings)


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder for this block only. Its path is short, for the server's socket lies in it.

    A signal that asks this process to end becomes an exception, so that what runs in the folder is stopped.
    """
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108
    try:
        with tempfile.TemporaryDirectory(prefix="fl-", dir=short) as folder:
            home = Path(folder)
            home.chmod(0o711)  # the server may run as another user than this one
            yield home
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nobody listened a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def clean_environment() -> dict[str, str]:
    """The environment of this process without what would lead a measurement elsewhere."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN_PREFIXES)}
    return clean | {"PYTHONPATH": str(REPO)}


def run(module: str, *arguments: str, environment: dict[str, str]) -> Figures:
    """Run `python -m <module> <arguments>`; returns the figures that it prints as its last line."""
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise LocalError(f"The measurement {' '.join([module, *arguments])} failed:\n{result.stderr.strip()}")
    figures: Figures = json.loads(result.stdout.splitlines()[-1])
    return figures


def prepare() -> "Domain":
    """Make the tables of the domain, load its reference tables and write the drops of the year."""
    from include.dataops import preparation, reference
    from include.flights.domain import domain

    preparation.create_tables(domain)
    reference.load_files(reference.find_files(domain))
    reference.publish(domain, reference.Way.COPY)
    preparation.write_sample_drops(domain)
    return domain


def load_source(domain: "Domain", source: "Source", start: date, end: date) -> None:
    """Ingest the drops of one source."""
    from include.dataops import landing

    counts = landing.load_source(domain, source, start, end, RUN)
    if counts["raw_rows"] < 0.999 * counts["lines"]:
        # A measurement of rows that are put aside would tell nothing of loading.
        raise LocalError(f"Too many lines of {source.name} were put aside: {counts}")


def say(text: str) -> None:
    """A line of progress, apart from the figures."""
    print(text, file=sys.stderr, flush=True)
