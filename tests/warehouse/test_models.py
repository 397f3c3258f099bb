"""From the snapshot to the predictions, with a real registry: register, compare, decide, score, measure."""

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from include.core import ledger, warehouse
from include.core.domain import days_between
from include.core.ledger import NotReadyError, Stage
from include.dataops import feature_store
from include.modelops import decisions, monitoring, registry, scoring, training
from include.modelops.waiting import pending_before
from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, build, checksum, execute, ingest, rows, value, vouch
from tests.warehouse.models import add_model

FIRST_TRAINING, SECOND_TRAINING = date(2020, 3, 3), date(2020, 3, 5)
EARLY, LATER, LAST = date(2020, 3, 4), date(2020, 3, 6), date(2020, 3, 8)


def train(as_of: date) -> int:
    """What train_model does."""
    data_hash = training.freeze_snapshot(domain, as_of)
    names = [candidate.name for candidate in domain.candidates]
    measured = {name: training.validate_candidate(domain, name, as_of) for name in names}
    return training.register_challenger(domain, as_of, data_hash, measured, RUN)


def promote(as_of: date, answered_by: str | None = None) -> None:
    """What deploy_model does with a challenger that it promotes."""
    decisions.promote(domain, as_of, {**decisions.compare(domain, as_of), "route": "promote"}, answered_by, RUN)


def champion(day: date) -> registry.ModelVersion | None:
    with warehouse.transaction() as cursor:
        return registry.champion_on(cursor, day)


def aliases() -> dict[str, str]:
    import mlflow

    return dict(mlflow.MlflowClient().get_registered_model(domain.name).aliases)


def scored(day: date) -> list[tuple]:
    return rows(
        "select model_version, superseded, count(*) from ml.predictions where as_of = %s group by 1, 2 order by 1, 2",
        (day,),
    )


@pytest.fixture(scope="module")
def template(toy_template, new_database, mlflow_server, tmp_path_factory):
    """A warehouse with all features and two registered versions, and what `compare` said of the first."""
    import mlflow
    from airflow.sdk import ObjectStoragePath

    landing = tmp_path_factory.mktemp("landing")
    name = new_database(toy_template)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", landing.as_uri())
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_tracking_uri(mlflow_server)
        feed.write_drops(ObjectStoragePath(landing.as_uri()), domain.first_day, domain.last_day)
        ingest(domain, domain.first_day, domain.last_day)
        vouch(domain, domain.first_day, domain.last_day)
        build(domain, domain.first_day, domain.last_day)
        for as_of in (FIRST_TRAINING, SECOND_TRAINING):
            train(as_of)
    return name


@pytest.fixture
def trained(template, new_database, registry_server):
    """A copy of that warehouse: versions 1 and 2, nothing decided, nothing scored."""
    new_database(template)


@pytest.fixture
def one_champion(trained):
    """Version 1 promoted by the training of 3 March."""
    promote(FIRST_TRAINING)


# Registration


def test_registering_the_same_snapshot_again_finds_the_version_that_is_there(trained):
    assert train(FIRST_TRAINING) == 1
    assert train(SECOND_TRAINING) == 2
    assert aliases()["challenger"] == "2"
    assert value("select array_agg(model_version order by model_version) from ml.models") == [1, 2]


def test_a_registration_that_was_cut_short_is_completed_by_the_next_try(trained):
    kept = checksum("ml", "models"), checksum("ml", "reference_profiles"), checksum("ml", "reference_edges")
    execute("delete from ml.reference_profiles; delete from ml.reference_edges; delete from ml.models")
    assert train(FIRST_TRAINING) == 1
    assert train(SECOND_TRAINING) == 2
    assert (checksum("ml", "models"), checksum("ml", "reference_profiles"), checksum("ml", "reference_edges")) == kept


def test_a_version_says_what_it_was_made_from(trained):
    ((fitted_from, fitted_through, features, threshold, candidate),) = rows(
        "select fitted_from, fitted_through, features, threshold, candidate from ml.models where model_version = 2"
    )
    windows = training.cut(domain, SECOND_TRAINING)
    assert (fitted_from, fitted_through) == (windows.fit[0], windows.validation[1])
    assert features == {view.name: view.version for view in domain.views}
    assert (threshold, candidate) == (domain.costs.threshold, "logistic_regression")


