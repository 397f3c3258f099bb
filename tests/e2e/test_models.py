"""The life of a model under a real scheduler: trained while one candidate breaks and one is killed, promoted, rejected,
asked about, rolled back; a training that is given up leaves nothing. At the end a person looks at it all on the Model
board.

The drill runs once. After each step it notes what it sees, and the tests look at these notes.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest

from local import browser
from local.airflow_api import AirflowApi
from local.settings import ADMIN
from tests.e2e.browser import SECTIONS, Board, Keys, start_chrome  # noqa: F401 - a fixture, `chrome`
from tests.e2e.runtime import Runtime, services_of, states, wait, wait_until_prepared
from tests.toy_domain.domain import domain

TRAINED, AFTER, ASKED, LATER = (domain.history_through + timedelta(days=n) for n in range(4))
STEPS = ("fit_candidate", "calibrate_candidate", "validate_candidate")
REASON = "the ward asked for it"

# What the copy of the toy domain gets: a candidate that breaks, and one that waits while a file says so.
MORE_CANDIDATES = """
    candidates=(
        Candidate("broken", "tests.toy_domain.model:broken", calibration=None),
        Candidate("held", "tests.toy_domain.model:held", {"C": 1.0}, calibration=None, compute="train_large"),
"""
MORE_MODELS = '''

def broken():
    """A candidate with a mistake in it."""
    raise ValueError("this candidate cannot be built")


def held(**params):
    """The linear model, once nobody holds it: says in the file which process waits."""
    import os
    import time
    from pathlib import Path

    file = Path(__file__).with_name("held")
    while file.exists():
        if not file.read_text():
            file.write_text(str(os.getpid()))
        time.sleep(0.2)
    return logistic_regression(**params)
'''


class Api(AirflowApi):
    """What a person does in the UI."""

    def questions(self, dag_id: str) -> list[dict[str, Any]]:
        """The open questions of a DAG."""
        query = {"response_received": False, "state": "awaiting_input"}
        found = self._pages("/dags/~/dagRuns/~/hitlDetails", "hitl_details", **query)
        return [question for question in found if question["task_instance"]["dag_id"] == dag_id]

    def answer(self, question: dict[str, Any], option: str, answers: dict[str, str]) -> None:
        """Answer a question."""
        task = question["task_instance"]
        path = f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/-1/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [option], "params_input": answers})

    def announce(self, name: str, day: date) -> None:
        """Make an event of a Dataset by hand."""
        (asset,) = self._pages("/assets", "assets", name_pattern=name)
        self._call("POST", "/assets/events", json={"asset_id": asset["id"], "partition_key": day.isoformat()})

    def end_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def titles(self, dag_id: str, run_id: str) -> dict[str, dict[str, str]]:
        """The state of each task of a mapped group, by the name that the UI shows of its first task."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        mapped = [task for task in self._pages(path, "task_instances") if task["map_index"] >= 0]
        groups: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
        for task in mapped:
            group, _, step = task["task_id"].rpartition(".")
            groups.setdefault((group, task["map_index"]), {})[step] = task
        return {
            steps[STEPS[0]]["rendered_map_index"]: {step: task["state"] for step, task in steps.items()}
            for steps in groups.values()
        }


@dataclass(frozen=True)
class Notes:
    """What is seen after a step."""

    decisions: list[tuple]
    aliases: dict[str, str]
    predictions: list[tuple]
    snapshots: list[tuple]
    open_runs: int
    alerts: dict[tuple[date, str], tuple[str, str]]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The services, with two more candidates and no training by the calendar."""
    runtime = Runtime(tmp_path_factory.mktemp("e2e"))
    toy = runtime.project / "tests" / "toy_domain"
    text = (toy / "domain.py").read_text()
    for before, after in (
        ("    candidates=(\n", MORE_CANDIDATES.lstrip("\n")),
        ("Retraining(cadence=3,", "Retraining(cadence=99,"),
        ("max_age=10,", "max_age=10, max_roc_auc=0.995,"),
        ("missed=3.0", "missed=1.0"),  # with eight visits a day, a model that is good acts no better at a low threshold
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    (toy / "domain.py").write_text(text)
    with (toy / "model.py").open("a") as models:
        models.write(MORE_MODELS)
    with services_of(runtime):
        yield runtime


@pytest.fixture(scope="module")
def drill(runtime) -> dict[str, Any]:
    """What is seen after each step, by its name."""
    api = Api(runtime.settings)
    wait_until_prepared(runtime, api)
    seen: dict[str, Any] = {}

    with held(runtime) as file:
        history = {"start": domain.first_day.isoformat(), "end": TRAINED.isoformat()}
        api.trigger("backfill_features", "history", history)
        wait(file.read_text, api.runs_by_state)
        os.kill(int(file.read_text()), signal.SIGKILL)
    wait(lambda: states(api, "deploy_model", TRAINED) == ["success"], api.runs_by_state)
    (run,) = api.runs("train_model")
    seen["candidates"] = api.titles("train_model", run["dag_run_id"])
    seen["trained"] = take_notes(runtime)

    api.create_backfill("ingest_sources", AFTER.isoformat(), ASKED.isoformat())
    wait(lambda: runtime.stage(ASKED, "monitored"), api.runs_by_state)
    with held(runtime) as file:
        api.trigger("train_model", "given_up", {}, ASKED.isoformat())
        wait(file.read_text, api.runs_by_state)
        seen["training"] = take_notes(runtime)
        api.end_run("train_model", "given_up")
        wait(lambda: api.task_states("train_model", "given_up")["remove_snapshot"] == "success", api.runs_by_state)
    seen["given up"] = take_notes(runtime)

    plant(runtime, AFTER, "inverted")
    api.announce(f"{domain.name}.challenger", AFTER)
    wait(lambda: states(api, "deploy_model", AFTER) == ["success"], api.runs_by_state)
    seen["rejected"] = take_notes(runtime)

    plant(runtime, ASKED, "clairvoyant")
    api.announce(f"{domain.name}.challenger", ASKED)
    wait(lambda: api.questions("deploy_model"), api.runs_by_state)
    seen["asked"] = take_notes(runtime)
    (seen["question"],) = api.questions("deploy_model")
    answer_until(
        api, "deploy_model", "Promote", lambda: states(api, "deploy_model", ASKED) == ["success"], reason=REASON
    )
    seen["promoted"] = take_notes(runtime)

    api.create_backfill("ingest_sources", LATER.isoformat(), LATER.isoformat())
    wait(lambda: runtime.stage(LATER, "monitored"), api.runs_by_state)
    seen["scored"] = take_notes(runtime)
    api.trigger("rollback_model", "back", {"reason": "it had learned the answers by heart"})
    wait(lambda: api.questions("rollback_model"), api.runs_by_state)
    (seen["plan"],) = api.questions("rollback_model")
    answer_until(api, "rollback_model", "Approve", lambda: api.runs("rollback_model")[0]["state"] == "success")
    seen["rolled back"] = take_notes(runtime)

    api.trigger("rollback_model", "again", {"reason": "once more for good measure"})
    wait(lambda: [run["state"] for run in api.runs("rollback_model")] == ["success", "failed"], api.runs_by_state)
    seen["refused"] = take_notes(runtime)
    return seen


@contextmanager
def held(runtime: Runtime) -> Iterator[Path]:
    """The file that holds the held candidate, for this block; its text is the process that waits."""
    file = runtime.project / "tests" / "toy_domain" / "held"
    file.touch()
    try:
        yield file
    finally:
        file.unlink()


def answer_until(api: Api, dag_id: str, option: str, done: Callable[[], bool], **answers: str) -> None:
    """Answer the question of a DAG until it is done: one that is answered before the scheduler has seen its first
    process end is taken for failed, and asked again.
    """

    def answered() -> bool:
        for question in api.questions(dag_id):
            api.answer(question, option, answers)
        return done()

    wait(answered, api.runs_by_state)


def plant(runtime: Runtime, day: date, kind: str) -> None:
    """Register a planted model as the challenger of a day."""
    planted = runtime.command("tests.e2e.plant", day.isoformat(), kind)
    assert planted.returncode == 0, planted.stderr


def take_notes(runtime: Runtime) -> Notes:
    """What there is to see now."""
    client = mlflow.MlflowClient(runtime.settings.mlflow_url)
    experiment = client.get_experiment_by_name(domain.name)
    return Notes(
        decisions=runtime.rows(
            "select as_of, challenger_version, champion_version, route, outcome, decided_by, comment, effective_from"
            " from ml.decisions order by recorded_at"
        ),
        aliases=dict(client.get_registered_model(domain.name).aliases),
        predictions=runtime.rows(
            "select as_of, model_version, superseded, count(*) from ml.predictions group by 1, 2, 3 order by 1, 2"
        ),
        snapshots=runtime.rows("select tablename from pg_tables where schemaname = 'ml' and tablename ~ '^snapshot'"),
        open_runs=len(client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")),
        alerts={
            (day, kind): (subject, told)
            for day, kind, subject, told in runtime.rows("select as_of, kind, subject, message from ml.alerts")
        },
    )


def test_candidates_have_readable_names_and_one_that_breaks_or_is_killed_does_not_sink_the_others(drill):
    assert drill["candidates"] == {
        "broken": {
            "fit_candidate": "failed",
            "calibrate_candidate": "upstream_failed",
            "validate_candidate": "upstream_failed",
        },
        "logistic_regression C=1.0": dict.fromkeys(STEPS, "success"),
        "held C=1.0": dict.fromkeys(STEPS, "success"),
    }


def test_the_first_model_is_promoted_by_the_gate(drill):
    trained = drill["trained"]
    assert trained.decisions == [(TRAINED, 1, None, "promote", "promoted", "gate", "", AFTER)]
    assert trained.aliases == {"challenger": "1", "champion": "1"}


def test_a_training_leaves_no_snapshot_and_no_open_run_though_a_task_failed_and_one_was_killed(drill):
    assert (drill["trained"].snapshots, drill["trained"].open_runs) == ([], 0)


def test_a_training_that_is_marked_as_failed_is_cleared_up_too(drill):
    assert len(drill["training"].snapshots) == 1
    assert drill["training"].open_runs > 0
    assert (drill["given up"].snapshots, drill["given up"].open_runs) == ([], 0)


def test_a_model_that_was_fitted_on_wrong_labels_is_rejected_by_the_gate(drill):
    assert drill["rejected"].decisions[1:] == [(AFTER, 2, 1, "reject", "rejected", "gate", "", None)]
    assert drill["rejected"].aliases["champion"] == "1"


def test_a_model_that_is_too_good_to_be_true_is_asked_about_with_the_comparison_and_an_alert(drill):
    subject, told = drill["asked"].alerts[ASKED, "question"]
    assert subject == "deploy_model.ask_a_person"
    body = drill["question"]["body"]
    assert "too good to be true" in told and "too good to be true" in body
    assert "| ROC-AUC | 1.000" in body
    assert drill["asked"].aliases["champion"] == "1"


def test_the_answer_given_by_api_promotes_and_who_and_why_are_recorded(drill):
    assert drill["promoted"].decisions[2:] == [(ASKED, 3, 1, "ask_a_person", "promoted", ADMIN, REASON, LATER)]
    assert drill["promoted"].aliases == {"challenger": "3", "champion": "3", "previous": "1"}
    assert (LATER, 3, False, 8) in drill["scored"].predictions


def test_a_rollback_puts_the_version_before_back_and_scores_its_days_again(drill):
    assert "version 3" in drill["plan"]["body"] and "8 predictions" in drill["plan"]["body"]
    assert drill["rolled back"].decisions[3:] == [
        (LATER, 1, 3, "roll_back", "rolled_back", ADMIN, "it had learned the answers by heart", LATER)
    ]
    assert drill["rolled back"].aliases == {"challenger": "3", "champion": "1"}
    assert drill["rolled back"].predictions == [
        (AFTER, 1, False, 8),
        (ASKED, 1, False, 8),
        (LATER, 1, False, 8),
        (LATER, 3, True, 8),
    ]


def test_a_rollback_with_nothing_to_go_back_to_is_refused_at_once_and_changes_nothing(drill):
    refused, before = drill["refused"], drill["rolled back"]
    assert replace(refused, alerts=before.alerts) == before
    # A run by hand is of no day of the chain, and people hear of its failure all the same.
    assert any(subject.startswith("rollback_model.") for subject, _ in refused.alerts.values())
    assert not any(subject.startswith("rollback_model.") for subject, _ in before.alerts.values())


@pytest.fixture(scope="module")
def board(drill, runtime, chrome):
    """The Model board after the drill, in a browser that has logged in."""
    return Board(chrome, runtime.settings)


@pytest.fixture
def opened(board):
    """The board in Airflow's frame, the way a person goes there."""
    board.open_from_navigation()
    return board


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_board_is_found_in_the_navigation_and_says_who_is_champion(opened, runtime):
    told = words(opened.text("champion"))
    ((run, candidate, first, last),) = runtime.rows(
        "select mlflow_run_id, candidate, fitted_from, fitted_through from ml.models where model_version = 1"
    )
    named = candidate.replace("_", " ")
    assert f"Version 1 {named} Scores since {LATER}, put back in place of version 3." in told
    assert f"Fitted on {first} to {last}" in told
    links = {link.text: link.get_attribute("href") for link in opened.all("#champion a")}
    assert links == {
        "Run in MLflow": f"{runtime.settings.mlflow_url}/#/runs/{run}",
        "Model card": f"{runtime.settings.mlflow_url}/#/models/{domain.name}/versions/1",
    }


def test_every_section_of_the_board_shows_what_the_warehouse_holds(opened, runtime):
    for section in SECTIONS:
        assert opened.text(section), section
    for detail in opened.all("summary, .more"):
        detail.click()
    shown = {section: words(opened.text(section)) for section in SECTIONS}
    for message, *_ in runtime.rows(
        "select message from ml.judgements where as_of = (select max(as_of) from ml.judgements)"
    ):
        assert words(message).lower() in shown["judgements"].lower()
    for (reason,) in runtime.rows("select unnest(reasons) from ml.decisions"):
        assert words(reason) in shown["decisions"]
    assert REASON in shown["decisions"]
    alerts = runtime.rows("select subject, message from ml.alerts")
    assert alerts
    for subject, message in alerts:
        assert subject in shown["alerts"] and words(message) in shown["alerts"]
    for (group,) in runtime.rows("select distinct slice_group from ml.performance where slice <> ''"):
        assert group in shown["slices"]
    assert "visits" in shown["quality"]


def test_a_day_of_the_board_is_told_in_words_by_pointer_and_by_keyboard(opened):
    (day,) = opened.all(f"[data-day='{LATER}']")
    assert f"{LATER}: scored" in opened.point_at(day)
    assert f"{ASKED}: " in opened.press(day, Keys.ARROW_LEFT)
    before = opened.press(opened.one(f"[data-day='{ASKED}']"), Keys.HOME)
    assert f"{domain.first_day}: features built, not scored" in before


def test_the_drift_of_the_board_is_switched_from_one_measure_to_another(opened):
    opened.text("drift")
    for measure, title in (("missing", "Missing"), ("js_distance", "Jensen-Shannon"), ("psi", "PSI")):
        opened.one(f"#measures label:has([value={measure}])").click()
        told = opened.one("#heat .chart").get_attribute("aria-label")
        assert told.startswith(f"{title} of ") and "scores" in told
        browser.wait_for(opened.chrome, "#heat .chart svg")


def test_the_board_fits_a_phone_and_turns_dark_with_the_system(board):
    board.chrome.switch_to.default_content()
    try:
        browser.resize(board.chrome, *browser.PHONE)
        browser.prefer(board.chrome, "light")
        board.open_alone()
        light = board.style("html", "backgroundColor")
        assert not board.overflows()
        browser.prefer(board.chrome, "dark")
        assert board.style("html", "backgroundColor") != light
        assert not board.overflows()
    finally:
        browser.prefer(board.chrome, "light")
        browser.resize(board.chrome, *browser.DESKTOP)
        board.chrome.get(board.url)


def test_the_board_logs_no_error_and_asks_nobody_but_airflow(opened):
    assert opened.errors() == []
    assert opened.foreign_requests() == []


def test_the_links_of_the_board_open_in_windows_of_their_own_though_its_frame_forbids_windows(opened, runtime):
    chrome = opened.chrome
    here = chrome.current_window_handle
    opened.one("#champion a").click()
    browser.wait_until(chrome, "return true")
    (other,) = set(chrome.window_handles) - {here}
    chrome.switch_to.window(other)
    try:
        ((run,),) = runtime.rows("select mlflow_run_id from ml.models where model_version = 1")
        browser.wait_until(chrome, f"return document.body.innerText.includes('{run}')")
        assert "Page Not Found" not in chrome.page_source
    finally:
        chrome.close()
        chrome.switch_to.window(here)


@pytest.mark.parametrize("path", ["", "data", "static/x/board.js", "static/x/plotly.min.js"])
def test_nothing_of_the_board_is_served_to_who_has_not_logged_in(runtime, drill, path):
    reply = httpx.get(f"{runtime.settings.airflow_url}/model-board/{path}", trust_env=False)
    assert reply.status_code == 401
