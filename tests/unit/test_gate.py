"""The gate: numbers in, route out."""

from dataclasses import replace
from math import nan

import pytest

from include.core.domain import Gate
from include.modelops.gate import Route, Scorecard, bootstrap_difference, choose_route

GATE = Gate(min_rows=100, min_days=4, min_roc_auc=0.6, max_ece=0.1, confidence=0.95, bootstraps=500)
CHAMPION = Scorecard(roc_auc=0.7, ece=0.05, day_costs=[50, 60, 40, 55, 45], day_rows=[100] * 5)
GOOD = replace(CHAMPION, roc_auc=0.75)


def costing(*by_day: float) -> Scorecard:
    return replace(GOOD, day_costs=list(by_day))


def test_a_challenger_above_every_floor_is_promoted_while_there_is_no_champion():
    assert choose_route(GOOD, None, GATE).route is Route.PROMOTE


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"roc_auc": 0.59}, "ROC-AUC"),
        ({"roc_auc": nan}, "ROC-AUC"),
        ({"ece": 0.11}, "calibration"),
        ({"ece": nan}, "calibration"),
        ({"day_rows": [19] * 5}, "95 labelled rows"),
        ({"day_rows": [100] * 3, "day_costs": [1] * 3}, "3 days"),
    ],
)
def test_a_challenger_below_a_floor_is_rejected_however_cheap_it_is(broken, named):
    card = replace(costing(0, 0, 0, 0, 0), **broken)
    for champion in (None, CHAMPION):
        decision = choose_route(card, champion, GATE)
        assert decision.route is Route.REJECT
        assert any(named in reason for reason in decision.reasons)


def test_every_broken_floor_is_told():
    card = Scorecard(roc_auc=nan, ece=nan, day_costs=[1], day_rows=[1])
    assert len(choose_route(card, None, GATE).reasons) == 4


def test_a_challenger_exactly_on_the_floors_passes():
    card = Scorecard(roc_auc=0.6, ece=0.1, day_costs=[1] * 4, day_rows=[25] * 4)
    assert choose_route(card, None, GATE).route is Route.PROMOTE


def test_a_clear_winner_is_promoted():
    assert choose_route(costing(40, 48, 33, 44, 36), CHAMPION, GATE).route is Route.PROMOTE


def test_a_near_tie_goes_to_a_person():
    decision = choose_route(costing(40, 65, 35, 59, 48), CHAMPION, GATE)
    assert decision.route is Route.ASK
    assert "0.4940 against 0.5000" in decision.reasons[0]


@pytest.mark.parametrize("costs", [(55, 65, 45, 60, 50), (45, 55, 35, 50, 75)], ids=["worse each day", "worse overall"])
def test_a_challenger_that_costs_more_is_rejected(costs):
    assert choose_route(costing(*costs), CHAMPION, GATE).route is Route.REJECT


def test_the_same_costs_are_no_reason_to_change_the_model():
    assert choose_route(GOOD, CHAMPION, GATE).route is Route.REJECT


@pytest.mark.parametrize("day_rows", [[100, 100, 100, 99, 101], [100] * 4])
def test_models_that_were_measured_on_different_rows_are_not_compared(day_rows):
    card = replace(GOOD, day_rows=day_rows, day_costs=[0] * len(day_rows))
    decision = choose_route(card, CHAMPION, GATE)
    assert decision.route is Route.REJECT
    assert "same rows" in decision.reasons[0]


def test_a_cost_that_is_not_a_number_is_never_promoted():
    assert choose_route(costing(nan, 1, 1, 1, 1), CHAMPION, GATE).route is Route.REJECT


def test_the_interval_of_a_constant_difference_is_that_difference():
    low, high = bootstrap_difference(costing(*(cost - 7 for cost in CHAMPION.day_costs)), CHAMPION, GATE)
    assert low == pytest.approx(-0.07)
    assert high == pytest.approx(-0.07)


def test_the_same_numbers_give_the_same_interval_each_time():
    card = costing(40, 65, 35, 59, 48)
    assert bootstrap_difference(card, CHAMPION, GATE) == bootstrap_difference(card, CHAMPION, GATE)


def test_days_are_drawn_whole_so_one_day_of_luck_does_not_make_a_clear_winner():
    lucky = costing(0, 60, 40, 55, 45.5)
    low, high = bootstrap_difference(lucky, CHAMPION, GATE)
    assert low < 0 < high


def test_more_confidence_widens_the_interval():
    card = costing(40, 65, 35, 59, 48)
    low, high = bootstrap_difference(card, CHAMPION, replace(GATE, confidence=0.5))
    wider_low, wider_high = bootstrap_difference(card, CHAMPION, replace(GATE, confidence=0.99))
    assert wider_low < low < high < wider_high