def test_the_reference_profile_holds_every_feature_and_the_scores_and_adds_up(trained):
    sums = dict(rows("select feature, sum(share) from ml.reference_profiles where model_version = 1 group by 1"))
    assert sums == pytest.approx({**{feature.name: 1 for feature in domain.features}, "probability": 1})
    assert rows("select feature from ml.reference_edges where model_version = 1 order by 1") == [
        ("age",),
        ("long_share_3d",),
        ("probability",),
    ]


def test_the_model_that_is_loaded_is_the_one_that_was_fitted(trained):
    windows = training.cut(domain, FIRST_TRAINING)
    training.freeze_snapshot(domain, FIRST_TRAINING)
    keys, features = training.read_window(domain, FIRST_TRAINING, (windows.fit[0], windows.validation[1]))
    fitted = domain.candidates[0].estimator().fit(features, keys["label"].to_numpy())
    with warehouse.transaction() as cursor:
        loaded = registry.load(domain, registry.read_version(cursor, 1))
    assert np.array_equal(loaded.predict_proba(features), fitted.predict_proba(features))


def test_a_model_file_that_was_changed_is_refused_and_fetched_anew(trained):
    with warehouse.transaction() as cursor:
        version = registry.read_version(cursor, 1)
    file = registry.model_cache() / f"{version.artifact_sha256}.skops"
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(ValueError, match="version 1 of toy is not the one that was registered"):
        registry.load(domain, version)
    assert registry.load(domain, version)


def test_a_file_in_the_registry_that_is_not_the_registered_one_is_never_loaded(trained):
    execute("update ml.models set artifact_sha256 = repeat('0', 64) where model_version = 1")
    with warehouse.transaction() as cursor:
        version = registry.read_version(cursor, 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="not the one that was registered"):
            registry.load(domain, version)


def test_a_model_that_holds_a_type_which_its_candidate_does_not_declare_is_refused(trained):
    from skops.io.exceptions import UntrustedTypesFoundException

    trusting_nothing = replace(domain, candidates=(replace(domain.candidates[0], trusted_types=()),))
    with warehouse.transaction() as cursor:
        version = registry.read_version(cursor, 1)
    with pytest.raises(UntrustedTypesFoundException):
        registry.load(trusting_nothing, version)


def test_a_version_that_is_not_there_is_asked_for_with_the_way_to_make_it(trained):
    with warehouse.transaction() as cursor:
        with pytest.raises(NotReadyError, match="Run train_model"):
            registry.read_version(cursor, 99)
        with pytest.raises(NotReadyError, match="Trigger train_model"):
            registry.challenger_of(cursor, date(2020, 3, 7))


# The decision


def test_the_first_model_that_reaches_the_floors_is_promoted(trained):
    compared = decisions.compare(domain, FIRST_TRAINING)
    assert json.loads(json.dumps(compared)) == compared
    assert (compared["route"], compared["challenger"], compared["champion"]) == ("promote", 1, None)
    assert set(compared["metrics"]["challenger"]) == {"cost", "roc_auc", "average_precision", "brier", "ece"}


def test_promoting_twice_leaves_one_decision_that_takes_effect_the_day_after(trained):
    for _ in range(2):
        promote(FIRST_TRAINING)
    assert rows("select as_of, challenger_version, outcome, decided_by, effective_from from ml.decisions") == [
        (FIRST_TRAINING, 1, "promoted", "gate", EARLY)
    ]
    assert champion(FIRST_TRAINING) is None
    assert champion(EARLY).version == 1
    assert aliases()["champion"] == "1"
    assert rows("select as_of, state from quality.stages where stage = 'decided'") == [(FIRST_TRAINING, "promoted")]


def test_the_champion_before_stays_at_hand_as_the_previous_one(one_champion):
    promote(SECOND_TRAINING)
    promote(SECOND_TRAINING)
    assert (aliases()["champion"], aliases()["previous"]) == ("2", "1")


def test_a_decision_that_was_made_stands(one_champion):
    decisions.reject(FIRST_TRAINING, decisions.compare(domain, FIRST_TRAINING), "Ada", RUN)
    assert rows("select outcome, decided_by from ml.decisions") == [("promoted", "gate")]
    assert champion(EARLY).version == 1


def test_a_rejected_challenger_changes_nothing_but_the_record(one_champion):
    decisions.reject(SECOND_TRAINING, decisions.compare(domain, SECOND_TRAINING), "Ada", RUN)
    assert rows("select outcome, decided_by, effective_from from ml.decisions where challenger_version = 2") == [
        ("rejected", "Ada", None)
    ]
    assert champion(LAST).version == 1


