"""What every task of the chain shares: what is tried again, how long a question stays open, where it runs."""

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from include.core.compute import compute
from include.core.defaults import RETRY_POLICY, answer_within
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops.drops import BadDropError
from include.dataops.quality import FailedChecksError
from tests.toy_domain.domain import domain


@pytest.mark.parametrize("error", [BadDropError, FailedChecksError, DomainError])
def test_bad_data_is_not_tried_again(error):
    assert RETRY_POLICY.evaluate(error("bad"), 1, 2).action is RetryAction.FAIL


@pytest.mark.parametrize("error", [NotReadyError, ConnectionError, OSError])
def test_what_may_pass_by_itself_is_tried_again(error):
    assert RETRY_POLICY.evaluate(error("later"), 1, 2).action is not RetryAction.FAIL


@pytest.mark.parametrize(("seconds", "expected"), [(None, domain.answer_within), ("20", timedelta(seconds=20))])
def test_a_question_stays_open_as_long_as_the_domain_says_unless_the_deployment_says_otherwise(
    monkeypatch, seconds, expected
):
    if seconds:
        monkeypatch.setenv("FLIGHTLINE_ANSWER_WITHIN_SECONDS", seconds)
    assert answer_within(domain) == expected


def test_a_task_names_a_queue_only_where_the_deployment_has_one(monkeypatch):
    assert compute("train") == {}
    monkeypatch.setenv("FLIGHTLINE_QUEUE_TRAIN", "large")
    assert compute("train") == {"queue": "large"}
