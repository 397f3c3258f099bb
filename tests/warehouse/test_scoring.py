"""Scoring: by the champion of the day, the same in any portions, replaced whole or not at all, and nothing deleted."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import psycopg2
import pytest

from include.core import ledger, warehouse
from include.core.domain import days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError, Stage
from include.dataops import feature_store
from include.flights.domain import domain as flights
from include.modelops import champion, registry, scoring
from include.modelops.champion import PROMOTED, Decision
from include.modelops.registry import ModelVersion
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, checksum, execute, rows, value

BEFORE, EARLY, LATER, LAST = date(2020, 3, 3), date(2020, 3, 4), date(2020, 3, 6), date(2020, 3, 8)
SOON = 20.0  # seconds within which anything here has happened, on a busy machine too


def crown(version: int, since: date) -> None:
    """Make a version champion from a day on."""
    with warehouse.transaction() as cursor:
        champion.record(
            cursor,
            Decision(since, version, None, "promote", PROMOTED, "gate", ["for a test"], {}, since, "", RUN),
        )


def version(number: int) -> ModelVersion:
    with warehouse.transaction() as cursor:
        return registry.read_version(cursor, number)


def scored(day: date) -> list[tuple]:
    """(version, superseded, rows) of a day."""
    return rows(
        "select model_version, superseded, count(*) from ml.predictions where as_of = %s group by 1, 2 order by 1, 2",
        (day,),
    )


def predictions(number: int, start: date = EARLY, end: date = LAST) -> list[tuple]:
    return rows(
        "select as_of, entity_id, probability, decision, features_version from ml.predictions"
        " where model_version = %s and as_of between %s and %s order by 1, 2",
        (number, start, end),
    )


def wait_until(query: str, many: int) -> None:
    end = time.monotonic() + SOON
    while value(query) < many:
        assert time.monotonic() < end, query
        time.sleep(0.02)


@pytest.fixture
def one_champion(trained):
    """Version 1 is champion from 4 March on."""
    crown(1, EARLY)


# The champion of the day


def test_without_a_champion_nothing_is_scored_and_the_ledger_says_so(one_champion):
    assert scoring.score_day(domain, BEFORE, RUN) == {"rows": 0, "model_version": None}
    assert rows("select as_of, state from quality.stages where stage = 'scored'") == [(BEFORE, "no_champion")]
    assert value("select count(*) from ml.predictions") == 0


def test_a_day_is_scored_by_the_champion_with_the_features_of_that_day(one_champion):
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 8, "model_version": 1}
    keys, features = feature_store.training_set(domain, EARLY, EARLY, labels=False).frames()
    expected = registry.load(domain, version(1)).predict_proba(features)[:, 1]
    found = predictions(1)
    assert [(entity, probability) for _, entity, probability, *_ in found] == list(
        zip(keys["entity_id"], expected, strict=True)
    )
    assert all(decision == (probability >= domain.costs.threshold) for *_, probability, decision, _ in found)


def test_a_prediction_says_from_which_features_and_when_it_was_made(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    assert rows("select distinct features_version, now() - recorded_at < interval '1 minute' from ml.predictions") == [
        (feature_store.features_version(domain), True)
    ]


def test_the_version_of_the_features_changes_when_a_view_does(monkeypatch):
    before = feature_store.features_version(domain)
    assert len(before) == 12
    first, *others = domain.feature_versions().items()
    monkeypatch.setattr(type(domain), "feature_versions", lambda _: dict([*others, first]))
    assert feature_store.features_version(domain) == before
    monkeypatch.setattr(type(domain), "feature_versions", lambda _: dict([*others, (first[0], "other")]))
    assert feature_store.features_version(domain) != before


def test_scoring_a_day_again_leaves_the_same_predictions(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    before = checksum("ml", "predictions")
    scoring.score_day(domain, EARLY, RUN)
    assert checksum("ml", "predictions") == before is not None


def test_a_replayed_day_is_scored_by_the_champion_of_that_day_and_not_by_the_latest(one_champion):
    crown(2, LATER)
    for day in (LATER, LATER - timedelta(days=1), EARLY):
        scoring.score_day(domain, day, RUN)
    served = "select as_of, model_version, count(*) from ml.predictions where not superseded group by 1, 2 order by 1"
    assert rows(served) == [(EARLY, 1, 8), (LATER - timedelta(days=1), 1, 8), (LATER, 2, 8)]


def test_the_first_champion_is_scored_beside_the_present_one_and_counts_for_nothing(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    first = predictions(1, EARLY, EARLY)
    crown(2, EARLY)
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 8, "model_version": 2}
    assert scored(EARLY) == [(1, True, 8), (2, False, 8)]
    assert predictions(1, EARLY, EARLY) == first
    before = checksum("ml", "predictions")
    scoring.score_day(domain, EARLY, RUN)
    assert checksum("ml", "predictions") == before


def test_a_first_champion_that_cannot_be_loaded_any_more_holds_nothing_up(one_champion):
    crown(2, EARLY)
    execute("update ml.models set artifact_sha256 = 'of another file' where model_version = 1")
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 8, "model_version": 2}
    assert scored(EARLY) == [(2, False, 8)]


def test_a_first_champion_whose_features_are_gone_is_left_out(one_champion):
    (rows_of_day,) = feature_store.scoring_rows(domain, EARLY, EARLY, 100)
    first = version(1), registry.load(domain, version(1))
    assert len(scoring._score_baseline(rows_of_day, first, "x")) == 8
    assert scoring._score_baseline(rows_of_day.drop_columns(["age"]), first, "x") is None


def test_predictions_of_another_version_are_superseded_and_kept(one_champion):
    scoring.score_day(domain, LATER, RUN)
    before = predictions(1)
    crown(2, LATER)
    scoring.score_day(domain, LATER, RUN)
    assert (scored(LATER), predictions(1)) == ([(1, True, 8), (2, False, 8)], before)
    execute("delete from ml.decisions where challenger_version = 2")
    scoring.score_day(domain, LATER, RUN)
    assert scored(LATER) == [(1, False, 8), (2, True, 8)]


def test_a_day_without_rows_is_scored_with_none(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    execute("delete from features.visits_due where as_of = %s", (EARLY,))
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 0, "model_version": 1}
    assert scored(EARLY) == []


def test_a_category_that_the_model_never_saw_scores(one_champion):
    execute("update features.visits_due set ward = 'a new wing' where as_of = %s and visitor <= 'v4'", (EARLY,))
    execute("update features.visits_due set ward = null where as_of = %s and visitor = 'v5'", (EARLY,))
    assert scoring.score_day(domain, EARLY, RUN)["rows"] == 8
    assert all(0 < probability < 1 for _, _, probability, *_ in predictions(1))


# A range, and portions


def test_a_range_equals_its_days_one_at_a_time_and_the_whole_matrix_at_once(one_champion):
    assert scoring.score_days(domain, EARLY, LAST, version(1), RUN) == dict.fromkeys(days_between(EARLY, LAST), 8)
    in_a_range = predictions(1)
    execute("delete from ml.predictions")
    for day in days_between(EARLY, LAST):
        scoring.score_day(domain, day, RUN)
    assert predictions(1) == in_a_range
    keys, features = feature_store.training_set(domain, EARLY, LAST, labels=False).frames()
    at_once = registry.load(domain, version(1)).predict_proba(features)[:, 1]
    assert [row[:3] for row in in_a_range] == list(zip(keys["as_of"], keys["entity_id"], at_once, strict=True))


@pytest.mark.parametrize("size", [1, 3, 11])
def test_no_row_is_lost_or_repeated_between_portions(one_champion, monkeypatch, size):
    scoring.score_days(domain, EARLY, LAST, version(1), RUN)
    before = predictions(1)
    monkeypatch.setattr(scoring, "BATCH_ROWS", size)
    monkeypatch.setattr("include.dataops.parquet._BATCH_BYTES", 300)
    assert {len(rows) for rows in feature_store.scoring_rows(domain, EARLY, LAST, size)} == {size, 40 % size} - {0}
    scoring.score_days(domain, EARLY, LAST, version(1), RUN)
    found = predictions(1)
    assert [row[:2] for row in found] == [row[:2] for row in before]
    # Portions of another size are rounded otherwise, in the last bit.
    assert [row[2] for row in found] == pytest.approx([row[2] for row in before], rel=1e-12)


def dense_products():
    """A model whose products of matrices are rounded by their shape, unlike those of sparse categories."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    numbers = make_column_transformer((SimpleImputer(), make_column_selector(dtype_include="number")))
    return make_pipeline(numbers, PCA(12, random_state=0), LogisticRegression())