@pytest.mark.parametrize("answered_by", [None, "Ada"], ids=["by the gate", "by a person"])
def test_a_late_promotion_takes_effect_after_the_last_day_that_was_scored(one_champion, answered_by):
    for day in days_between(EARLY, LATER):
        scoring.score_day(domain, day, RUN)
    promote(SECOND_TRAINING, answered_by=answered_by)
    assert champion(LATER).version == 1
    assert champion(LATER + timedelta(days=1)).version == 2


@pytest.fixture
def inverted(trained):
    """A third version, of 3 March, that was fitted on the opposite of every label."""
    training.freeze_snapshot(domain, FIRST_TRAINING)
    windows = training.cut(domain, FIRST_TRAINING)
    fitted = (windows.fit[0], windows.validation[1])
    keys, features = training.read_window(domain, FIRST_TRAINING, fitted)
    candidate = domain.candidates[0]
    return registry.register(
        domain,
        candidate,
        candidate.estimator().fit(features, ~keys["label"].to_numpy()),
        features,
        trained_as_of=FIRST_TRAINING,
        fitted=fitted,
        data_hash="the opposite of every label",
        measured={},
        profile={},
        card="Fitted on the opposite of every label.",
        airflow_run=RUN,
    )


def test_a_model_that_was_fitted_on_wrong_labels_is_rejected(inverted):
    compared = decisions.compare(domain, FIRST_TRAINING)
    assert (compared["challenger"], compared["route"]) == (inverted, "reject")
    assert any("ROC-AUC" in reason for reason in compared["reasons"])


def test_a_clear_winner_over_a_bad_champion_is_promoted_unless_that_had_seen_the_answers(inverted):
    promote(FIRST_TRAINING)
    compared = decisions.compare(domain, SECOND_TRAINING)
    assert (compared["champion"], compared["route"]) == (inverted, "promote")
    gate = training.cut(domain, SECOND_TRAINING).gate
    execute("update ml.models set fitted_through = %s where model_version = %s", (gate[0], inverted))
    compared = decisions.compare(domain, SECOND_TRAINING)
    assert compared["route"] == "ask_a_person"
    assert "inside the window" in compared["reasons"][-1]


class Run:
    """What a callback's context says of its run."""

    run_id = RUN
    partition_key: str | None = "2020-03-05"


def test_a_training_that_failed_is_given_up_so_that_scoring_goes_on(trained):
    decisions.give_up({"dag_run": Run()})
    assert rows("select as_of, state from quality.stages where stage = 'decided'") == [(SECOND_TRAINING, "failed")]


def test_giving_up_does_not_undo_a_decision(one_champion):
    promote(SECOND_TRAINING)
    decisions.give_up({"dag_run": Run()})
    assert (
        value("select state from quality.stages where stage = 'decided' and as_of = %s", (SECOND_TRAINING,))
        == "promoted"
    )


def test_a_question_to_a_person_does_not_hold_up_scoring(trained):
    with warehouse.transaction() as cursor:
        ledger.record(cursor, SECOND_TRAINING, Stage.MONITORED, RUN, detail={"retrain": True})
    assert pending_before(LATER) is not None
    decisions.ask(SECOND_TRAINING, RUN)
    assert pending_before(LATER) is None


# Scoring


def test_without_a_champion_nothing_is_scored_and_the_ledger_says_so(one_champion):
    assert scoring.score_day(domain, FIRST_TRAINING, RUN) == {"rows": 0, "model_version": None}
    assert rows("select as_of, state from quality.stages where stage = 'scored'") == [(FIRST_TRAINING, "no_champion")]
    assert value("select count(*) from ml.predictions") == 0


def test_a_day_is_scored_by_the_champion_with_the_features_of_that_day(one_champion):
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 8, "model_version": 1}
    keys, features = feature_store.training_set(domain, EARLY, EARLY, labels=False).frames()
    expected = registry.load(domain, champion(EARLY)).predict_proba(features)[:, 1]
    found = rows("select entity_id, probability, decision from ml.predictions where as_of = %s order by 1", (EARLY,))
    assert [row[:2] for row in found] == list(zip(keys["entity_id"], expected, strict=True))
    assert all(decision == (probability >= domain.costs.threshold) for _, probability, decision in found)


