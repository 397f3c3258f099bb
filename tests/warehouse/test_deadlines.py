"""A run that is at work after its deadline raises one alert, of the day that it is about; any other run raises none."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from include.core import warehouse
from include.core.deadlines import alert_late_run


def passed(state: str = "running", partition_key: str | None = "2020-03-03", conf: dict | None = None) -> list[tuple]:
    """Call the callback as Airflow does, with a run as its API shows it; returns what is kept then."""
    asyncio.run(
        alert_late_run(
            {
                "dag_run": {
                    "dag_run_id": "a run",
                    "dag_id": "score_batch",
                    "state": state,
                    "partition_key": partition_key,
                    "conf": conf,
                    "queued_at": "2026-05-04T03:00:00Z",
                    "run_after": "2026-05-04T02:59:00Z",
                },
                "deadline": {"id": "1", "deadline_time": datetime(2026, 5, 4, 7, 0, tzinfo=UTC)},
            }
        )
    )
    with warehouse.transaction() as cursor:
        cursor.execute("select as_of, kind, subject, message, next_step <> '' from ml.alerts")
        return cursor.fetchall()


def test_a_run_that_is_at_work_is_late(toy_warehouse):
    message = "The run a run is not done 4:00:00 after it was queued."
    assert passed() == [(date(2020, 3, 3), "late", "score_batch", message, True)]


@pytest.mark.parametrize("state", ["queued", "success", "failed"])
def test_a_run_that_is_done_or_stands_in_line_is_not(toy_warehouse, state):
    assert passed(state) == []


@pytest.mark.parametrize(
    ("conf", "expected"),
    [({"since": "2020-03-01"}, date(2020, 3, 1)), ({}, date(2026, 5, 4)), (None, date(2026, 5, 4))],
)
def test_a_late_run_by_hand_is_filed_under_the_day_it_names(toy_warehouse, conf, expected):
    assert [row[0] for row in passed(partition_key=None, conf=conf)] == [expected]
