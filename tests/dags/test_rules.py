"""Rules that hold for every DAG of the project."""

import ast
import inspect
import re
from collections import Counter
from copy import deepcopy
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import AssetAlias, CronPartitionTimetable, PartitionedAssetTimetable
from airflow.sdk.definitions.asset import Asset, Dataset, Model
from airflow.timetables.base import DagRunInfo

from include.core import datasets
from include.core.alerts import alert_on_failure
from include.core.datasets import ARCHIVE, CHALLENGER, CHAMPION, CHECKED, FEATURES, PREDICTIONS, RAW, RETRAIN_REQUEST
from include.modelops.decisions import give_up, route_of
from include.modelops.gate import Route
from include.project import domain
from tests.conftest import REPO
from tests.dags.conftest import DAG_FILES

HEAD = "ingest_sources"
NOT_OF_THE_CHAIN = {"prepare_project", "backfill_features", "rollback_model"}
STARTS_ON = {
    "check_quality": RAW,
    "build_features": CHECKED,
    "score_batch": FEATURES,
    "monitor_drift": PREDICTIONS,
    "train_model": RETRAIN_REQUEST,
    "deploy_model": CHALLENGER,
    "archive_partitions": CHALLENGER,
}
PUBLISHES = {
    "ingest_sources": {RAW},
    "check_quality": {CHECKED},
    "build_features": {FEATURES},
    "backfill_features": {FEATURES},
    "score_batch": {PREDICTIONS},
    "monitor_drift": {RETRAIN_REQUEST},
    "train_model": {CHALLENGER},
    "deploy_model": {CHAMPION},
    "rollback_model": {CHAMPION},
    "archive_partitions": {ARCHIVE},
}
by_file = pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)


def tasks(bag):
    return [task for dag in bag.dags.values() for task in dag.tasks]


def test_every_file_imports_clean_and_holds_one_dag(bag):
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [file.stem for file in DAG_FILES]


@by_file
def test_a_dag_has_the_name_of_its_file_and_of_its_function(bag, file):
    functions = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert functions == [file.stem]
    assert bag.dags[file.stem].fileloc == str(file)


@by_file
def test_a_dag_is_documented_by_the_docstring_of_its_file(bag, file):
    docstring = ast.get_docstring(ast.parse(file.read_text()), clean=False)
    assert docstring
    assert inspect.cleandoc(bag.dags[file.stem].doc_md) == inspect.cleandoc(docstring)
    assert len(docstring) > 100


@by_file
def test_a_dag_file_only_wires(file):
    assert len(file.read_text().splitlines()) <= 70


@by_file
def test_a_dataset_is_named_in_one_place_only(file):
    names = {known.name for known in vars(datasets).values() if isinstance(known, Asset)}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in names
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func).rpartition(".")[2] not in {"Asset", "Dataset", "Model", "ref"}


def test_the_datasets_are_named_after_the_domain_and_are_of_the_kind_they_are():
    known = [value for value in vars(datasets).values() if isinstance(value, Asset)]
    assert all(asset.name.startswith(f"{domain.name}.") for asset in known)
    assert {asset for asset in known if isinstance(asset, Model)} == {CHALLENGER, CHAMPION}
    assert all(isinstance(asset, Dataset | Model) for asset in known)


def test_every_dag_of_the_chain_is_partitioned(bag):
    """A plain schedule on an asset never fires on an event that has a partition key, and says nothing of it."""
    for name, dag in bag.dags.items():
        if name == HEAD:
            assert isinstance(dag.timetable, CronPartitionTimetable)
        elif name not in NOT_OF_THE_CHAIN:
            assert isinstance(dag.timetable, PartitionedAssetTimetable), name


@pytest.mark.parametrize(("name", "asset"), STARTS_ON.items(), ids=lambda value: getattr(value, "name", value))
def test_a_dag_starts_on_the_dataset_of_the_one_before_it(bag, name, asset):
    assert bag.dags[name].timetable.asset_condition == asset


def test_every_dataset_that_starts_a_dag_is_published_by_one(bag):
    started_by = {
        dag.timetable.asset_condition
        for dag in bag.dags.values()
        if isinstance(dag.timetable, PartitionedAssetTimetable)
    }
    assert started_by <= {outlet for task in tasks(bag) for outlet in task.outlets}


def test_a_dag_publishes_each_dataset_from_one_task_after_all_others(bag):
    for name, dag in bag.dags.items():
        publishing = Counter(outlet for task in dag.tasks for outlet in task.outlets)
        assert set(publishing.values()) <= {1}, name
        assert set(publishing) == PUBLISHES.get(name, set(publishing)), name
        assert not any(isinstance(outlet, AssetAlias) for outlet in publishing)
        for task in dag.tasks:
            if task.outlets:
                after = task.get_flat_relatives(upstream=False)
                assert all(known.is_teardown for known in after), f"{name}.{task.task_id}"


def test_no_dag_starts_paused_for_a_paused_one_loses_the_events_it_should_answer(bag):
    assert {name for name, dag in bag.dags.items() if dag.is_paused_upon_creation is not False} == set()


def test_no_dag_catches_up_by_itself(bag):
    assert not any(dag.catchup for dag in bag.dags.values())


def test_the_head_takes_one_day_at_a_time(bag):
    assert bag.dags[HEAD].max_active_runs == 1


def test_every_task_is_tried_again_unless_it_waits_for_a_deadline_of_its_own(bag):
    never = {f"{task.dag_id}.{task.task_id}" for task in tasks(bag) if task.retries < 2}
    assert never <= {"score_batch.wait_for_decisions"}


