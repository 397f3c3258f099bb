"""Measures of a classifier, against scikit-learn and against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from include.core.domain import Costs, Slice
from include.modelops import bootstrap
from include.modelops.evaluation import (
    calibration_curve,
    expected_calibration_error,
    intervals,
    measures,
    resampled,
    row_costs,
    slice_groups,
    slice_measures,
)

COSTS = Costs(false_alarm=1.0, missed=3.0)
SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=60)
# Label, probability (with many ties) and day of each row, and how often each of four days is drawn.
BY_DAY = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8), st.integers(0, 3)), min_size=1, max_size=60
)
DRAWN = st.lists(st.integers(0, 3), min_size=4, max_size=4)


def columns(scored):
    return tuple(np.array(column) for column in zip(*scored, strict=True))


def world(days=14, rows=80, seed=1):
    """Labels, calibrated probabilities of two digits, and days, with good and bad days."""
    drawn = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    truth = 1 / (1 + np.exp(-(drawn.normal(-1, 1, days * rows) + drawn.normal(0, 0.7, days)[day])))
    return drawn.random(days * rows) < truth, truth.round(2), day


@pytest.mark.parametrize(
    ("label", "probability", "cost"),
    [(True, 0.25, 0.0), (True, 0.2499, 3.0), (False, 0.25, 1.0), (False, 0.2499, 0.0), (True, 1.0, 0.0)],
)
def test_a_row_costs_what_its_decision_at_the_threshold_costs(label, probability, cost):
    assert row_costs(np.array([label]), np.array([probability]), COSTS).tolist() == [cost]


def test_the_calibration_error_is_the_mean_gap_of_the_bins_weighted_by_rows():
    # Bin 0.0-0.1: two rows, predicted 0.05, seen 0.5. Bin 0.9-1.0: one row, predicted 1.0, seen 0. Bin 0.3: no gap.
    labels = np.array([True, False, False, False])
    probabilities = np.array([0.05, 0.05, 1.0, 0.0])
    assert expected_calibration_error(labels, probabilities) == pytest.approx((abs(0.1 - 1.0) + 1.0) / 4)


def test_probabilities_that_come_true_have_no_calibration_error():
    labels = np.array([True] * 3 + [False] * 7)
    assert expected_calibration_error(labels, np.full(10, 0.3)) == pytest.approx(0)


@given(SCORED)
def test_the_calibration_error_is_that_of_a_plain_loop_over_bins(scored):
    labels, probabilities = np.array([row[0] for row in scored]), np.array([row[1] for row in scored])
    expected = 0.0
    for number in range(10):
        members = [row for row in scored if min(int(row[1] * 10), 9) == number]
        if members:
            predicted = sum(row[1] for row in members) / len(members)
            seen = sum(row[0] for row in members) / len(members)
            expected += len(members) / len(scored) * abs(predicted - seen)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected)


def test_measures_are_those_of_scikit_learn():
    drawn = np.random.default_rng(1)
    probabilities = drawn.random(500).round(2)
    labels = drawn.random(500) < probabilities
    found = measures(labels, probabilities, COSTS)
    assert found["roc_auc"] == roc_auc_score(labels, probabilities)
    assert found["average_precision"] == average_precision_score(labels, probabilities)
    assert found["brier"] == brier_score_loss(labels, probabilities)
    missed, alarms = (labels & (probabilities < 0.25)).sum(), (~labels & (probabilities >= 0.25)).sum()
    assert found["cost"] == pytest.approx((3 * missed + alarms) / 500)


@pytest.mark.parametrize("label", [True, False])
def test_rows_of_one_class_are_refused_with_the_way_out(label):
    with pytest.raises(ValueError, match=r"3 rows with one class only.*widen the window"):
        measures(np.full(3, label), np.array([0.1, 0.5, 0.9]), COSTS)


@given(BY_DAY, DRAWN)
def test_measures_of_a_draw_of_days_are_those_of_rows_weighted_with_their_days(scored, drawn):
    labels, probabilities, days = columns(scored)
    weights = np.array(drawn)[days]
    assume(len(set(labels[weights > 0])) == 2)
    found = resampled(labels, probabilities, days, np.array([drawn], float), COSTS)
    found = {name: values[0] for name, values in found.items()}
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, probabilities, sample_weight=weights))
    assert found["average_precision"] == pytest.approx(
        average_precision_score(labels, probabilities, sample_weight=weights)
    )
    assert found["brier"] == pytest.approx(brier_score_loss(labels, probabilities, sample_weight=weights))
    repeated = np.repeat(np.arange(len(labels)), weights)
    assert found["cost"] == pytest.approx(row_costs(labels[repeated], probabilities[repeated], COSTS).mean())
    assert found["ece"] == pytest.approx(expected_calibration_error(labels[repeated], probabilities[repeated]))


@given(BY_DAY)
def test_every_day_once_gives_the_measures_themselves(scored):
    labels, probabilities, days = columns(scored)
    assume(len(set(labels)) == 2)
    found = resampled(labels, probabilities, days, np.ones((1, 4)), COSTS)
    assert {name: values[0] for name, values in found.items()} == pytest.approx(measures(labels, probabilities, COSTS))


def test_the_ranking_is_the_same_in_one_piece_and_in_many(monkeypatch):
    labels, probabilities, days = world()
    weights = bootstrap.draw_days(14, 50)
    whole = bootstrap.ranking(labels, probabilities, days, weights)
    monkeypatch.setattr(bootstrap, "CHUNK", 7)
    for one, other in zip(whole, bootstrap.ranking(labels, probabilities, days, weights), strict=True):
        assert one == pytest.approx(other)


def test_a_draw_with_one_class_only_has_no_ranking():
    labels, probabilities, days = np.array([True, False]), np.array([0.7, 0.1]), np.array([0, 1])
    found = resampled(labels, probabilities, days, np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), COSTS)
    assert np.isnan(found["roc_auc"]).tolist() == [True, True, False]
    assert np.isnan(found["average_precision"]).tolist() == [True, True, False]


def test_draws_are_whole_days_as_many_as_there_are_and_the_same_each_time():
    drawn = bootstrap.draw_days(14, 500)
    assert drawn.shape == (500, 14)
    assert (drawn.sum(axis=1) == 14).all()
    assert drawn.mean() == 1
    assert (drawn == bootstrap.draw_days(14, 500)).all()


@pytest.mark.parametrize(("days", "tail"), [(2, 0.0), (5, 0.000955), (14, 0.012483), (100, 0.023071)])
def test_fewer_days_cut_off_less_than_a_plain_percentile(days, tail):
    # By hand from tables: 14 days, t = 2.1604, times sqrt(14 / 13) is 2.2420, beyond which lie 1.25 % of the normal.
    assert bootstrap.expanded_tail(days, 0.95) == pytest.approx(tail, abs=1e-5)


@pytest.mark.parametrize("days", [5, 10, 14])
def test_the_interval_of_a_mean_is_that_of_student(days):
    from scipy.stats import t

    drawn = np.random.default_rng(days)
    found, expected = [], []
    for _ in range(30):
        values = drawn.normal(size=days)
        means = bootstrap.draw_days(days, 4000) @ values / days
        low, high = bootstrap.interval(values.mean(), means, days, 0.95, (-9, 9))
        found.append(high - low)
        expected.append(2 * t.ppf(0.975, days - 1) * values.std(ddof=1) / days**0.5)
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.1 if days > 5 else 0.25)


def test_intervals_hold_the_measures_and_widen_with_the_confidence():
    labels, probabilities, days = world()
    found = measures(labels, probabilities, COSTS)
    narrow = intervals(labels, probabilities, days, COSTS, confidence=0.6)
    wide = intervals(labels, probabilities, days, COSTS, confidence=0.95)
    assert found.keys() == narrow.keys() == wide.keys()
    for name, value in found.items():
        assert wide[name][0] <= narrow[name][0] <= value <= narrow[name][1] <= wide[name][1]
        assert wide[name][0] < wide[name][1]


def test_one_day_says_nothing_of_other_days():
    labels, probabilities, days = world(days=1)
    found = intervals(labels, probabilities, days, COSTS)
    assert found == {name: (0.0, 3.0 if name == "cost" else 1.0) for name in found}


def test_days_that_are_alike_give_a_point():
    labels, probabilities, _ = world(days=1)
    found = intervals(np.tile(labels, 5), np.tile(probabilities, 5), np.repeat(np.arange(5), len(labels)), COSTS)
    for low, high in found.values():
        assert low == pytest.approx(high)


def test_rows_of_one_class_have_no_intervals():
    with pytest.raises(ValueError, match="one class only"):
        intervals(np.full(4, True), np.full(4, 0.5), np.arange(4), COSTS)


@given(SCORED)
def test_the_calibration_curve_holds_every_row_and_the_calibration_error(scored):
    labels, probabilities = columns(scored)
    curve = calibration_curve(labels, probabilities)
    assert sum(point["rows"] for point in curve) == len(scored)
    assert [point["predicted"] for point in curve] == sorted(point["predicted"] for point in curve)
    gaps = sum(point["rows"] * abs(point["predicted"] - point["observed"]) for point in curve)
    assert gaps / len(scored) == pytest.approx(expected_calibration_error(labels, probabilities))


def test_the_calibration_curve_leaves_out_empty_bins():
    labels, probabilities = np.array([True, False, True]), np.array([0.31, 0.35, 1.0])
    assert calibration_curve(labels, probabilities) == [
        {"predicted": pytest.approx(0.33), "observed": 0.5, "rows": 2},
        {"predicted": 1.0, "observed": 1.0, "rows": 1},
    ]


def test_rows_belong_to_their_value_or_to_the_group_of_it():
    features = pd.DataFrame(
        {"origin": ["JFK", "EWR", float("nan")], "carrier": ["EV", "ZZ", float("nan")]}, dtype=object
    )
    slices = (Slice("origin", "origin"), Slice("carriers", "carrier", {"regional": ("EV", "MQ"), "big": ("UA",)}))
    found = slice_groups(slices, features)
    assert found["origin"].tolist() == ["JFK", "EWR", "missing"]
    assert found["carriers"].tolist() == ["regional", "other", "missing"]


def test_slices_are_measured_each_by_itself():
    labels, probabilities = np.array([True, False, False, True]), np.array([0.1, 0.2, 0.5, 0.9])
    found = slice_measures(labels, probabilities, {"ward": np.array(["a", "b", "b", "b"])}, COSTS)
    assert found == [
        {"slice": "ward", "group": "a", "rows": 1, "cost": 3.0, "rate": 1.0, "predicted": 0.1},
        {
            "slice": "ward",
            "group": "b",
            "rows": 3,
            "cost": pytest.approx(1 / 3),
            "rate": pytest.approx(1 / 3),
            "predicted": pytest.approx(1.6 / 3),
        },
    ]
