"""When monitoring asks for a training."""

import pytest

from include.core.domain import Retraining, Windows
from include.modelops.retraining import decide

WINDOWS = Windows(min_fit=14, calibration=14, validation=14, gate=14)
POLICY = Retraining(cadence=30, without_champion=7)


@pytest.mark.parametrize(
    ("has_champion", "days_since_request", "matured_days", "retrain", "told"),
    [
        (False, None, 55, False, "55 matured days; a training takes 56"),
        (False, None, 56, True, "no training was asked for yet"),
        (True, None, 56, True, "no training was asked for yet"),
        (False, 6, 80, False, "6 of 7 days"),
        (False, 7, 80, True, "still no champion"),
        (True, 7, 80, False, "7 of 30 days"),
        (True, 29, 80, False, "29 of 30 days"),
        (True, 30, 80, True, "the cadence is due"),
        (True, 300, 55, False, "55 matured days"),
    ],
)
def test_a_training_is_asked_for_when_it_is_due_and_possible(
    has_champion, days_since_request, matured_days, retrain, told
):
    answer = decide(
        has_champion=has_champion,
        days_since_request=days_since_request,
        matured_days=matured_days,
        windows=WINDOWS,
        policy=POLICY,
    )
    assert answer.retrain is retrain
    assert told in answer.reason