def test_scoring_a_day_again_leaves_the_same_predictions(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    before = checksum("ml", "predictions")
    scoring.score_day(domain, EARLY, RUN)
    assert checksum("ml", "predictions") == before is not None


def test_a_replayed_day_is_scored_by_the_champion_of_that_day_and_not_by_the_latest(one_champion):
    promote(SECOND_TRAINING)
    for day in (LATER, SECOND_TRAINING, EARLY):
        scoring.score_day(domain, day, RUN)
    assert [scored(day) for day in (EARLY, SECOND_TRAINING, LATER)] == [
        [(1, False, 8)],
        [(1, False, 8)],
        [(2, False, 8)],
    ]


def test_predictions_of_another_version_are_superseded_and_kept(one_champion):
    scoring.score_day(domain, LATER, RUN)
    promote(SECOND_TRAINING)
    execute("update ml.decisions set effective_from = %s where challenger_version = 2", (LATER,))
    scoring.score_day(domain, LATER, RUN)
    assert scored(LATER) == [(1, True, 8), (2, False, 8)]
    execute("delete from ml.decisions where challenger_version = 2")
    scoring.score_day(domain, LATER, RUN)
    assert scored(LATER) == [(1, False, 8), (2, True, 8)]


def test_a_day_without_visits_is_scored_with_no_rows(one_champion):
    execute("delete from features.visits_due where as_of = %s", (EARLY,))
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 0, "model_version": 1}


# Monitoring


@pytest.fixture
def measured(one_champion):
    """Version 1 scored and measured from its first day on."""
    answers = {}
    for day in days_between(EARLY, LAST):
        scoring.score_day(domain, day, RUN)
        answers[day] = monitoring.measure_day(domain, day, RUN)
    return answers


def test_the_drift_of_every_feature_and_of_the_scores_is_measured_each_day(measured):
    names = sorted([*(feature.name for feature in domain.features), "probability"])
    assert rows("select as_of, array_agg(feature order by feature) from ml.drift group by 1 order by 1") == [
        (day, names) for day in days_between(EARLY, LAST)
    ]
    # The same eight visitors come each day, so neither ages nor wards can have drifted.
    assert value("select max(psi) from ml.drift where feature in ('age', 'ward')") == pytest.approx(0)


def test_every_look_at_a_day_is_kept_until_its_labels_are_all_there(measured):
    late = next(day for day in days_between(EARLY, LAST) if feed.is_late(feed.LATE, day))
    assert rows(
        "select known_at - as_of, matured, provisional from ml.performance where as_of = %s order by known_at", (late,)
    ) == [(1, 7, True), (2, 8, False)]


def test_a_day_is_measured_on_its_predictions_and_the_outcomes_of_the_feed(measured):
    (cost, brier), *_ = rows(
        "select cost, brier from ml.performance where as_of = %s and known_at = %s", (EARLY, LATER)
    )
    labels = {f"v{n}": feed.minutes(n, EARLY) >= 30 for n in feed.VISITORS}
    found = rows("select entity_id, probability, decision from ml.predictions where as_of = %s", (EARLY,))
    assert brier == pytest.approx(np.mean([(p - labels[name]) ** 2 for name, p, _ in found]))
    assert cost == pytest.approx(
        np.mean([3 * (labels[name] and not d) + (d and not labels[name]) for name, _, d in found])
    )


def test_measuring_a_day_again_leaves_the_same_rows_and_the_same_answer(measured):
    before = checksum("ml", "drift"), checksum("ml", "performance")
    again = {day: monitoring.measure_day(domain, day, RUN) for day in days_between(EARLY, LAST)}
    assert (checksum("ml", "drift"), checksum("ml", "performance")) == before
    assert again == measured


def test_a_training_is_asked_for_once_in_each_cadence(measured):
    asked = [day for day, answer in measured.items() if answer.retrain]
    assert asked == [EARLY, EARLY + timedelta(days=3)]


def test_a_day_without_a_champion_has_no_drift_and_asks_for_a_training(trained):
    answer = monitoring.measure_day(domain, FIRST_TRAINING, RUN)
    assert answer.retrain
    assert value("select count(*) from ml.drift") == 0


def test_days_that_are_too_few_for_a_training_ask_for_none(trained):
    assert not monitoring.measure_day(domain, FIRST_TRAINING - timedelta(days=1), RUN).retrain


def test_a_decision_needs_a_model_that_was_registered(toy_warehouse):
    import psycopg2

    compared = {"challenger": 1, "champion": None, "route": "promote", "reasons": [], "metrics": {}}
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        decisions.reject(FIRST_TRAINING, compared, None, RUN)
    add_model(1)
    decisions.reject(FIRST_TRAINING, compared, None, RUN)
    assert value("select outcome from ml.decisions") == "rejected"
