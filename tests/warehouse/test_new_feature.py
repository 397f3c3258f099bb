"""docs/new-feature.md, step by step: its files and commands on three months of real flights that know nothing of them.

Its SQL goes into a copy of the domain's folder, under the names that stand before it; its commands say the range.
"""

import csv
import json
import re
import shutil
from dataclasses import replace
from datetime import date, timedelta

import pytest

from include.core import warehouse
from include.core.domain import Candidate, Domain
from include.core.ledger import NotReadyError
from include.dataops import backfill, feature_build, feature_registry, feature_store, preparation, reference
from include.dataops.reference import Way
from include.flights.domain import domain as flights
from include.flights.feed import write_drops
from include.modelops import card, comparison, decisions, monitoring, registry, scoring, training
from include.modelops.snapshot import Snapshot, read_window
from tests.conftest import REPO
from tests.warehouse.chain import RUN, build, checksum, execute, feature_checksums, ingest, rows, value, vouch
from tests.warehouse.trained import train

DOCUMENT = (REPO / "docs" / "new-feature.md").read_text()
FILES = dict(re.findall(r"`include/flights/(sql/\w+/\w+\.sql)`:\n\n```sql\n(.*?)```", DOCUMENT, flags=re.DOTALL))
DRY_RUN, MEANT = map(json.loads, re.findall(r"airflow dags trigger backfill_features --conf '(.*)'", DOCUMENT))
((AS_OF,),) = (map(date.fromisoformat, re.findall(r"partition key `([\d-]+)`", DOCUMENT)),)
REFUSAL, PLAN = re.findall(r"```text\n(.*?)\n```", DOCUMENT, flags=re.DOTALL)
(CANDIDATE,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
TALLY, VIEW, FEATURE = "origin_delay_tally", "origin_delay_history", "origin_dep_delay_7d"
FIRST, NEXT, LAST = date(2013, 1, 1), AS_OF + timedelta(days=1), AS_OF + timedelta(days=2)
CHEAP = Candidate("boosting", "include.flights.model:gradient_boosting", {"max_iter": 5}, calibration=None)


def promote(domain: Domain, as_of: date) -> dict:
    """What deploy_model does, whatever the gate says."""
    compared = comparison.compare(domain, as_of)
    decisions.promote(domain, as_of, {**compared, "route": "promote"}, None, RUN)
    return compared


def run_backfill(domain: Domain, conf: dict) -> None:
    """What backfill_features does with this conf."""
    views = conf.get("views", [])
    for chunk in backfill.plan(domain, conf["start"], conf["end"], views, rebuild=False):
        backfill.ingest_missing(domain, chunk, RUN)
        backfill.check_unchecked(domain, chunk, RUN)
        backfill.build_chunk(domain, chunk, views, RUN, rebuild=False)


def load(domain: Domain, number: int):
    with warehouse.transaction() as cursor:
        return registry.load(domain, registry.read_version(cursor, number))


def chosen_by(estimator) -> set[str]:
    """The columns that reach what comes after the preparation of a candidate, or of any of its halves."""
    pipelines = getattr(estimator, "estimators_", [estimator])
    prepared = [pipeline[0].transformers_ for pipeline in pipelines]
    return {name for steps in prepared for _, step, columns in steps if step != "drop" for name in columns}


@pytest.fixture(scope="module")
def old():
    """The flights before the new feature, with one candidate that is quick to fit."""
    return replace(flights, candidates=(CHEAP,))


@pytest.fixture(scope="module")
def new(old, tmp_path_factory):
    """The flights with the files of the document."""
    folder = tmp_path_factory.mktemp("domain") / "flights"
    shutil.copytree(old.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        assert not (folder / name).exists()
        (folder / name).write_text(text)
    return replace(old, folder=folder)


@pytest.fixture(scope="module")
def landing(tmp_path_factory, mlflow_server):
    """The drops of the days that are needed; the landing zone and MLflow are set for the whole file."""
    import mlflow
    from airflow.sdk import ObjectStoragePath

    zone = tmp_path_factory.mktemp("landing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", zone.as_uri())
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_tracking_uri(mlflow_server)
        write_drops(ObjectStoragePath(zone.as_uri()), FIRST, LAST)
        yield zone


@pytest.fixture(scope="module")
def template(old, landing, new_database):
    """A warehouse that has run without the feature: checked drops, all views built, and a champion since AS_OF."""
    earlier = AS_OF - timedelta(days=1)
    name = new_database("template1")
    preparation.create_tables(old)
    reference.load_files(reference.find_files(old))
    reference.publish(old, Way.COPY)
    ingest(old, FIRST, LAST)
    vouch(old, FIRST, LAST)
    build(old, FIRST, AS_OF)
    train(old, earlier)
    promote(old, earlier)
    return name


@pytest.fixture(scope="module")
def built_template(template, new, new_database):
    name = new_database(template)
    run_backfill(new, MEANT)
    return name


@pytest.fixture(scope="module")
def trained_template(built_template, new, new_database):
    name = new_database(built_template)
    train(new, AS_OF)
    return name


@pytest.fixture
def before(template, new_database):
    """A copy of the warehouse that knows nothing of the feature."""
    new_database(template)


@pytest.fixture
def built(built_template, new_database):
    """A copy of the warehouse after the backfill of the document."""
    new_database(built_template)


@pytest.fixture
def trained(trained_template, new_database):
    """The numbers of the old champion and of a challenger that knows the feature, in a copy of the warehouse."""
    new_database(trained_template)
    ((champion,), (challenger,)) = rows("select model_version from ml.models order by 1")
    return champion, challenger


def test_the_files_of_the_document_are_one_tally_and_one_view_and_change_no_other_version(old, new):
    versions = {view.name: view.version for view in new.built_views}
    assert set(versions) - {view.name for view in old.built_views} == {TALLY, VIEW}
    assert {view.name: view.version for view in old.built_views}.items() <= versions.items()
    assert (new.view(VIEW).reads, new.view(VIEW).reach, new.reach) == ((TALLY,), 7, old.reach)


def test_the_commands_of_the_document_are_what_the_dag_takes(before):
    from airflow.dag_processing.dagbag import DagBag

    params = DagBag(REPO / "dags" / "backfill_features.py").dags["backfill_features"].params
    for conf in (DRY_RUN, MEANT):
        assert set(conf) <= set(params)
        for name, given in conf.items():
            assert params.get_param(name).resolve(given) == given
    assert (DRY_RUN.pop("dry_run"), DRY_RUN) == (True, MEANT)


def test_a_training_is_refused_before_the_backfill_in_the_words_of_the_document(before, new):
    with pytest.raises(NotReadyError) as refused:
        training.freeze_snapshot(new, AS_OF, RUN)
    assert str(refused.value) == REFUSAL
    assert VIEW in REFUSAL


def test_the_plan_is_that_of_the_document_and_changes_nothing(before, old, new, caplog):
    untouched = feature_checksums(old)
    with caplog.at_level("INFO", logger=backfill.__name__):
        chunks = backfill.plan(new, MEANT["start"], MEANT["end"], [], rebuild=False)
    assert caplog.messages == PLAN.splitlines()
    assert {view for chunk in chunks for view in chunk["build"]} == {TALLY, VIEW}
    assert [(chunk["ingest"], chunk["check"]) for chunk in chunks] == [(0, 0)] * len(chunks)
    assert feature_checksums(old) == untouched
    assert value("select to_regclass('features.origin_delay_tally')") is None


def test_the_backfill_builds_the_new_view_and_leaves_every_row_of_the_others_where_it_is(before, old, new):
    def places(view):
        return value(f"select md5(string_agg(concat(xmin, ctid), ',' order by ctid)) from features.{view.name}")  # noqa: S608

    untouched = {view.name: places(view) for view in old.built_views}
    run_backfill(new, MEANT)
    assert {view.name: places(view) for view in old.built_views} == untouched
    with warehouse.transaction() as cursor:
        assert feature_registry.stale_days(cursor, new.built_views, FIRST, AS_OF) == {}
    days = (AS_OF - FIRST).days + 1
    assert value(f"select count(*) from features.{VIEW}") == 3 * days  # noqa: S608
    assert rows(
        "select view, count(*) from features.partitions where view = any(%s) group by 1 order by 1", ([TALLY, VIEW],)
    ) == [(VIEW, days), (TALLY, days)]


def test_the_feature_is_the_mean_departure_delay_in_the_files_of_the_last_seven_drops(built, landing):
    for day in (FIRST, date(2013, 1, 4), date(2013, 2, 10), AS_OF):
        delays: dict[str, list[int]] = {"EWR": [], "JFK": [], "LGA": []}
        for back in range(7):
            file = landing / (day - timedelta(days=back)).isoformat() / "actuals.csv"
            for row in csv.DictReader(file.open()) if file.exists() else ():
                if row["dep_delay"]:
                    delays[row["origin"]].append(int(row["dep_delay"]))
        found = rows(f"select origin, {FEATURE} from features.{VIEW} where as_of = %s order by 1", (day,))  # noqa: S608
        assert found == [(origin, sum(past) / len(past) if past else None) for origin, past in delays.items()]


def test_the_next_morning_builds_it_unasked_and_the_old_champion_goes_on_scoring(before, new):
    assert feature_build.build_day(new, NEXT, RUN)[VIEW] == 3
    _, features = feature_store.training_set(new, NEXT, NEXT, labels=False).frames()
    assert features[FEATURE].notna().all()
    outcome = scoring.score_day(new, NEXT, RUN)
    assert outcome["rows"] == len(features) > 500
    champion = load(new, outcome["model_version"])
    assert FEATURE not in champion.feature_names_in_
    expected = champion.predict_proba(features.drop(columns=FEATURE))[:, 1]
    assert sorted(expected) == [found for (found,) in rows("select probability from ml.predictions order by 1")]


def test_a_training_after_the_backfill_sees_the_feature(trained, new):
    champion, challenger = trained
    estimator = load(new, challenger)
    assert set(estimator.feature_names_in_) == {feature.name for feature in new.features}
    assert set(chosen_by(estimator)) - set(chosen_by(load(new, champion))) == {FEATURE}
    assert value("select features ->> %s from ml.models where model_version = %s", (VIEW, challenger)) == (
        new.view(VIEW).version
    )


def test_the_card_of_the_version_tells_the_feature_and_is_its_description_in_mlflow(trained, old, new):
    import mlflow

    client = mlflow.MlflowClient()
    for number, domain, as_of in zip(trained, (old, new), (AS_OF - timedelta(days=1), AS_OF), strict=True):
        version = client.get_model_version(domain.name, str(number))
        text = mlflow.artifacts.load_text(f"runs:/{version.run_id}/{card.FILE}")
        assert version.description == card.shortened(text)
        assert f"trained as of {as_of}" in text
        assert all(f"Version {view.version}, of {view.owner}." in text for view in domain.views)
    meaning = new.view(VIEW).features[0].meaning
    assert (
        f"### {VIEW}\n\nVersion {new.view(VIEW).version}, of {new.view(VIEW).owner}.\n\n- `{FEATURE}`: {meaning}\n"
        in text
    )


def test_the_champion_that_knows_the_feature_scores_with_it(trained, new):
    _, challenger = trained
    assert promote(new, AS_OF)["comparison"]["metrics"]["difference"] is not None
    feature_build.build_day(new, NEXT, RUN)
    assert scoring.score_day(new, NEXT, RUN)["model_version"] == challenger
    _, features = feature_store.training_set(new, NEXT, NEXT, labels=False).frames()
    expected = load(new, challenger).predict_proba(features)[:, 1]
    assert sorted(expected) == [
        found for (found,) in rows("select probability from ml.predictions where not superseded order by 1")
    ]


def test_a_candidate_without_the_feature_competes_on_the_same_snapshot(built, new):
    without = eval(CANDIDATE, {"Candidate": Candidate})  # noqa: S307
    without = replace(without, params={**without.params, "max_iter": 3})
    both = replace(new, candidates=(CHEAP, without))
    frozen = Snapshot.from_json(training.freeze_snapshot(both, AS_OF, RUN))
    _, features = read_window(both, frozen, frozen.windows.validation)
    labels = features["temp"] > features["temp"].median()
    fitted = [candidate.estimator().fit(features, labels) for candidate in both.candidates]
    assert chosen_by(fitted[0]) - chosen_by(fitted[1]) == {FEATURE}


def test_a_feature_that_the_champion_knows_is_taken_out_once_a_champion_does_without(trained, old, new):
    promote(new, AS_OF)
    feature_build.build_day(new, NEXT, RUN)
    with pytest.raises(ValueError, match=re.escape(f"columns are missing: {{'{FEATURE}'}}")):
        scoring.score_day(old, NEXT, RUN)
    without = replace(new, candidates=(replace(CHEAP, params={**CHEAP.params, "without": [FEATURE]}),))
    number = train(without, AS_OF)
    promote(without, AS_OF)
    feature_build.build_day(old, NEXT, RUN)
    assert scoring.score_day(old, NEXT, RUN)["model_version"] == number
    assert value("select count(*) from features.views where view = any(%s)", ([TALLY, VIEW],)) == 0
    for statement in re.findall(r"```sql\n(drop table.*?)```", DOCUMENT, flags=re.DOTALL):
        execute(statement)
    assert value("select to_regclass('features.origin_delay_tally')") is None


def test_files_that_come_back_find_what_was_built(built, old, new):
    kept = checksum("features", VIEW)
    for domain in (old, new):
        preparation.create_tables(domain)
    with warehouse.transaction() as cursor:
        assert feature_registry.stale_days(cursor, new.built_views, FIRST, AS_OF) == {}
    assert checksum("features", VIEW) == kept


@pytest.mark.parametrize("candidate", flights.candidates, ids=lambda candidate: candidate.name)
def test_every_candidate_uses_the_columns_that_it_is_given_and_can_leave_some_out(built, new, candidate):
    def quick(**more) -> object:
        """The candidate with few trees."""
        params = {name: 3 if name == "max_iter" else value for name, value in candidate.params.items()}
        if "trees" in params:
            params["trees"] = {**params["trees"], "max_iter": 3}
        return replace(candidate, params={**params, **more}).estimator()

    _, features = feature_store.training_set(new, AS_OF - timedelta(days=9), AS_OF, labels=False).frames()
    labels = features["minute"] < 30
    assert chosen_by(quick().fit(features, labels)) == set(features)
    assert chosen_by(quick(without=[FEATURE, "hour"]).fit(features, labels)) == set(features) - {FEATURE, "hour"}


def test_no_drift_is_told_of_a_feature_that_the_champion_does_not_know(before, new):
    feature_build.build_day(new, NEXT, RUN)
    scoring.score_day(new, NEXT, RUN)
    monitoring.monitor(new, NEXT, RUN)
    assert rows("select 1 from ml.drift where feature = %s", (FEATURE,)) == []
    assert value("select count(distinct feature) from ml.drift") == len(flights.features) + 1