ESTIMATORS = {candidate.name: candidate.estimator for candidate in flights.candidates}


@pytest.mark.parametrize("make", [*ESTIMATORS.values(), dense_products], ids=[*ESTIMATORS, "dense products"])
def test_a_row_is_given_the_same_bits_whichever_rows_are_beside_it(make):
    import pandas as pd

    random = np.random.default_rng(0)
    many = scoring.BATCH_ROWS
    features = pd.DataFrame(
        {
            feature.name: random.choice(np.array([*map(str, range(60)), np.nan], dtype=object), many)
            if feature.type == "text"
            else np.where(random.random(many) < 0.1, np.nan, random.integers(0, 24, many) + 0.1)
            for feature in flights.features
        }
    )
    labels = random.random(many) < np.where(features.select_dtypes("number").iloc[:, 0] > 12, 0.3, 0.1)
    model = make().fit(features, labels)
    at_once = model.predict_proba(features)[:, 1]
    for size in (1, 7, 901, many - 1):
        starts = range(0, min(many, 3 * size), size)
        portions = np.concatenate([scoring._predict(model, features[start : start + size]) for start in starts])
        assert np.array_equal(portions, at_once[: len(portions)]), size


def test_a_range_supersedes_what_others_said_of_its_days_and_of_no_other(one_champion):
    for day in days_between(EARLY, LAST):
        scoring.score_day(domain, day, RUN)
    before = predictions(1)
    scoring.score_days(domain, LATER, LAST, version(2), RUN)
    assert predictions(1) == before
    assert scored(LATER - timedelta(days=1)) == [(1, False, 8)]
    for day in days_between(LATER, LAST):
        assert scored(day) == [(1, True, 8), (2, False, 8)]


