"""From the snapshot to the measures, with a real registry: register, promote, score, measure."""

from datetime import date, timedelta

import numpy as np
import pytest
from psycopg2 import sql

from include.core import warehouse
from include.core.domain import days_between
from include.core.ledger import NotReadyError
from include.modelops import comparison, decisions, monitoring, registry, scoring, training
from include.modelops.snapshot import Snapshot, cut, read_window
from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, checksum, execute, rows, value
from tests.warehouse.conftest import FIRST_TRAINING, SECOND_TRAINING
from tests.warehouse.trained import train

EARLY, LATER, LAST = date(2020, 3, 4), date(2020, 3, 6), date(2020, 3, 8)


def promote(as_of: date) -> None:
    """What deploy_model does with a challenger that it promotes."""
    decisions.promote(domain, as_of, {**comparison.compare(domain, as_of), "route": "promote"}, None, RUN)


def aliases() -> dict[str, str]:
    import mlflow

    return dict(mlflow.MlflowClient().get_registered_model(domain.name).aliases)


@pytest.fixture
def one_champion(trained):
    """Version 1 promoted by the training of 3 March."""
    promote(FIRST_TRAINING)


# Registration


def test_registering_the_same_snapshot_again_finds_the_version_that_is_there(trained):
    assert train(domain, FIRST_TRAINING) == 1
    assert train(domain, SECOND_TRAINING) == 2
    assert aliases()["challenger"] == "2"
    assert value("select array_agg(model_version order by model_version) from ml.models") == [1, 2]


def test_a_registration_that_was_cut_short_is_completed_by_the_next_try(trained):
    tables = ("models", "reference_profiles", "reference_edges", "reference_categories")
    kept = [checksum("ml", table) for table in tables]
    for table in reversed(tables):
        execute(sql.SQL("delete from ml.{}").format(sql.Identifier(table)))
    assert train(domain, FIRST_TRAINING) == 1
    assert train(domain, SECOND_TRAINING) == 2
    assert [checksum("ml", table) for table in tables] == kept


def test_a_version_says_what_it_was_made_from(trained):
    ((fitted_from, fitted_through, features, threshold, candidate),) = rows(
        "select fitted_from, fitted_through, features, threshold, candidate from ml.models where model_version = 2"
    )
    windows = cut(domain, SECOND_TRAINING)
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
    frozen = Snapshot.from_json(training.freeze_snapshot(domain, FIRST_TRAINING, RUN))
    keys, features = read_window(domain, frozen, (frozen.windows.fit[0], frozen.windows.validation[1]))
    training.remove_snapshot(domain, FIRST_TRAINING, RUN)
    fitted = domain.candidates[0].estimator().fit(features, keys["label"].to_numpy())
    with warehouse.transaction() as cursor:
        loaded = registry.load(domain, registry.read_version(cursor, 1))
    assert np.array_equal(loaded.predict_proba(features), fitted.predict_proba(features))


def test_a_version_that_is_not_there_is_asked_for_with_the_way_to_make_it(trained):
    with warehouse.transaction() as cursor:
        with pytest.raises(NotReadyError, match="Run train_model"):
            registry.read_version(cursor, 99)
        with pytest.raises(NotReadyError, match="Trigger train_model"):
            registry.challenger_of(cursor, date(2020, 3, 7))


# Monitoring


@pytest.fixture
def measured(one_champion):
    """Version 1 scored and measured from its first day on."""
    answers = {}
    for day in days_between(EARLY, LAST):
        scoring.score_day(domain, day, RUN)
        answers[day] = monitoring.monitor(domain, day, RUN)
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
        "select known_at - as_of, matured, provisional from ml.performance"
        " where as_of = %s and window_days = 1 and slice = '' order by known_at",
        (late,),
    ) == [(1, 7, True), (2, 8, False)]


def test_a_day_is_measured_on_its_predictions_and_the_outcomes_of_the_feed(measured):
    (cost, brier), *_ = rows(
        "select cost, brier from ml.performance where as_of = %s and known_at = %s and window_days = 1 and slice = ''",
        (EARLY, LATER),
    )
    labels = {f"v{n}": feed.minutes(n, EARLY) >= 30 for n in feed.VISITORS}
    found = rows("select entity_id, probability, decision from ml.predictions where as_of = %s", (EARLY,))
    assert brier == pytest.approx(np.mean([(p - labels[name]) ** 2 for name, p, _ in found]))
    assert cost == pytest.approx(
        np.mean([3 * (labels[name] and not d) + (d and not labels[name]) for name, _, d in found])
    )


def test_measuring_a_day_again_leaves_the_same_rows_and_the_same_answer(measured):
    tables = ("drift", "performance", "judgements", "alerts")
    before = [checksum("ml", table) for table in tables]
    again = {day: monitoring.monitor(domain, day, RUN) for day in days_between(EARLY, LAST)}
    assert [checksum("ml", table) for table in tables] == before
    assert again == measured


def test_a_training_is_asked_for_once_in_each_cadence(measured):
    asked = [day for day, answer in measured.items() if answer.retrain]
    assert asked == [EARLY, EARLY + timedelta(days=3)]


def test_a_day_without_a_champion_has_no_drift_and_asks_for_a_training(trained):
    answer = monitoring.monitor(domain, FIRST_TRAINING, RUN)
    assert answer.retrain
    assert value("select count(*) from ml.drift") == 0


def test_days_that_are_too_few_for_a_training_ask_for_none(trained):
    assert not monitoring.monitor(domain, FIRST_TRAINING - timedelta(days=1), RUN).retrain
