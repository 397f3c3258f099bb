"""How a range of days is cut into chunks."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.domain import DomainError, days_between
from include.dataops.backfill import plan_chunks
from tests.toy_domain.domain import domain

ENDLESS = replace(domain, first_day=date(2020, 1, 1), last_day=None)


def test_a_range_is_cut_at_the_ends_of_months():
    assert plan_chunks(domain, "2020-02-28", "2020-03-02") == [
        {"start": "2020-02-28", "end": "2020-02-29"},
        {"start": "2020-03-01", "end": "2020-03-02"},
    ]


@given(st.integers(0, 800), st.integers(0, 500))
def test_chunks_hold_every_day_once_in_order_and_none_spans_two_months(offset, length):
    start = ENDLESS.first_day + timedelta(days=offset)
    end = start + timedelta(days=length)
    chunks = [
        (date.fromisoformat(chunk["start"]), date.fromisoformat(chunk["end"]))
        for chunk in plan_chunks(ENDLESS, start.isoformat(), end.isoformat())
    ]
    assert [day for chunk in chunks for day in days_between(*chunk)] == days_between(start, end)
    assert all((first.year, first.month) == (last.year, last.month) for first, last in chunks)


@pytest.mark.parametrize(("start", "end"), [("2020-02-25", "2020-02-27"), ("2020-03-02", "2020-03-01")])
def test_a_range_outside_the_calendar_or_backwards_is_refused(start, end):
    with pytest.raises(DomainError, match="calendar"):
        plan_chunks(domain, start, end)
