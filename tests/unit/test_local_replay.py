"""The decisions of the local runtime: which days to ask for, and when the work is complete."""

from dataclasses import replace
from datetime import date

import pytest

from include.project import domain
from local.ledger import Snapshot, find_unfinished, mean
from local.progress import State, describe
from local.replay import list_days, select_missing

FIRST = date(2013, 4, 1)
PERIOD = replace(domain, history_through=date(2013, 3, 31), last_day=date(2013, 4, 3))
DAYS = [date(2013, 4, day) for day in (1, 2, 3)]


@pytest.mark.parametrize(("count", "expected"), [(0, []), (2, DAYS[:2]), (3, DAYS), (400, DAYS)])
def test_the_days_follow_the_history_and_end_with_the_domain(count: int, expected: list[date]) -> None:
    assert list_days(PERIOD, count) == expected


def test_a_domain_without_a_last_day_goes_on() -> None:
    assert len(list_days(replace(PERIOD, last_day=None), 400)) == 400


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], DAYS),
        (["2013-04-01"], DAYS[1:]),
        (["2013-04-01T00:00:00", "2013-04-03"], DAYS[1:2]),
        ([None, "2013-03-31"], DAYS),
        (["2013-04-01", "2013-04-02", "2013-04-03"], []),
    ],
)
def test_only_days_without_a_run_are_asked_for(keys: list[str | None], expected: list[date]) -> None:
    assert select_missing(DAYS, [{"partition_key": key, "state": "failed"} for key in keys]) == expected


def test_the_work_is_complete_when_every_day_is_monitored_and_every_training_decided() -> None:
    done = {"monitored": set(DAYS)}
    assert find_unfinished(Snapshot(done), DAYS) == []
    assert find_unfinished(Snapshot(done, retrain_days={FIRST}, decided_days={FIRST}), DAYS) == []


def test_what_is_unfinished_names_the_first_day() -> None:
    snapshot = Snapshot({"monitored": {FIRST}}, retrain_days={FIRST})
    assert find_unfinished(snapshot, DAYS) == [
        "2013-04-02 is not monitored (2 of 3 days)",
        "the training asked for on 2013-04-01 is not decided",
    ]


@pytest.mark.parametrize(("values", "expected"), [([], None), ([None], None), ([0.5, None, 1.0], 0.75)])
def test_a_mean_leaves_out_what_is_not_known(values: list[float | None], expected: float | None) -> None:
    assert mean(values) == expected


def test_a_line_of_progress_tells_days_model_and_metrics() -> None:
    snapshot = Snapshot({"ingested": set(DAYS), "scored": {FIRST}}, champion=2, roc_auc=0.7123, cost=0.4)
    line = describe(State("replay", 3, snapshot, active=2))
    assert "ingested 3/3" in line
    assert "scored 1/3" in line
    assert "champion v2, ROC-AUC 0.712, cost 0.400, 2 runs active" in line