def test_the_ledger_names_the_version_that_scored_a_day_again_and_learns_of_no_new_day(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    scoring.score_days(domain, EARLY, LAST, version(2), "manual__rollback")
    assert rows("select as_of, state, detail, run_id from quality.stages where stage = 'scored'") == [
        (EARLY, "done", {"rows": 8, "model_version": 2}, "manual__rollback")
    ]


def test_a_version_that_is_not_registered_is_refused(one_champion):
    with pytest.raises(NotReadyError, match=r"Version 99 is not in ml\.models"):
        scoring.score_days(domain, EARLY, LAST, replace(version(1), version=99), RUN)
    assert value("select count(*) from ml.predictions") == 0


def test_days_outside_the_calendar_are_refused(one_champion):
    with pytest.raises(DomainError, match="not inside the calendar"):
        scoring.score_days(domain, EARLY, LAST + timedelta(days=1), version(1), RUN)


# Whole or not at all


class Interrupted:
    """A model that does something before the second portion that it scores."""

    def __init__(self, model, act) -> None:
        self.model, self.act, self.calls = model, act, 0

    def predict_proba(self, features):
        self.calls += 1
        if self.calls == 2:
            self.act()
        return self.model.predict_proba(features)


@pytest.fixture
def interrupt(one_champion, monkeypatch):
    """Days that version 1 has scored; `interrupt(act)` lets `act` happen in the midst of the next scoring."""
    scoring.score_days(domain, EARLY, LAST, version(1), RUN)
    monkeypatch.setattr(scoring, "BATCH_ROWS", 8)
    monkeypatch.setattr("include.dataops.parquet._BATCH_BYTES", 300)
    load = registry.load

    def apply(act) -> None:
        monkeypatch.setattr(registry, "load", lambda *of: Interrupted(load(*of), act))

    return apply


def raise_an_error() -> None:
    raise ArithmeticError("the model fails")


def end_the_writer() -> None:
    ended = value(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where datname = current_database() and query like 'copy ml.predictions%'"
    )
    assert ended == 1


@pytest.mark.parametrize(
    ("act", "error"),
    [(raise_an_error, ArithmeticError), (end_the_writer, psycopg2.Error)],
    ids=["in the model", "in the writer's server"],
)
def test_a_failure_in_the_middle_leaves_the_former_predictions(interrupt, act, error):
    before = checksum("ml", "predictions")
    interrupt(act)
    threads = threading.active_count()
    with pytest.raises(error):
        scoring.score_days(domain, EARLY, LAST, version(2), RUN)
    assert checksum("ml", "predictions") == before
    assert threading.active_count() <= threads


def test_rows_that_the_server_stops_to_send_leave_the_former_predictions(interrupt):
    before = checksum("ml", "predictions")
    with warehouse.transaction() as blocker:
        # The reader has its snapshot, and waits for the table.
        blocker.execute("lock table features.visits_due in access exclusive mode")
        with ThreadPoolExecutor() as pool:
            scoring_them = pool.submit(scoring.score_days, domain, EARLY, LAST, version(2), RUN)
            wait_until("select count(*) from pg_locks where not granted", 1)
            execute("select pg_terminate_backend(pid) from pg_locks where not granted")
            with pytest.raises(psycopg2.Error):
                scoring_them.result(SOON)
    assert checksum("ml", "predictions") == before


@pytest.mark.parametrize("size", [8, 40], ids=["in many portions", "in one"])
def test_a_table_that_cannot_be_written_is_an_error_and_no_hang(interrupt, monkeypatch, size):
    monkeypatch.setattr(scoring, "BATCH_ROWS", size)
    before = checksum("ml", "predictions")
    execute("alter table ml.predictions add constraint refused check (model_version <> 2) not valid")
    with pytest.raises(psycopg2.errors.CheckViolation):
        scoring.score_days(domain, EARLY, LAST, version(2), RUN)
    assert checksum("ml", "predictions") == before


# While others are at work


def test_a_promotion_while_the_champion_is_loaded_is_noticed(one_champion, monkeypatch):
    load = registry.load

    def load_late(*of):
        monkeypatch.setattr(registry, "load", load)
        crown(2, EARLY)
        return load(*of)

    monkeypatch.setattr(registry, "load", load_late)
    assert scoring.score_day(domain, EARLY, RUN) == {"rows": 8, "model_version": 2}
    assert scored(EARLY) == [(1, True, 8), (2, False, 8)]


def test_a_promotion_in_flight_is_waited_for(one_champion):
    with ThreadPoolExecutor() as pool:
        with warehouse.transaction() as promotion:
            champion.record(
                promotion,
                Decision(EARLY, 2, 1, "promote", PROMOTED, "gate", ["for a test"], {}, EARLY, "", RUN),
            )
            scoring_it = pool.submit(scoring.score_day, domain, EARLY, RUN)
            wait_until("select count(*) from pg_locks where not granted", 1)
        assert scoring_it.result(SOON) == {"rows": 8, "model_version": 2}


def test_a_promotion_waits_until_a_day_is_scored(interrupt):
    waiting = []

    def promote_meanwhile() -> None:
        thread = threading.Thread(target=crown, args=(2, EARLY))
        thread.start()
        waiting.append(thread)
        wait_until("select count(*) from pg_locks where not granted", 1)

    interrupt(promote_meanwhile)
    scoring.score_days(domain, EARLY, LAST, version(1), RUN)
    waiting[0].join(SOON)
    with warehouse.transaction() as cursor:
        assert champion.on(cursor, EARLY) == version(2)


def test_a_champion_that_never_settles_is_told(one_champion, monkeypatch):
    load, turn = registry.load, iter(range(100))

    def load_and_change(*of):
        execute("delete from ml.decisions")
        crown(2 - next(turn) % 2, EARLY)
        return load(*of)

    monkeypatch.setattr(registry, "load", load_and_change)
    with pytest.raises(NotReadyError, match="changed 5 times"):
        scoring.score_day(domain, EARLY, RUN)
    assert value("select count(*) from ml.predictions") == 0


def test_two_that_score_one_day_at_once_leave_one_set(one_champion):
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: scoring.score_day(domain, EARLY, RUN), range(12), timeout=60))
    assert outcomes == [{"rows": 8, "model_version": 1}] * 12
    assert scored(EARLY) == [(1, False, 8)]


def test_the_day_is_in_the_ledger_with_its_version(one_champion):
    scoring.score_day(domain, EARLY, RUN)
    assert rows("select state, detail from quality.stages where stage = %s", (Stage.SCORED,)) == [
        ("done", {"rows": 8, "model_version": 1})
    ]
    with warehouse.transaction() as cursor:
        assert ledger.undecided_before(cursor, EARLY) is None
