"""The gate: numbers in, route out."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.domain import Costs, Gate
from include.modelops.gate import Contender, Route, Rows, choose_route

COSTS = Costs(false_alarm=1.0, missed=3.0)
GATE = Gate(min_rows=100, min_days=4, min_roc_auc=0.6, max_ece=0.3, max_age=30, bootstraps=300, min_slice_rows=20)
FIRST = date(2020, 3, 1)
TRAINED, AS_OF = FIRST - timedelta(days=1), FIRST + timedelta(days=6)
PER_DAY = 40
USUAL = (10, 12, 8, 11, 9)


def rows_of(days=5, slices=None):
    """Each day has 40 rows, first 20 with a positive label and then 20 with a negative one."""
    dates = np.repeat([FIRST + timedelta(days=n) for n in range(days)], PER_DAY)
    return Rows(dates, np.tile(np.arange(PER_DAY) < PER_DAY // 2, days), slices or {})


def alarms(*by_day, calm=0.05):
    """Probabilities that give so many false alarms on each day, at a cost of 1 each; all else is right."""
    day = np.repeat([0.9, calm], PER_DAY // 2)
    return np.concatenate(
        [np.where((np.arange(PER_DAY) >= 20) & (np.arange(PER_DAY) < 20 + n), 0.6, day) for n in by_day]
    )


def challenger(probabilities, **changes):
    return replace(Contender(2, TRAINED, probabilities), **changes)


def champion(probabilities, **changes):
    return replace(Contender(1, TRAINED, probabilities), **changes)


def decide(mine, theirs=None, *, rows=None, gate=GATE, as_of=AS_OF):
    mine = mine if isinstance(mine, Contender) else challenger(mine)
    theirs = champion(theirs) if isinstance(theirs, np.ndarray) else theirs
    return choose_route(rows or rows_of(), mine, theirs, as_of=as_of, gate=gate, costs=COSTS)


GOOD, CHEAP = alarms(*USUAL), alarms(5, 6, 4, 6, 5)


def spoilt(value, count=3):
    return np.concatenate([np.full(count, value), CHEAP[count:]])


def test_a_challenger_above_every_floor_is_promoted_while_there_is_no_champion():
    decision = decide(GOOD)
    assert decision.route is Route.PROMOTE
    assert decision.reasons == ("it reaches every floor, and there is no champion to compare with",)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ({"min_rows": 201}, "200 labelled rows in the gate window; it takes 201"),
        ({"min_days": 6}, "5 days in the gate window; it takes 6"),
        ({"min_roc_auc": 1.01}, "ROC-AUC 1.0000; it takes 1.01"),
        ({"max_ece": 0.01}, r"expected calibration error 0\.\d{4}; at most 0\.01 is allowed"),
        ({"max_age": 6}, "stale: it was fitted through 2020-02-29, 7 days before 2020-03-07; at most 6 are allowed"),
    ],
)
@pytest.mark.parametrize("theirs", [None, GOOD], ids=["no champion", "a champion"])
def test_a_challenger_below_a_floor_is_rejected_however_cheap_it_is(gate, reason, theirs):
    decision = decide(CHEAP, theirs, gate=replace(GATE, **gate))
    assert decision.route is Route.REJECT
    assert re.search(reason, decision.reasons[0])


def test_a_challenger_exactly_on_every_bound_passes():
    metrics = decide(GOOD).comparison["metrics"]["challenger"]
    bounds = {"min_rows": 200, "min_days": 5, "max_age": 7, "max_ece": metrics["ece"]["value"]}
    bounds |= {"min_roc_auc": metrics["roc_auc"]["value"], "max_roc_auc": metrics["roc_auc"]["value"]}
    assert decide(GOOD, gate=replace(GATE, **bounds)).route is Route.PROMOTE


def test_every_broken_floor_is_told():
    gate = replace(GATE, min_rows=300, min_days=6, min_roc_auc=1.1, max_ece=0.0, max_age=1)
    decision = decide(challenger(CHEAP, fitted_through=FIRST), GOOD, gate=gate)
    assert sum("it takes" in reason or "allowed" in reason for reason in decision.reasons) == 5
    assert any("has seen answers" in reason for reason in decision.reasons)


@pytest.mark.parametrize("value", [nan, inf, -inf, -0.01, 1.01])
def test_probabilities_that_are_none_are_rejected_and_counted(value):
    for theirs in (None, GOOD):
        decision = decide(spoilt(value), theirs)
        assert decision.route is Route.REJECT
        assert "3 of its 200 probabilities are missing or not between 0 and 1" in decision.reasons[0]
        assert decision.comparison["metrics"]["challenger"] is None


def test_a_challenger_that_has_seen_a_day_of_the_window_is_rejected():
    decision = decide(challenger(CHEAP, fitted_through=FIRST), GOOD)
    assert decision.route is Route.REJECT
    assert "has seen answers" in decision.reasons[0]
    assert decide(challenger(CHEAP, fitted_through=TRAINED), GOOD).route is Route.PROMOTE


@pytest.mark.parametrize("label", [True, False])
def test_labels_of_one_class_are_rejected(label):
    rows = replace(rows_of(), labels=np.full(200, label))
    decision = decide(CHEAP, GOOD, rows=rows)
    assert decision.route is Route.REJECT
    assert "all 200 labels in the gate window are the same" in decision.reasons[0]


def test_no_rows_are_rejected_even_if_none_are_asked_for():
    empty = Rows(np.array([], object), np.array([], bool), {})
    decision = decide(np.array([]), rows=empty, gate=replace(GATE, min_rows=0, min_days=0))
    assert decision.route is Route.REJECT


def test_a_model_without_a_probability_for_each_row_is_an_error():
    for mine, theirs in ((CHEAP[1:], GOOD), (CHEAP, GOOD[1:])):
        with pytest.raises(ValueError, match="199 probabilities for 200 rows"):
            decide(mine, theirs)


def test_a_challenger_that_is_too_good_goes_to_a_person_with_and_without_a_champion():
    for theirs in (None, GOOD):
        decision = decide(CHEAP, theirs, gate=replace(GATE, max_roc_auc=0.9))
        assert decision.route is Route.ASK
        assert "too good to be true" in decision.reasons[0]


@pytest.mark.parametrize("dear", [20, 19])
def test_a_first_model_has_to_be_cheaper_than_to_treat_all_rows_alike(dear):
    # 20 false alarms a day are what it costs to act on every row.
    decision = decide(alarms(*[dear] * 5), gate=replace(GATE, max_ece=1.0))
    assert decision.route is (Route.REJECT if dear == 20 else Route.PROMOTE)
    assert any("cost per row 0.5000; without any model" in reason for reason in decision.reasons) is (dear == 20)
    assert decide(alarms(*[19] * 5), alarms(*[20] * 5), gate=replace(GATE, max_ece=1.0)).route is Route.PROMOTE


def test_a_clear_winner_is_promoted():
    decision = decide(CHEAP, GOOD)
    assert decision.route is Route.PROMOTE
    assert "0.1300 against 0.2500 of the champion on 200 rows of 5 days" in decision.reasons[0]


def test_a_near_tie_goes_to_a_person():
    decision = decide(alarms(9, 13, 7, 11, 9), GOOD)
    assert decision.route is Route.ASK
    assert "cheaper, but that may be chance: cost per row 0.2450 against 0.2500" in decision.reasons[0]


@pytest.mark.parametrize(
    "by_day",
    [(11, 13, 9, 12, 10), (9, 11, 7, 10, 18), USUAL, (12, 10, 11, 8, 9)],
    ids=["dearer each day", "dearer overall", "the same", "the same overall"],
)
def test_a_challenger_that_is_not_cheaper_is_rejected(by_day):
    decision = decide(alarms(*by_day), GOOD)
    assert decision.route is Route.REJECT
    assert "not cheaper" in decision.reasons[0]


def test_one_day_of_luck_does_not_make_a_clear_winner():
    assert decide(alarms(0, 12, 8, 11, 10), GOOD).route is Route.ASK


def test_more_confidence_is_harder_to_satisfy():
    close = alarms(8, 11, 8, 10, 10)
    assert decide(close, GOOD, gate=replace(GATE, confidence=0.6)).route is Route.PROMOTE
    assert decide(close, GOOD, gate=replace(GATE, confidence=0.999)).route is Route.ASK


@pytest.mark.parametrize(
    "theirs", [champion(spoilt(nan)), champion(None), champion(GOOD, trouble="its columns are gone")]
)
def test_a_champion_that_cannot_be_compared_with_goes_to_a_person_unless_a_floor_is_missed(theirs):
    decision = decide(CHEAP, theirs)
    assert decision.route is Route.ASK
    assert "the champion, version 1, cannot be compared with: " in decision.reasons[0]
    assert decision.comparison["metrics"]["champion"] is None
    assert decide(CHEAP, theirs, gate=replace(GATE, min_rows=201)).route is Route.REJECT


@pytest.mark.parametrize(
    ("mine", "gate", "route"),
    [(CHEAP, {}, Route.ASK), (GOOD, {}, Route.REJECT), (CHEAP, {"max_age": 1}, Route.REJECT)],
    ids=["cheaper", "not cheaper", "stale"],
)
def test_against_a_champion_that_has_seen_the_window_nothing_is_promoted(mine, gate, route):
    decision = decide(mine, champion(GOOD, fitted_through=FIRST), gate=replace(GATE, **gate))
    assert decision.route is route
    assert any("the comparison flatters it" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("calm", "margin", "route"),
    [
        ((0.24,) * 5, 0.001, Route.REJECT),
        ((0.24,) * 5, 0.05, Route.PROMOTE),
        ((0.24, 0.24, 0.24, 0.24, 0.05), 0.0, Route.ASK),
        ((0.24, 0.24, 0.05, 0.05, 0.05), 0.0, Route.PROMOTE),
    ],
    ids=["surely worse", "within the margin", "worse, perhaps by chance", "perhaps worse"],
)
def test_a_cheaper_challenger_may_not_lose_on_another_measure(calm, margin, route):
    quiet = (10, 10, 10, 10, 10)
    mine = np.concatenate([alarms(9, calm=each) for each in calm])
    decision = decide(mine, alarms(*quiet), gate=replace(GATE, margins={"brier": margin}))
    assert decision.route is route
    assert any("cheaper beyond doubt" in reason for reason in decision.reasons)
    assert decision.reasons[0].startswith("it is cheaper" if route is Route.PROMOTE else "Brier score is worse by 0.0")


def test_of_a_ranking_less_is_worse():
    mine = np.where(np.tile(np.arange(PER_DAY), 5) < 6, 0.3, alarms(4, 4, 4, 4, 4))
    for name in ("roc_auc", "average_precision"):
        decision = decide(mine, alarms(10, 10, 10, 10, 10), gate=replace(GATE, margins={name: 0.001}))
        assert decision.route is Route.REJECT
        back = decide(alarms(1, 1, 1, 1, 1), mine, gate=replace(GATE, margins={name: 0.001}))
        assert back.route is Route.PROMOTE


def wards(small=4):
    """Ward b has the last rows of each day, all negative."""
    return {"ward": np.tile(np.where(np.arange(PER_DAY) < PER_DAY - small, "a", "b"), 5)}


def trade(theirs=(10, 10, 10, 10, 10), mine=(4, 4, 4, 4, 4)):
    """A challenger that is cheaper in ward a and raises nothing but false alarms in ward b."""
    inside = wards()["ward"] == "b"
    return np.where(inside, 0.6, alarms(*mine)), alarms(*theirs)


def test_a_challenger_that_is_better_overall_and_worse_for_a_slice_goes_to_a_person():
    mine, theirs = trade()
    assert decide(mine, theirs).route is Route.PROMOTE
    decision = decide(mine, theirs, rows=rows_of(slices=wards()))
    assert decision.route is Route.ASK
    assert "ward b is worse off by more than 0: cost per row 1.0000 against 0.0000" in decision.reasons[0]
    assert "cheaper beyond doubt" in decision.reasons[1]
    (a, b) = decision.comparison["slices"]
    assert (a["group"], a["rows"], b["group"], b["rows"], b["days"]) == ("a", 180, "b", 20, 5)
    assert b["challenger"] - b["champion"] == pytest.approx(b["low"]) == pytest.approx(b["high"]) == 1


@pytest.mark.parametrize(
    "gate", [{"slice_margin": 1.0}, {"min_slice_rows": 21}], ids=["within the margin", "too few rows"]
)
def test_a_slice_within_its_margin_or_too_small_does_not_decide(gate):
    mine, theirs = trade()
    assert decide(mine, theirs, rows=rows_of(slices=wards()), gate=replace(GATE, **gate)).route is Route.PROMOTE


def test_a_slice_that_had_bad_luck_on_one_day_does_not_decide():
    mine, theirs = trade(mine=(4, 4, 4, 4, 4))
    unlucky = np.where((wards()["ward"] == "b") & (np.arange(200) >= PER_DAY), alarms(4, 4, 4, 4, 4), mine)
    decision = decide(unlucky, theirs, rows=rows_of(slices=wards()))
    assert decision.comparison["slices"][1]["challenger"] == pytest.approx(0.2)
    assert decision.route is Route.PROMOTE


def test_a_slice_of_too_few_days_is_told_and_does_not_decide():
    groups = np.where(np.arange(200) < 2 * PER_DAY, wards(5)["ward"], "a")
    mine, theirs = np.where(groups == "b", 0.6, alarms(0, 0, 0, 0, 0)), alarms(14, 14, 14, 14, 14)
    gate = replace(GATE, min_slice_rows=10)
    decision = decide(mine, theirs, rows=rows_of(slices={"ward": groups}), gate=gate)
    assert decision.route is Route.PROMOTE
    assert any("ward b is dearer, on too few days to decide by (it takes 4)" in reason for reason in decision.reasons)


def test_the_more_slices_are_looked_at_the_surer_each_has_to_be():
    mine, theirs = trade()
    some = decide(mine, theirs, rows=rows_of(slices={"x": wards()["ward"]})).reasons[0]
    more = decide(mine, theirs, rows=rows_of(slices={"x": wards()["ward"], "y": wards()["ward"]})).reasons[0]
    assert "97.5% of day bootstraps" in some
    assert "98.8% of day bootstraps" in more


def test_the_comparison_is_json_and_tells_what_was_measured():
    for mine, theirs in ((CHEAP, GOOD), (CHEAP, None), (spoilt(nan), GOOD), (CHEAP, champion(None))):
        json.dumps(decide(mine, theirs, rows=rows_of(slices=wards())).comparison, allow_nan=False)
    found = decide(CHEAP, GOOD).comparison
    assert (found["rows"], found["days"], found["first"], found["last"]) == (200, 5, "2020-03-01", "2020-03-05")
    metrics = found["metrics"]
    assert metrics["difference"]["cost"]["value"] == pytest.approx(-0.12)
    for name in metrics["difference"]:
        by_role = {role: metrics[role][name] for role in metrics}
        assert by_role["difference"]["value"] == by_role["challenger"]["value"] - by_role["champion"]["value"]
        for measured in by_role.values():
            assert measured["low"] <= measured["value"] <= measured["high"]


def test_one_day_promotes_nothing_over_a_champion():
    decision = decide(alarms(1), alarms(20), rows=rows_of(1), gate=replace(GATE, min_rows=1, min_days=1))
    assert decision.route is Route.ASK


DAYS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=6)
LOOSE = replace(GATE, min_rows=2, min_days=2, bootstraps=100, margins={"brier": 0.01, "roc_auc": 0.01}, max_ece=1.0)


@settings(max_examples=50, deadline=None)
@given(DAYS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(by_day, random):
    mine, theirs = (alarms(*counts) for counts in zip(*by_day, strict=True))
    rows = rows_of(len(by_day), {"half": np.where(np.arange(len(mine)) % 2, "odd", "even")})
    order = list(range(len(mine)))
    random.shuffle(order)
    mixed = Rows(rows.days[order], rows.labels[order], {"half": rows.slices["half"][order]})
    assert decide(mine, theirs, rows=rows, gate=LOOSE) == decide(mine[order], theirs[order], rows=mixed, gate=LOOSE)


@settings(max_examples=50, deadline=None)
@given(DAYS)
def test_of_two_models_at_most_one_is_promoted_over_the_other(by_day):
    mine, theirs = (alarms(*counts) for counts in zip(*by_day, strict=True))
    routes = [
        decide(one, other, rows=rows_of(len(by_day)), gate=LOOSE).route
        for one, other in ((mine, theirs), (theirs, mine))
    ]
    assert routes.count(Route.PROMOTE) <= 1
    assert (Route.REJECT in routes) or mine.tolist() == theirs.tolist()
