"""A copy of the project that runs the toy domain on services of its own, and what the end-to-end tests do with it."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg2

from local import postgres, processes
from local.airflow_api import AirflowApi
from local.settings import Settings, port_is_free
from tests.conftest import REPO
from tests.ports import free_port
from tests.toy_domain.feed import as_csv

COPIED = ("dags", "include", "plugins", "local", "tests")
ENVIRONMENTS = (".venv", ".venv-astro-sdk")
WITHIN_SECONDS = 180


class Runtime:
    """A copy of the project that runs the toy domain, with services, a home and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.settings = Settings(folder / "home", free_port(), free_port(), self.project / "dags")
        for name in COPIED:
            shutil.copytree(REPO / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ENVIRONMENTS:
            if (REPO / name).exists():
                (self.project / name).symlink_to((REPO / name).resolve())
        file = self.project / "include" / "project.py"
        text, changed = re.subn(
            r"^from include\.\w+\.domain import domain$",
            "from tests.toy_domain.domain import domain",
            file.read_text(),
            flags=re.MULTILINE,
        )
        assert changed == 1, "a fork changes one line"
        file.write_text(text)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <arguments>` of the copy."""
        environment = os.environ | {
            "FLIGHTLINE_HOME": str(self.settings.home),
            "FLIGHTLINE_AIRFLOW_PORT": str(self.settings.airflow_port),
            "FLIGHTLINE_MLFLOW_PORT": str(self.settings.mlflow_port),
            "FLIGHTLINE_CACHE": str(self.settings.home / "cache"),
        }
        return subprocess.run(
            [self.project / ".venv" / "bin" / "python", "-m", *arguments],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def rows(self, query: str) -> list[tuple]:
        """The rows of a query on the warehouse."""
        host = str(postgres.socket_folder(self.settings))
        connection = psycopg2.connect(host=host, dbname="warehouse", user="postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    def stage(self, day: date, stage: str) -> bool:
        """Whether the ledger has this stage of a day."""
        return (day, stage) in self.rows("select as_of, stage from quality.stages")

    def left_over(self) -> list[list[str]]:
        """The commands of all processes of this runtime that are still there."""
        return [process.cmdline() for process in processes.find_all(self.settings.home, {})]


@contextmanager
def services_of(runtime: Runtime) -> Iterator[None]:
    """Its services for this block only; whatever happens, nothing of them is left running."""
    try:
        started = runtime.command("local", "up")
        assert started.returncode == 0, started.stdout + started.stderr
        yield
    finally:
        stopped = runtime.command("local", "stop")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert runtime.left_over() == []
    assert port_is_free(runtime.settings.airflow_port)
    assert port_is_free(runtime.settings.mlflow_port)


def wait_until_prepared(runtime: Runtime, api: AirflowApi) -> None:
    """Wait for the DAG files, and for the run of `prepare_project` that Airflow makes by itself."""
    dags = {file.stem for file in (runtime.project / "dags").glob("*.py")}
    wait(lambda: api.dag_ids() >= dags, api.import_errors)
    wait(lambda: [run["state"] for run in api.runs("prepare_project")] == ["success"], api.runs_by_state)


def landed(runtime: Runtime, day: date) -> Path:
    return runtime.settings.landing / day.isoformat() / "visits.csv"


def write_drop(runtime: Runtime, day: date, rows: list[list[object]]) -> None:
    """Put a drop in place as upstream should: whole, under its name at once."""
    file = landed(runtime, day)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name("visits.part")
    part.write_text(as_csv(rows))
    part.rename(file)


def states(api: AirflowApi, dag_id: str, day: date) -> list[str]:
    """The states of a day's runs of a DAG, oldest first."""
    return [run["state"] for run in api.runs(dag_id) if run["partition_key"] == day.isoformat()]


def task_state(api: AirflowApi, dag_id: str, day: date, task_id: str) -> str | None:
    """The state of a task in the latest run of a day."""
    runs = [run["dag_run_id"] for run in api.runs(dag_id) if run["partition_key"] == day.isoformat()]
    return api.task_states(dag_id, runs[-1]).get(task_id) if runs else None


def wait(done: Callable[[], object], explain: Callable[[], object]) -> None:
    end = time.monotonic() + WITHIN_SECONDS
    while not done():
        assert time.monotonic() < end, explain()
        time.sleep(0.5)
