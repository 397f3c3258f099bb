"""A training, with a real MLflow: what its runs hold, what a bad candidate costs, what is left, and that it repeats."""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import date
from math import nan
from pathlib import Path

import pytest

from include.core import warehouse
from include.core.domain import Candidate, Domain, Windows
from include.core.errors import DomainError
from include.dataops import preparation, reference
from include.dataops.reference import Way
from include.flights.domain import domain as flights
from include.modelops import tracking, training
from include.modelops.snapshot import Snapshot, read_window
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, build, ingest, rows, vouch
from tests.warehouse.conftest import FIRST_TRAINING, SECOND_TRAINING

STEPS = (training.fit_candidate, training.calibrate_candidate, training.validate_candidate)
LAST_FLIGHTS = date(2013, 1, 14)


def broken() -> None:
    raise ValueError("this candidate cannot be built")


def greedy() -> None:
    raise MemoryError("more than there is")


BROKEN = Candidate("broken", "tests.warehouse.test_training_runs:broken", calibration=None)
CALIBRATED = replace(domain.candidates[0], name="calibrated", calibration="sigmoid")


def client():
    import mlflow

    return mlflow.MlflowClient()


def children(parent: str) -> dict:
    experiment = client().get_experiment_by_name(domain.name).experiment_id
    found = client().search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert len({run.data.tags["candidate"] for run in found}) == len(found)
    return {run.data.tags["candidate"]: run for run in found}


def tables() -> list[str]:
    return [name for (name,) in rows("select tablename from pg_tables where schemaname = 'ml' and tablename ~ '^snap'")]


@pytest.fixture
def snapshot(trained, request):
    """A snapshot of the second training, under a run of the test's own."""
    yield training.freeze_snapshot(domain, SECOND_TRAINING, request.node.name)
    training.remove_snapshot(domain, SECOND_TRAINING, request.node.name)


def try_all(of: Domain, snapshot: dict) -> list[dict]:
    """What the mapped tasks do: each candidate's failure is its own."""
    validated = []
    for candidate in of.candidates:
        with suppress(ValueError):
            found = [step(of, candidate.name, snapshot) for step in STEPS]
            validated.append(json.loads(json.dumps(found[-1])))
    return validated


def test_a_training_is_one_run_that_says_what_it_was_made_from(trained):
    found = client().get_run(client().get_model_version(domain.name, "2").run_id)
    tags, params = found.data.tags, found.data.params
    assert found.info.status == "FINISHED"
    assert (tags["airflow_run"], tags["trained_as_of"]) == (RUN, f"{SECOND_TRAINING}")
    assert rows("select data_hash from ml.models where model_version = 2") == [(tags["data_hash"],)]
    assert {f"view.{view.name}": view.version for view in domain.views}.items() <= tags.items()
    assert tags["code_version"] == tracking.code_version()
    assert params["gate_window"] == "2020-03-02 to 2020-03-03"
    assert (params["candidate"], params["version"]) == ("logistic_regression", "2")


