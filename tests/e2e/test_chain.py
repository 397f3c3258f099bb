"""The chain under a real scheduler: one bad day halts, nothing follows it, and the day after it says why it waits."""

import os
import re
import shutil
import subprocess
import time
from datetime import date, timedelta
from pathlib import Path

import psycopg2
import pytest

from local import postgres, processes
from local.airflow_api import ACTIVE, AirflowApi
from local.settings import Settings, port_is_free
from tests.conftest import REPO
from tests.ports import free_port
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of

GOOD, BAD, NEXT = (domain.first_day + timedelta(days=n) for n in range(3))
COPIED = ("dags", "include", "plugins", "local", "tests")
ENVIRONMENTS = (".venv", ".venv-astro-sdk")
WITHIN_SECONDS = 150


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

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m local <name>` of the copy."""
        environment = os.environ | {
            "FLIGHTLINE_HOME": str(self.settings.home),
            "FLIGHTLINE_AIRFLOW_PORT": str(self.settings.airflow_port),
            "FLIGHTLINE_MLFLOW_PORT": str(self.settings.mlflow_port),
            "FLIGHTLINE_CACHE": str(self.settings.home / "cache"),
        }
        return subprocess.run(
            [self.project / ".venv" / "bin" / "python", "-m", "local", name],
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

    def left_over(self) -> list[list[str]]:
        """The commands of all processes of this runtime that are still there."""
        return [process.cmdline() for process in processes.find_all(self.settings.home, {})]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The runtime after the three days; whatever happened, nothing of it is left running."""
    runtime = Runtime(tmp_path_factory.mktemp("e2e"))
    thin = runtime.settings.landing / BAD.isoformat() / "visits.csv"
    thin.parent.mkdir(parents=True)
    thin.write_text(as_csv(rows_of(BAD)[:3]))
    try:
        started = runtime.command("up")
        assert started.returncode == 0, started.stdout + started.stderr
        replay(runtime, GOOD, NEXT)
        yield runtime
    finally:
        stopped = runtime.command("stop")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert runtime.left_over() == []
    assert port_is_free(runtime.settings.airflow_port)
    assert port_is_free(runtime.settings.mlflow_port)


def replay(runtime: Runtime, first: date, last: date) -> None:
    """Backfill the head of the chain over some days and wait until nothing runs any more."""
    api = AirflowApi(runtime.settings)
    dags = {file.stem for file in (runtime.project / "dags").glob("*.py")}
    wait(lambda: api.dag_ids() >= dags, api.import_errors)
    landed = [runtime.settings.landing / day.isoformat() / "visits.csv" for day in (GOOD, BAD, NEXT, domain.last_day)]
    wait(lambda: all(file.exists() for file in landed), api.runs_by_state)
    wait(lambda: runtime.rows("select to_regclass('features.registry') is not null") == [(True,)], api.runs_by_state)
    api.create_backfill("ingest_sources", first.isoformat(), last.isoformat())

    def is_over() -> bool:
        runs = [run for run in api.runs() if run["dag_id"] != "prepare_project"]
        ended = {(run["dag_id"], run["partition_key"]): run["state"] for run in runs}
        return (
            ("monitor_drift", GOOD.isoformat()) in ended
            and ended.get(("build_features", NEXT.isoformat())) in {"success", "failed"}
            and not any(run["state"] in ACTIVE for run in runs)
        )

    wait(is_over, api.runs_by_state)
    time.sleep(3)  # between a run that ends and the one that its Dataset starts, nothing is active for a moment
    wait(is_over, api.runs_by_state)


def wait(done, explain) -> None:
    end = time.monotonic() + WITHIN_SECONDS
    while not done():
        assert time.monotonic() < end, explain()
        time.sleep(0.5)


def states(runtime: Runtime, dag_id: str) -> dict[date, str]:
    """The state of each day's run of a DAG."""
    return {date.fromisoformat(run["partition_key"]): run["state"] for run in AirflowApi(runtime.settings).runs(dag_id)}


def test_a_bad_day_halts_at_its_checks_and_nothing_follows_it(runtime):
    assert states(runtime, "ingest_sources") == dict.fromkeys((GOOD, BAD, NEXT), "success")
    assert states(runtime, "check_quality") == {GOOD: "success", BAD: "failed", NEXT: "success"}
    assert states(runtime, "build_features") == {GOOD: "success", NEXT: "failed"}
    for dag_id in ("score_batch", "monitor_drift"):
        assert states(runtime, dag_id) == {GOOD: "success"}
    for dag_id in ("train_model", "deploy_model", "backfill_features"):
        assert states(runtime, dag_id) == {}


def test_the_good_day_went_through_to_the_end_of_the_chain(runtime):
    stages = runtime.rows(
        "select stage, state from quality.stages where as_of = (select min(as_of) from quality.stages)"
    )
    assert dict(stages) == {
        "ingested": "done",
        "checked": "done",
        "built": "done",
        "scored": "no_champion",
        "monitored": "done",
    }


def test_no_feature_and_no_prediction_is_of_the_bad_day_or_of_the_day_that_would_have_read_it(runtime):
    assert runtime.rows("select distinct as_of from features.partitions") == [(GOOD,)]
    assert runtime.rows("select distinct as_of from features.visits_due") == [(GOOD,)]
    later = runtime.rows("select distinct as_of from quality.stages where stage in ('built', 'scored', 'monitored')")
    assert later == [(GOOD,)]


def test_the_failures_are_alerts_that_name_the_check_and_the_missing_day(runtime):
    alerts = {
        (as_of, kind): (subject, told)
        for as_of, kind, subject, told in runtime.rows(
            "select as_of, kind, subject, message from ml.alerts where subject not like 'prepare_project%'"
        )
    }
    assert set(alerts) == {(BAD, "check_fail"), (BAD, "task_failed"), (NEXT, "task_failed")}
    assert "every day has at least six visits" in alerts[BAD, "check_fail"][1]
    assert alerts[BAD, "task_failed"][0] == "check_quality.check_drop"
    subject, told = alerts[NEXT, "task_failed"]
    assert subject == "build_features.build_views"
    assert f"{BAD} of visits (failed)" in told
    assert f"airflow backfill create --dag-id ingest_sources --from-date {BAD}" in told


def test_bad_data_is_not_tried_again_and_a_day_that_may_still_come_is(runtime):
    assert tries(runtime, "check_quality") == [1, 1, 1]
    assert tries(runtime, "build_features") == [1, 3]


def tries(runtime: Runtime, dag_id: str) -> list[int]:
    """How often the one task of each run of a DAG was tried, by its logs."""
    runs = (runtime.settings.airflow_home / "logs" / f"dag_id={dag_id}").glob("run_id=*")
    return sorted(len(list(run.glob("task_id=*/attempt=*.log"))) for run in runs)
