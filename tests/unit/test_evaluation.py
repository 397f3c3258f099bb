"""Measures of a classifier, against scikit-learn and against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from include.core.domain import Costs
from include.modelops.evaluation import expected_calibration_error, measures, row_costs

COSTS = Costs(false_alarm=1.0, missed=3.0)
SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=60)


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
