"""Planted candidates through the gate: real models, fitted on generated days, of which it is known what is wrong.

A world has days with good and bad luck, two slice dimensions, and an outcome that depends on three of forty features.
None of the bad ones may be promoted in any of the worlds; a truly better one mostly is.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from include.core.domain import Costs, Gate
from include.modelops.gate import Contender, Route, Rows, choose_route

COSTS = Costs(false_alarm=1.0, missed=3.0)
GATE = Gate(
    min_rows=2_000,
    min_days=10,
    min_roc_auc=0.7,  # an honest model reaches 0.75 in its worst window
    max_ece=0.1,
    max_age=30,
    max_roc_auc=0.9,
    margins={"roc_auc": 0.02, "average_precision": 0.03, "brier": 0.01, "ece": 0.03},
    slice_margin=0.03,
    min_slice_rows=300,
    bootstraps=400,
)
FIRST = date(2020, 3, 1)
TRAINED, AS_OF = FIRST - timedelta(days=1), FIRST + timedelta(days=15)
FIT_DAYS, GATE_DAYS = 20, 14
PER_DAY = 400
SEEDS = range(5)
ORIGINS, CARRIERS = ("A", "B", "C"), ("large", "small")


@dataclass(frozen=True)
class Days:
    """The rows of some days: number of the day, features (n, 40), label, origin and carrier."""

    day: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    origin: np.ndarray
    carrier: np.ndarray

    def rows(self):
        dates = np.array([FIRST + timedelta(days=int(number)) for number in range(self.day.max() + 1)])[self.day]
        return Rows(dates, self.labels, {"origin": self.origin, "carrier": self.carrier})


def generate(drawn, days, per_day=PER_DAY):
    day = np.repeat(np.arange(days), per_day)
    features = drawn.normal(size=(len(day), 40)) + 0.4 * drawn.normal(size=(days, 40))[day]
    logit = -1.3 + features[:, :3] @ [0.7, 0.7, 0.6] + 0.5 * drawn.normal(size=days)[day]
    labels = drawn.random(len(day)) < 1 / (1 + np.exp(-logit))
    return Days(
        day, features, labels, drawn.choice(ORIGINS, len(day), p=[0.5, 0.1, 0.4]), drawn.choice(CARRIERS, len(day))
    )


@cache
def world(seed):
    """Days to fit on, and the days of the gate window."""
    drawn = np.random.default_rng(seed)
    return generate(drawn, FIT_DAYS), generate(drawn, GATE_DAYS)


def fit(features, labels):
    return LogisticRegression().fit(features, labels)


def score(model, features):
    return model.predict_proba(features)[:, 1]


def usual(seed, columns=(0, 1)):
    """The probabilities of an honest model that knows some of the features."""
    fitted, gate = world(seed)
    return score(fit(fitted.features[:, columns], fitted.labels), gate.features[:, columns])


def decide(
    seed, mine, theirs=None, *, gate=GATE, as_of=AS_OF, fitted_through=TRAINED, champion_through=TRAINED, rows=None
):
    champion = None if theirs is None else Contender(1, champion_through, theirs)
    challenger = Contender(2, fitted_through, mine)
    return choose_route(rows or world(seed)[1].rows(), challenger, champion, as_of=as_of, gate=gate, costs=COSTS)


def told(decision, words):
    return any(words in reason for reason in decision.reasons)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worse_model_is_rejected(seed):
    decision = decide(seed, usual(seed, (0,)), usual(seed))
    assert decision.route is Route.REJECT
    assert told(decision, "not cheaper")


@pytest.mark.parametrize("seed", range(10))
def test_a_shuffled_label_model_is_rejected_with_and_without_a_champion(seed):
    fitted, gate = world(seed)
    shuffled = np.random.default_rng(seed).permutation(fitted.labels)
    mine = score(fit(fitted.features, shuffled), gate.features)
    for theirs in (None, usual(seed)):
        decision = decide(seed, mine, theirs)
        assert decision.route is Route.REJECT
        assert told(decision, "ROC-AUC" if theirs is None else "not cheaper")


def leaky(seed, *, still_there):
    """A model with a feature that held the outcome when it was fitted, and does or does not when it decides."""
    fitted, gate = world(seed)
    drawn = np.random.default_rng(seed)
    hint, later = (days.labels + drawn.normal(0, 0.3, len(days.labels)) for days in (fitted, gate))
    if not still_there:
        later = np.zeros(len(gate.labels))
    model = fit(np.column_stack([fitted.features[:, :2], hint]), fitted.labels)
    return score(model, np.column_stack([gate.features[:, :2], later]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_was_fitted_with_a_feature_of_the_future_is_rejected(seed):
    decision = decide(seed, leaky(seed, still_there=False), usual(seed))
    assert decision.route is Route.REJECT
    assert told(decision, "not cheaper")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leak_that_is_still_there_is_too_good_to_be_promoted(seed):
    for theirs in (None, usual(seed)):
        decision = decide(seed, leaky(seed, still_there=True), theirs)
        assert decision.route is Route.ASK
        assert "too good to be true" in decision.reasons[0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "bend", [lambda p: 0.35 * p, lambda p: p**0.25, lambda p: p**3], ids=["squashed", "high", "low"]
)
def test_a_well_ranked_but_miscalibrated_model_is_rejected(seed, bend):
    theirs = usual(seed)
    mine = bend(theirs)
    for champion in (None, theirs):
        decision = decide(seed, mine, champion)
        assert decision.route is Route.REJECT
        assert told(decision, "expected calibration error")
    metrics = decision.comparison["metrics"]
    assert metrics["challenger"]["roc_auc"]["value"] == pytest.approx(metrics["champion"]["roc_auc"]["value"])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_equal_to_the_champion_is_rejected(seed):
    decision = decide(seed, usual(seed), usual(seed))
    assert decision.route is Route.REJECT
    assert "not cheaper" in decision.reasons[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_is_better_overall_but_worse_on_one_origin_goes_to_a_person(seed):
    """Of origin B the features come with the wrong sign, so that it is wrong there about nearly everything."""
    fitted, gate = world(seed)
    signs = np.where(gate.origin == "B", -1, 1)[:, None]
    mine = score(fit(fitted.features[:, :3], fitted.labels), gate.features[:, :3] * signs)
    theirs = usual(seed, (0,))
    decision = decide(seed, mine, theirs)
    assert decision.route is Route.ASK
    assert told(decision, "origin B is worse off by more than 0.03")
    assert not told(decision, "origin A")
    assert mine_is_cheaper(decision)


def mine_is_cheaper(decision):
    return decision.comparison["metrics"]["difference"]["cost"]["value"] < 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("theirs", [False, True], ids=["no champion", "a champion"])
def test_a_better_model_is_rejected_on_too_few_rows_or_days_and_when_it_is_stale(seed, theirs):
    mine = usual(seed, (0, 1, 2))
    theirs = usual(seed) if theirs else None
    rows = world(seed)[1].rows()
    few = slice(0, 4 * PER_DAY)
    window = Rows(rows.days[few], rows.labels[few], {name: groups[few] for name, groups in rows.slices.items()})
    decision = decide(seed, mine[few], None if theirs is None else theirs[few], rows=window)
    assert decision.route is Route.REJECT
    assert decision.reasons[:2] == (
        "1600 labelled rows in the gate window; it takes 2000",
        "4 days in the gate window; it takes 10",
    )
    decision = decide(seed, mine, theirs, as_of=TRAINED + timedelta(days=31))
    assert decision.route is Route.REJECT
    assert "stale" in decision.reasons[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_against_a_champion_that_was_fitted_on_the_gate_window_nothing_is_promoted(seed):
    gate = world(seed)[1]
    seen = score(fit(gate.features[:, :2], gate.labels), gate.features[:, :2])
    decision = decide(seed, usual(seed, (0, 1, 2)), seen, champion_through=FIRST + timedelta(days=13))
    assert decision.route is not Route.PROMOTE
    assert told(decision, "the comparison flatters it")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_challenger_that_was_fitted_on_the_gate_window_is_rejected(seed):
    gate = world(seed)[1]
    for theirs in (None, usual(seed)):
        mine = score(fit(gate.features, gate.labels), gate.features)
        decision = decide(seed, mine, theirs, fitted_through=FIRST + timedelta(days=13))
        assert decision.route is Route.REJECT
        assert "has seen answers" in decision.reasons[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_probabilities_that_are_not_numbers_are_never_promoted(seed):
    mine = usual(seed, (0, 1, 2))
    broken = np.where(np.arange(len(mine)) % 1000 == 7, np.nan, mine)
    for theirs in (None, usual(seed), np.full(len(mine), np.nan)):
        decision = decide(seed, broken, theirs)
        assert decision.route is Route.REJECT
        assert "6 of its 5600 probabilities" in decision.reasons[0]
    assert decide(seed, mine, np.full(len(mine), np.nan)).route is Route.ASK


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_champion_an_honest_model_is_promoted(seed):
    assert decide(seed, usual(seed)).route is Route.PROMOTE


def test_a_truly_better_model_is_promoted_in_most_worlds_and_never_replaced_by_the_worse():
    routes = [decide(seed, usual(seed, (0, 1, 2)), usual(seed)).route for seed in range(40)]
    assert routes.count(Route.PROMOTE) >= 32
    assert routes.count(Route.REJECT) == 0
    assert all(decide(seed, usual(seed), usual(seed, (0, 1, 2))).route is Route.REJECT for seed in range(5))


@pytest.mark.parametrize("days", [10, 14])
def test_of_200_ties_at_most_5_percent_are_promoted(days):
    """Two models that know as much as each other, each with its own error, so that neither is better in truth.

    The features 0 and 1 weigh the same, and each model overrates one of them.
    """
    drawn = np.random.default_rng(days)
    gate = replace(GATE, min_rows=1_000, max_ece=1.0, margins={})
    promoted = 0
    for _ in range(200):
        window = generate(drawn, days, per_day=80)
        mine, theirs = (
            1 / (1 + np.exp(1.3 - window.features[:, :2] @ weights)) for weights in ([1.2, 0.7], [0.7, 1.2])
        )
        rows = replace(window.rows(), slices={})
        promoted += decide(0, mine, theirs, gate=gate, rows=rows).route is Route.PROMOTE
    assert promoted <= 10