def test_below_it_is_a_run_for_each_candidate_with_measures_their_intervals_and_curves(trained):
    (run,) = children(client().get_model_version(domain.name, "2").run_id).values()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "logistic_regression C=1.0"
    assert {"C": "1.0", "family": "logistic_regression", "calibration": "None", "compute": "train"}.items() <= (
        run.data.params.items()
    )
    for measure in ("cost", "roc_auc", "average_precision", "brier", "ece"):
        low, value, high = (run.data.metrics[f"{measure}{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high
    pictures = {file.path for file in client().list_artifacts(run.info.run_id, "pictures")}
    assert pictures == {f"pictures/{name}.png" for name in ("roc", "precision_recall", "calibration")}


def test_the_code_version_is_the_commit_or_what_the_environment_says(monkeypatch):
    said = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    assert tracking.code_version() == (said or "unknown")
    monkeypatch.setenv("FLIGHTLINE_CODE_VERSION", "release-7")
    assert tracking.code_version() == "release-7"


def test_one_bad_candidate_does_not_sink_the_others(snapshot):
    several = replace(domain, candidates=(BROKEN, *domain.candidates, CALIBRATED))
    validated = try_all(several, snapshot)
    assert [one["candidate"] for one in validated] == ["logistic_regression", "calibrated"]
    runs = children(snapshot["mlflow_run"])
    assert {name: run.info.status for name, run in runs.items()} == {
        "broken": "FAILED",
        "logistic_regression": "FINISHED",
        "calibrated": "FINISHED",
    }
    version = training.register_challenger(several, snapshot, validated)
    assert client().get_run(snapshot["mlflow_run"]).info.status == "FINISHED"
    assert rows("select candidate from ml.models where model_version = %s", (version,))[0][0] in (
        "logistic_regression",
        "calibrated",
    )


def test_a_calibrated_candidate_is_calibrated_on_days_that_it_was_not_fitted_on(snapshot):
    both = replace(domain, candidates=(CALIBRATED,))
    for step in STEPS[:2]:
        step(both, "calibrated", snapshot)
    run = children(snapshot["mlflow_run"])["calibrated"].info.run_id
    frozen = Snapshot.from_json(snapshot)
    keys, features = read_window(domain, frozen, frozen.windows.fit)
    fitted = CALIBRATED.estimator().fit(features, keys["label"].to_numpy())
    handed_on = tracking.take_over(both, run, "fitted").predict_proba(features)
    assert (handed_on == fitted.predict_proba(features)).all()
    calibrated = tracking.take_over(both, run, "calibrated").predict_proba(features)
    assert (calibrated != handed_on).any()


def test_a_retry_goes_on_with_the_runs_that_are_there(snapshot):
    again = training.freeze_snapshot(domain, SECOND_TRAINING, snapshot["airflow_run"])
    assert again == snapshot
    for _ in range(2):
        training.fit_candidate(domain, "logistic_regression", snapshot)
    assert set(children(snapshot["mlflow_run"])) == {"logistic_regression"}


def test_a_training_that_is_cleared_after_its_data_changed_gets_a_run_that_says_so(snapshot):
    training.fit_candidate(domain, "logistic_regression", snapshot)
    with warehouse.transaction() as cursor:
        cursor.execute("update features.visits_due set age = age + 1")
    again = training.freeze_snapshot(domain, SECOND_TRAINING, snapshot["airflow_run"])
    assert again["data_hash"] != snapshot["data_hash"]
    assert client().get_run(again["mlflow_run"]).data.tags["data_hash"] == again["data_hash"]
    training.remove_snapshot(domain, SECOND_TRAINING, snapshot["airflow_run"])
    for run in (snapshot, again):
        assert client().get_run(run["mlflow_run"]).info.status == "KILLED"
    assert [run.info.status for run in children(snapshot["mlflow_run"]).values()] == ["KILLED"]


def test_a_training_that_was_given_up_is_running_again_when_it_is_cleared(snapshot):
    training.remove_snapshot(domain, SECOND_TRAINING, snapshot["airflow_run"])
    assert training.freeze_snapshot(domain, SECOND_TRAINING, snapshot["airflow_run"]) == snapshot
    assert client().get_run(snapshot["mlflow_run"]).info.status == "RUNNING"


def test_a_candidate_with_other_parameters_gets_a_run_that_says_so(snapshot):
    other = replace(domain, candidates=(replace(domain.candidates[0], params={"C": 2.0}),))
    for of in (domain, other):
        training.fit_candidate(of, "logistic_regression", snapshot)
        run = tracking.open_candidate(of, snapshot["mlflow_run"], of.candidates[0])
        assert client().get_run(run).data.params["C"] == f"{of.candidates[0].params['C']}"


def test_a_candidate_that_predicts_no_numbers_fails_alone_and_is_not_tried_again(snapshot):
    training.fit_candidate(domain, "logistic_regression", snapshot)
    run = tracking.open_candidate(domain, snapshot["mlflow_run"], domain.candidates[0])
    model = tracking.take_over(domain, run, "fitted")
    model[-1].coef_[:] = nan
    tracking.hand_on(run, "fitted", model)
    with pytest.raises(DomainError, match=r"logistic_regression cannot be validated \(ValueError: Input contains NaN"):
        training.validate_candidate(domain, "logistic_regression", snapshot)
    assert client().get_run(run).info.status == "FAILED"


def test_a_candidate_that_cannot_be_built_is_not_tried_again_and_one_that_lacks_memory_is(snapshot):
    with pytest.raises(DomainError, match="broken cannot be fitted"):
        training.fit_candidate(replace(domain, candidates=(BROKEN,)), "broken", snapshot)
    greedy = replace(BROKEN, build="tests.warehouse.test_training_runs:greedy")
    with pytest.raises(MemoryError):
        training.fit_candidate(replace(domain, candidates=(greedy,)), "broken", snapshot)


def test_a_candidate_that_failed_runs_again_when_it_is_mended_and_cleared(snapshot, monkeypatch):
    with pytest.raises(ValueError, match="cannot be built"):
        training.fit_candidate(replace(domain, candidates=(BROKEN,)), "broken", snapshot)
    run = tracking.open_candidate(domain, snapshot["mlflow_run"], BROKEN)
    assert client().get_run(run).info.status == "FAILED"
    monkeypatch.setattr("tests.warehouse.test_training_runs.broken", domain.candidates[0].estimator)
    training.fit_candidate(replace(domain, candidates=(BROKEN,)), "broken", snapshot)
    assert client().get_run(run).info.status == "RUNNING"


@pytest.mark.parametrize("steps", range(4), ids=["frozen", "fitted", "calibrated", "validated"])
def test_what_a_training_that_was_given_up_has_made_is_removed(trained, steps):
    run = f"given_up_after_{steps}"
    frozen = training.freeze_snapshot(domain, SECOND_TRAINING, run)
    calibrated = replace(domain, candidates=(CALIBRATED,))
    for step in STEPS[:steps]:
        step(calibrated, "calibrated", frozen)
    assert len(tables()) == 1
    for _ in range(2):
        training.remove_snapshot(domain, SECOND_TRAINING, run)
    assert tables() == []
    made = children(frozen["mlflow_run"])
    assert client().get_run(frozen["mlflow_run"]).info.status == "KILLED"
    assert {found.info.status for found in made.values()} <= {"KILLED", "FINISHED"}
    assert all(client().list_artifacts(found.info.run_id, tracking.BETWEEN_TASKS) == [] for found in made.values())


def test_to_remove_what_was_never_made_is_no_error(trained):
    training.remove_snapshot(domain, SECOND_TRAINING, "never_started")


def test_two_trainings_of_one_day_do_not_touch_each_other(trained):
    one, other = (training.freeze_snapshot(domain, SECOND_TRAINING, run) for run in ("one", "other"))
    assert one["data_hash"] == other["data_hash"]
    assert len(tables()) == 2
    training.remove_snapshot(domain, SECOND_TRAINING, "one")
    assert tables() == [other["table"]]
    assert client().get_run(other["mlflow_run"]).info.status == "RUNNING"
    training.remove_snapshot(domain, SECOND_TRAINING, "other")


def test_the_tasks_take_the_windows_of_the_snapshot_whatever_the_domain_says_by_now(snapshot):
    wider = replace(domain, windows=Windows(1, 1, 2, 1))
    training.fit_candidate(domain, "logistic_regression", snapshot)
    before = training.validate_candidate(domain, "logistic_regression", snapshot)
    assert training.validate_candidate(wider, "logistic_regression", snapshot) == before


def test_a_file_between_tasks_that_holds_a_foreign_type_is_not_loaded(snapshot):
    training.fit_candidate(domain, "logistic_regression", snapshot)
    run = children(snapshot["mlflow_run"])["logistic_regression"].info.run_id
    distrustful = replace(domain, trusted_types=())
    with pytest.raises(ValueError, match=r"numpy\.dtype"):
        tracking.take_over(distrustful, run, "fitted")


def test_a_registration_that_is_tried_again_says_the_same_in_its_run_and_another_winner_its_own(snapshot):
    both = replace(domain, candidates=(*domain.candidates, CALIBRATED))
    validated = try_all(domain, snapshot)
    first = training.register_challenger(domain, snapshot, validated)
    kept = client().get_run(snapshot["mlflow_run"]).data.metrics
    assert training.register_challenger(domain, snapshot, validated) == first
    assert client().get_run(snapshot["mlflow_run"]).data.metrics == kept
    other = [{**validated[0], "measures": {**validated[0]["measures"], "cost": 0.125}}]
    assert training.register_challenger(both, snapshot, other) != first
    assert client().get_run(snapshot["mlflow_run"]).data.metrics["cost"] == 0.125


def test_a_training_that_finds_its_version_whole_fits_nothing_again(trained):
    frozen = training.freeze_snapshot(domain, FIRST_TRAINING, "a_second_time")
    validated = [{"candidate": "logistic_regression", "measures": {"cost": 0.1}, "intervals": {}}]
    with warehouse.transaction() as cursor:
        cursor.execute(f'drop table ml."{frozen["table"]}"')  # nothing could be fitted any more
    assert training.register_challenger(domain, frozen, validated) == 1
    training.remove_snapshot(domain, FIRST_TRAINING, "a_second_time")


# The same snapshot gives the same models


def short_flights() -> Domain:
    """The flights with short windows and few trees."""
    few = {"max_iter": 20, "max_leaf_nodes": 15, "min_samples_leaf": 20}
    candidates = []
    for candidate in flights.candidates:
        changed = {"trees": few} if "trees" in candidate.params else few if "max_iter" in candidate.params else {}
        candidates.append(replace(candidate, params={**candidate.params, **changed}))
    return replace(flights, candidates=tuple(candidates), windows=Windows(5, 3, 2, 2))


@pytest.fixture(scope="module")
def two_weeks(flight_drops, new_database, mlflow_server) -> Domain:
    """The short flights, on a warehouse that holds their first two weeks."""
    import mlflow

    short = short_flights()
    new_database("template1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", flight_drops.as_uri())
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_tracking_uri(mlflow_server)
        preparation.create_tables(short)
        reference.load_files(reference.find_files(short))
        reference.publish(short, Way.COPY)
        ingest(short, short.first_day, LAST_FLIGHTS)
        vouch(short, short.first_day, LAST_FLIGHTS)
        build(short, short.first_day, LAST_FLIGHTS)
        yield short


def prediction_hashes(of: Domain, as_of: date, airflow_run: str) -> dict[str, str]:
    """Train every candidate on a snapshot of its own, and hash what each predicts for the gate window."""
    snapshot = training.freeze_snapshot(of, as_of, airflow_run)
    frozen = Snapshot.from_json(snapshot)
    _, features = read_window(of, frozen, frozen.windows.gate)
    found = {"snapshot": snapshot["data_hash"]}
    for candidate in of.candidates:
        for step in STEPS[:2]:
            step(of, candidate.name, snapshot)
        run = tracking.open_candidate(of, snapshot["mlflow_run"], candidate)
        model = tracking.take_over(of, run, "calibrated" if candidate.calibration else "fitted")
        found[candidate.name] = hashlib.sha256(model.predict_proba(features).tobytes()).hexdigest()
    training.remove_snapshot(of, as_of, airflow_run)
    return found


def hashes_elsewhere(threads: int) -> dict[str, str]:
    """The hashes that a fresh process finds, with so many threads for a fit."""
    program = (
        "import json; from tests.warehouse.test_training_runs import *;"
        "print(json.dumps(prediction_hashes(short_flights(), LAST_FLIGHTS, 'elsewhere')))"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=os.environ | {"OMP_NUM_THREADS": f"{threads}", "OPENBLAS_NUM_THREADS": f"{threads}"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_two_trainings_on_one_snapshot_give_the_same_predictions_to_the_last_bit(two_weeks):
    once, again = (prediction_hashes(two_weeks, LAST_FLIGHTS, run) for run in ("once", "again"))
    assert once == again == hashes_elsewhere(threads=1) == hashes_elsewhere(threads=3)
    assert len(set(once.values())) == len(once)


def test_two_trainings_of_the_toy_on_one_snapshot_give_the_same_predictions_to_the_last_bit(trained):
    both = replace(domain, candidates=(*domain.candidates, CALIBRATED))
    once, again = (prediction_hashes(both, SECOND_TRAINING, run) for run in ("once", "again"))
    assert once == again
    assert len(set(once.values())) == 3
