"""What follows from what monitoring saw: signals, alerts, and whether a training is asked for."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from include.core.domain import Costs, Monitoring, Retraining, Windows
from include.modelops.harm import MaturedDay, Name, State
from include.modelops.retraining import DRIFT, HARM, OUTAGE, Coverage, Seen, Told, judge

DAY = date(2020, 6, 30)
WINDOWS = Windows(min_fit=14, calibration=14, validation=14, gate=14)
POLICY = Retraining(cadence=30, without_champion=7)
COSTS = Costs(false_alarm=1.0, missed=3.0)
LIMITS = Monitoring(window=28, min_days=14, max_ece=0.1, bootstraps=400)
ROWS = 1000


def matured(rate: float, predicted: float, ago: int, cost: float = 0.3) -> MaturedDay:
    """A day of which all rows were given the same probability."""
    gaps = [0.0] * 10
    gaps[min(int(predicted * 10), 9)] = ROWS * (predicted - rate)
    day = DAY - timedelta(days=2 + ago)
    return MaturedDay(day, ROWS, int(ROWS * rate), ROWS * predicted, tuple(gaps), ROWS * cost)


def days(rates: list[float], predicted: float = 0.25) -> list[MaturedDay]:
    return [matured(rate, predicted, ago) for ago, rate in zip(reversed(range(len(rates))), rates, strict=True)]


CALM = [0.2, 0.3] * 14
SEEN = Seen(
    as_of=DAY,
    champion=1,
    days=days(CALM),
    coverage=Coverage(DAY - timedelta(days=2), 1.0, 0.98, None),
    drift={"a": 0.05, "b": 3.0},
    told=(),
    days_since_request=20,
    matured_days=150,
)
HARMED = replace(SEEN, days=days([*[0.25] * 8, *[0.5, 0.6] * 10]))


def judged(seen: Seen, policy: Retraining = POLICY, limits: Monitoring = LIMITS):
    return judge(seen, COSTS, limits, policy, WINDOWS)


@pytest.mark.parametrize(
    ("champion", "days_since_request", "matured_days", "retrain", "told"),
    [
        (None, None, 55, False, "55 matured days; a training takes 56"),
        (None, None, 56, True, "no training was asked for yet"),
        (1, None, 56, True, "no training was asked for yet"),
        (None, 6, 80, False, "6 days since"),
        (None, 7, 80, True, "still no champion"),
        (1, 7, 80, False, "7 of 30 days"),
        (1, 29, 80, False, "29 of 30 days"),
        (1, 30, 80, True, "the cadence is due"),
        (1, 300, 55, False, "55 matured days"),
    ],
)
def test_a_training_is_asked_for_when_it_is_due_and_possible(champion, days_since_request, matured_days, retrain, told):
    seen = replace(SEEN, champion=champion, days_since_request=days_since_request, matured_days=matured_days)
    answer = judged(seen).answer
    assert answer.retrain is retrain
    assert told in answer.reason


def test_a_calm_window_is_healthy_and_nobody_hears_of_it():
    found = judged(SEEN)
    assert [(signal.name, signal.state) for signal in found.signals] == [
        (name, State.HEALTHY) for name in (Name.CALIBRATION, Name.COST, Name.LABELS)
    ]
    assert found.alerts == ()


def test_drift_alone_neither_alerts_nor_trains():
    assert judged(SEEN).alerts == ()
    assert not judged(SEEN).answer.retrain


def test_a_domain_may_ask_for_alerts_and_trainings_by_drift():
    found = judged(SEEN, replace(POLICY, on_drift=0.2))
    assert [alert.kind for alert in found.alerts] == [DRIFT]
    assert "b 3.00" in found.alerts[0].message
    assert found.answer.retrain


def test_harm_alerts_and_asks_for_a_training_and_says_what_since_when_how_sure_and_what_to_do():
    found = judged(HARMED)
    assert found.answer.retrain
    assert "harm by calibration" in found.answer.reason
    (alert,) = [alert for alert in found.alerts if alert.subject == Name.CALIBRATION]
    assert alert.kind == HARM
    assert "25.0% were predicted" in alert.message
    assert alert.since == HARMED.days[8].as_of
    assert alert.certainty.startswith("95% interval over 28 whole days")
    assert "rollback_model" in alert.next_step


@pytest.mark.parametrize("storm", [0.9, 1.0])
@pytest.mark.parametrize("ago", [0, 5, 27])
def test_one_storm_is_no_harm(storm, ago):
    rates = list(CALM)
    rates[-1 - ago] = storm
    found = judged(replace(SEEN, days=days(rates)))
    assert {signal.state for signal in found.signals} == {State.HEALTHY}
    assert not found.answer.retrain


def test_cost_beyond_that_of_no_model_is_harm():
    dear = [matured(0.25, 0.25, ago, cost=0.9 + 0.01 * (ago % 3)) for ago in reversed(range(28))]
    found = judged(replace(SEEN, days=dear))
    assert [signal.state for signal in found.signals] == [State.HEALTHY, State.HARM, State.HEALTHY]
    # Without a model: a quarter of three is what it costs to act on none, and to act on all.
    assert found.signals[1].value == pytest.approx(0.91 / 0.75, abs=0.01)


def test_too_few_days_tell_nothing():
    found = judged(replace(HARMED, days=HARMED.days[-13:]))
    assert [signal.state for signal in found.signals[:2]] == [State.UNKNOWN] * 2
    assert not found.alerts


def test_harm_that_lasts_is_told_again_only_after_a_while():
    for ago, again in ((1, False), (13, False), (14, True)):
        told = (
            Told(DAY - timedelta(days=ago), HARM, Name.CALIBRATION),
            Told(DAY - timedelta(days=ago), HARM, Name.COST),
        )
        assert bool(judged(replace(HARMED, told=told)).alerts) is again


def test_harm_waits_with_a_training_until_the_last_one_can_have_helped():
    found = judged(replace(HARMED, days_since_request=13))
    assert not found.answer.retrain
    assert "14 must pass" in found.answer.reason
    assert "No training is asked for" in found.alerts[0].next_step


def test_a_policy_may_leave_harm_alone_and_still_tell_it():
    found = judged(HARMED, replace(POLICY, on_harm=False))
    assert found.alerts
    assert not found.answer.retrain


def test_labels_that_do_not_come_are_an_alert_of_their_own():
    late = Coverage(DAY - timedelta(days=2), 0.4, 0.98, DAY - timedelta(days=3))
    found = judged(replace(SEEN, coverage=late))
    assert [alert.kind for alert in found.alerts] == [OUTAGE]
    assert "40.0% of the labels of 2020-06-28" in found.alerts[0].message
    assert found.alerts[0].since == DAY - timedelta(days=3)
    assert not found.answer.retrain
    told = (Told(DAY - timedelta(days=1), OUTAGE, Name.LABELS),)
    assert judged(replace(SEEN, coverage=late, told=told)).alerts == ()


def test_a_month_has_a_budget_and_what_is_beyond_it_is_not_sent():
    this_month = tuple(Told(DAY.replace(day=n), HARM, f"other {n}") for n in range(1, 5))
    found = judged(replace(HARMED, told=this_month))
    assert found.alerts
    assert not any(alert.within_budget for alert in found.alerts)
    last_month = tuple(replace(told, as_of=told.as_of - timedelta(days=31)) for told in this_month)
    assert all(alert.within_budget for alert in judged(replace(HARMED, told=last_month)).alerts)


def test_without_a_champion_nothing_is_judged():
    assert judged(replace(SEEN, champion=None, days=())).signals == ()