def test_every_task_raises_an_alert_when_it_has_failed(bag):
    for task in tasks(bag):
        callbacks = task.on_failure_callback
        assert alert_on_failure in (callbacks if isinstance(callbacks, list) else [callbacks]), task.task_id


def test_every_route_of_the_gate_is_a_task_that_follows_the_branch(bag):
    deploy = bag.dags["deploy_model"]
    assert {route.value for route in Route} <= set(deploy.task_ids)
    assert deploy.get_task("choose_route").downstream_task_ids == {route.value for route in Route}


def test_every_answer_of_a_person_leads_to_an_outcome_and_no_answer_is_a_no(bag):
    deploy = bag.dags["deploy_model"]
    asked = deploy.get_task(Route.ASK.value)
    outcomes = deploy.get_task("follow_answer").downstream_task_ids
    assert asked.downstream_task_ids == {"follow_answer"}
    assert {route_of({"chosen_options": [option]}) for option in asked.options} == outcomes
    assert outcomes == {Route.PROMOTE.value, Route.REJECT.value}
    assert [route_of({"chosen_options": asked.defaults})] == [Route.REJECT.value]


def test_a_training_or_a_deployment_that_fails_gives_up_so_that_scoring_goes_on_but_not_for_one_candidate(bag):
    for task in tasks(bag):
        if task.dag_id in {"train_model", "deploy_model"} and not task.is_teardown:
            of_a_candidate = task.get_closest_mapped_task_group() is not None
            assert (give_up in task.on_failure_callback) is not of_a_candidate, task.task_id


def test_candidates_are_tried_side_by_side_on_the_workers_that_they_name(bag):
    train = bag.dags["train_model"]
    assert set(train.task_group.children) >= set(domain.candidates_by_compute())
    for where in domain.candidates_by_compute():
        steps = [train.get_task(f"{where}.{step}_candidate") for step in ("fit", "calibrate", "validate")]
        assert all(step.get_closest_mapped_task_group().group_id == where for step in steps)
        assert steps[1].task_id in steps[0].downstream_task_ids
        assert steps[2].task_id in steps[1].downstream_task_ids


def test_the_snapshot_is_dropped_whatever_happens_to_the_training(bag):
    train = bag.dags["train_model"]
    assert train.get_task("freeze_snapshot").is_setup
    assert train.get_task("remove_snapshot").is_teardown


def drop(day) -> datetime:
    return datetime.combine(day, domain.drop_at, ZoneInfo(domain.timezone))


def test_every_day_of_the_calendar_is_one_partition_also_when_clocks_change(scheduled):
    last = domain.last_day or domain.first_day + timedelta(days=400)
    infos = scheduled[HEAD].iter_dagrun_infos_between(drop(domain.first_day), drop(last))
    found = [(info.partition_key, info.run_after) for info in infos]
    days = [domain.first_day + timedelta(days=n) for n in range((last - domain.first_day).days + 1)]
    assert [key for key, _ in found] == [day.isoformat() for day in days]
    assert all(moment == drop(day) for day, (_, moment) in zip(days, found, strict=True))


def test_no_run_is_made_for_a_day_after_the_last_one_of_the_calendar(scheduled):
    if domain.last_day is None:
        pytest.skip("the calendar of this domain has no end")
    head = scheduled[HEAD]
    moment = drop(domain.last_day)
    assert head.start_date == drop(domain.first_day)
    assert moment < head.end_date < moment + timedelta(hours=1)
    last = DagRunInfo(
        run_after=moment, data_interval=None, partition_date=moment, partition_key=domain.last_day.isoformat()
    )
    assert head.next_dagrun_info(last_automated_run_info=last) is None
    assert head.next_dagrun_info(last_automated_run_info=None) is None


def test_backfills_are_asked_for_by_params_that_lie_inside_the_calendar(bag):
    params = bag.dags["backfill_features"].params
    assert (params["start"], params["end"]) == (domain.first_day.isoformat(), domain.history_through.isoformat())
    assert params.get_param("views").schema["items"]["enum"] == [view.name for view in domain.built_views]


def test_a_restore_is_asked_for_by_two_days_and_neither_stands_for_the_other(bag):
    params = deepcopy(bag.dags["archive_partitions"].params)
    params["restore_start"] = domain.first_day.isoformat()
    assert dict(params) == {"restore_start": domain.first_day.isoformat(), "restore_end": None}


# What the engine may not know. Words of the flights and of their world; the project's own name is no flight.
FOREIGN_WORDS = re.compile(
    r"flight(?!line)|carrier|airport|airline|airplane|aeroplane|\bweather|\bdepart|\bdelay|tailnum|travell|(?<!same-)\borigin\b",
    re.IGNORECASE,
)
ENGINE = [
    file
    for folder in ("include/core", "include/dataops", "include/modelops", "dags", "plugins")
    for file in sorted((REPO / folder).rglob("*"))
    if file.suffix in {".py", ".sql", ".yml", ".js", ".css", ".html"}
]


@pytest.mark.parametrize("file", ENGINE, ids=lambda file: str(file.relative_to(REPO)))
def test_the_engine_never_names_the_domain(file):
    for number, line in enumerate(file.read_text().splitlines(), 1):
        assert not FOREIGN_WORDS.search(line), f"{file.relative_to(REPO)}:{number}: {line.strip()}"
        assert not re.search(rf"\b{domain.name}\b", line), f"{file.relative_to(REPO)}:{number}: {line.strip()}"


def test_the_rule_against_foreign_words_does_find_them():
    assert FOREIGN_WORDS.search("late_flights_7d")
    assert FOREIGN_WORDS.search("where origin = %s")
    assert not FOREIGN_WORDS.search('os.environ["FLIGHTLINE_HOME"]')
