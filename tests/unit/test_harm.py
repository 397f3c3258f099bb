"""Harm on matured days: the numbers are those of the evaluation, and where it began is found."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.domain import Costs, Monitoring
from include.modelops import backtest, evaluation, harm
from include.modelops.harm import State
from tests.toy_domain.domain import domain

COSTS = Costs(false_alarm=1.0, missed=3.0)
LIMITS = Monitoring(window=28, min_days=2, max_ece=0.1, bootstraps=100)
DAY = date(2020, 6, 1)
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=12)


@given(st.lists(ROWS, min_size=2, max_size=6))
def test_the_measures_of_a_window_are_those_of_all_its_rows_together(drawn):
    days = []
    for number, of_day in enumerate(drawn):
        labels, probabilities = (np.array([row[n] for row in of_day]) for n in (0, 1))
        days.append(backtest.matured_day(DAY + timedelta(days=number), labels, probabilities, domain))
    labels, probabilities = (np.array([row[n] for of_day in drawn for row in of_day]) for n in (0, 1))
    calibration, cost = harm.signals(days, COSTS, LIMITS)
    assert calibration.value == pytest.approx(evaluation.expected_calibration_error(labels, probabilities))
    assert calibration.low <= calibration.value <= calibration.high
    spent = evaluation.row_costs(labels, probabilities, COSTS).sum()
    alike = min((~labels).sum() * COSTS.false_alarm, labels.sum() * COSTS.missed)
    if alike:
        assert cost.value == pytest.approx(spent / alike)
        assert cost.low <= cost.value <= cost.high
    elif not spent:
        assert (cost.value, cost.state) == (0, State.HEALTHY)
    else:  # a share of nothing is no number
        assert (cost.value, cost.state) == (None, State.UNKNOWN)


@pytest.mark.parametrize(
    ("excess", "place"),
    [
        ([-1, -1, 3, 3], 2),
        ([5, -1, -1], 0),
        ([-9, 1, -3, 2, 2], 3),
        ([-1, -2, -3], 2),
        ([2.0], 0),
    ],
)
def test_harm_began_where_what_follows_adds_up_to_most(excess, place):
    assert harm.began(excess) == place


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_no_other_beginning_has_a_larger_sum(excess):
    sums = [sum(excess[start:]) for start in range(len(excess))]
    assert sums[harm.began(excess)] == pytest.approx(max(sums), abs=1e-9)


def test_a_model_that_errs_on_both_sides_is_harmful_though_its_mean_is_right():
    gaps = (0.0, 150.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -150.0, 0.0)
    days = [harm.MaturedDay(DAY + timedelta(days=n), 1000, 300, 300.0, gaps, 100.0) for n in range(14)]
    calibration, _ = harm.signals(days, COSTS, LIMITS)
    assert (calibration.state, calibration.value) == (State.HARM, pytest.approx(0.3))
