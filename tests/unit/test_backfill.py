"""How a range of days is cut into chunks, and what is refused before the warehouse is asked."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.domain import days_between
from include.core.errors import DomainError
from include.dataops.backfill import cut, plan
from tests.toy_domain.domain import domain

ENDLESS = replace(domain, first_day=date(2020, 1, 1), last_day=None)


def test_a_range_is_cut_at_the_ends_of_months():
    assert cut(domain, "2020-02-28", "2020-03-02") == [
        (date(2020, 2, 28), date(2020, 2, 29)),
        (date(2020, 3, 1), date(2020, 3, 2)),
    ]


@given(st.integers(0, 800), st.integers(0, 500))
def test_chunks_hold_every_day_once_in_order_and_none_spans_two_months(offset, length):
    start = ENDLESS.first_day + timedelta(days=offset)
    end = start + timedelta(days=length)
    chunks = cut(ENDLESS, start.isoformat(), end.isoformat())
    assert [day for chunk in chunks for day in days_between(*chunk)] == days_between(start, end)
    assert all((first.year, first.month) == (last.year, last.month) for first, last in chunks)


def test_one_day_is_one_chunk_and_the_leap_day_belongs_to_february():
    assert cut(domain, "2020-02-29", "2020-02-29") == [(date(2020, 2, 29), date(2020, 2, 29))]


@pytest.mark.parametrize(
    ("start", "end", "views", "told"),
    [
        ("2020-02-25", "2020-02-27", [], "2020-02-25 to 2020-02-27 is not inside the calendar of toy"),
        ("2020-03-07", "2020-03-09", [], r"not inside the calendar of toy \(2020-02-26 to 2020-03-08\)"),
        ("2020-03-02", "2020-03-01", [], "2020-03-02 to 2020-03-01 is not inside the calendar of toy"),
        ("2020-02-30", "2020-03-02", [], "start is '2020-02-30' and end is '2020-03-02'. Give both as days YYYY-MM-DD"),
        ("yesterday", "2020-03-02", [], "YYYY-MM-DD"),
        ("2020-03-01", "", [], "YYYY-MM-DD"),
        ("", "", ["labels"], "start is '' and end is ''. Give both as days YYYY-MM-DD"),
        (
            "2020-03-01",
            "2020-03-02",
            ["labels", "ward_histories"],
            "no feature view 'ward_histories'; there are .*labels",
        ),
    ],
)
def test_what_is_no_range_or_no_view_is_refused_in_words(start, end, views, told):
    with pytest.raises(DomainError, match=told):
        plan(domain, start, end, views, rebuild=False)
