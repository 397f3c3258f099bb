"""What the tests share: an Airflow home of their own, a real Postgres, a real MLflow, a server that speaks S3, and the
drops of both domains.

Everything that runs is started here once and only when a test asks for it, in a scratch folder that is removed.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import sql

REPO = Path(__file__).resolve().parents[1]

# A short path: the socket of Postgres lies in it, and the name of a socket has at most 107 bytes.
SCRATCH = Path(tempfile.mkdtemp(prefix="fl-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

# Before Airflow is imported anywhere: what the shell says of another Airflow or MLflow must not lead us there.
for name in list(os.environ):
    if name == "FLIGHTLINE_REQUIRE_BROWSER":  # says what the tests need, and leads nowhere
        continue
    if name.startswith(("AIRFLOW_", "AWS_", "COLD_", "MLFLOW_", "FLIGHTLINE_", "LANDING_", "PG")):
        del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(SCRATCH / "airflow"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "FLIGHTLINE_CACHE": str(SCRATCH / "cache"),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "NO_PROXY": "127.0.0.1,localhost",
}
(SCRATCH / "airflow").mkdir()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Path]:
    """The folder of the socket of a real server, the one that `make run` uses."""
    from local import postgres as server
    from local.settings import MARKER, Settings

    settings = Settings(home=SCRATCH / "pg", airflow_port=0, mlflow_port=0, dags=REPO / "dags")
    settings.home.mkdir()
    server.start(settings, os.environ | {MARKER: str(settings.home), "SPT_NOENV": "1"})
    with closing(server.connect(settings, "postgres")) as connection, connection.cursor() as cursor:
        # What a power cut would lose is no loss here.
        for option in ("fsync", "full_page_writes"):
            cursor.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(option)))
        cursor.execute("select pg_reload_conf()")
    yield server.socket_folder(settings)
    server.stop(settings)


@pytest.fixture(scope="session")
def new_database(postgres: Path) -> Callable[[str], str]:
    """Makes a database as a copy of a template and points the connection `warehouse` at it; returns its name."""
    numbers = count(1)

    def make(template: str = "template1") -> str:
        name = f"{template}_{next(numbers)}"
        with closing(psycopg2.connect(host=str(postgres), dbname="postgres", user="postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(
                    sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
                )
        use_database(postgres, name)
        return name

    return make


def use_database(postgres: Path, name: str) -> None:
    """Point the connection `warehouse` at a database."""
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps(
        {"conn_type": "postgres", "host": str(postgres), "schema": name, "login": "postgres"}
    )


@pytest.fixture(scope="session")
def toy_template(new_database: Callable[[str], str]) -> str:
    """A database with the tables of the engine and of the toy domain."""
    from include.dataops.preparation import create_tables
    from tests.toy_domain.domain import domain

    name = new_database("template1")
    create_tables(domain)
    return name


@pytest.fixture
def toy_warehouse(toy_template: str, new_database: Callable[[str], str], toy_landing: Path) -> Path:
    """A fresh warehouse of the toy domain; returns the landing zone, which holds every drop."""
    new_database(toy_template)
    return toy_landing


@pytest.fixture
def toy_landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A landing zone of its own, with every drop of the toy domain."""
    from tests.toy_domain.domain import domain
    from tests.toy_domain.feed import write_drops

    landing = tmp_path / "landing"
    monkeypatch.setenv("LANDING_URI", landing.as_uri())
    write_drops(landing, domain.first_day, domain.last_day)  # type: ignore[arg-type]
    return landing


@pytest.fixture(scope="session")
def flight_drops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The landing zone of the whole year of flights, and of the three days after it, as the feed writes it."""
    from airflow.sdk import ObjectStoragePath

    from include.flights.domain import domain
    from include.flights.feed import write_drops

    landing = tmp_path_factory.mktemp("flights")
    write_drops(ObjectStoragePath(landing.as_uri()), domain.first_day, domain.last_day + timedelta(days=3))
    return landing


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real tracking server and registry, with one worker."""
    from tests.ports import free_port

    home = tmp_path_factory.mktemp("mlflow")
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    command += ["--serve-artifacts", "--artifacts-destination", (home / "artifacts").as_uri()]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"{address}/health", server, home / "log")
        yield address
    finally:
        _end_group(server)


@pytest.fixture
def registry_server(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The MLflow server, set as the tracking server of this test."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    mlflow.set_tracking_uri(mlflow_server)
    return mlflow_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks S3 over HTTP and keeps what it is given in memory."""
    from tests.ports import free_port

    log_file = tmp_path_factory.mktemp("s3") / "log"
    address = f"http://127.0.0.1:{(port := free_port())}"
    with log_file.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"{address}/moto-api/", server, log_file)
        yield address
    finally:
        _end_group(server)


@pytest.fixture
def object_store(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty bucket, with the connection that a deployment would set for it."""
    from airflow.sdk import ObjectStoragePath

    connection = {
        "conn_type": "aws",
        "login": "access-key",
        "password": "secret-key",
        "extra": {"endpoint_url": s3_server, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    uri = f"s3://aws_default@bucket-{uuid4().hex[:12]}"
    ObjectStoragePath(uri).mkdir()
    return uri


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path, seconds: float = 120) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError), opener.open(url, timeout=5) as reply:
            if reply.status == 200:
                return
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{url} does not answer. The end of its log:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def _end_group(server: "subprocess.Popen[bytes]") -> None:
    """End a server and its workers, which share its process group."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, 15)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 9)
        server.wait(5)
