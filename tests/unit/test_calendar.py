"""The as-of day of a run, and the days on which runs are made."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from include.core.calendar import as_of_day, head_bounds
from include.core.errors import DomainError
from tests.toy_domain.domain import domain


def test_a_partition_key_is_a_day():
    assert as_of_day("2020-02-29") == date(2020, 2, 29)


@pytest.mark.parametrize("key", ["2020-02-30", "2020-02-29T04:30:00", "yesterday", ""])
def test_a_key_that_is_not_a_day_is_refused_with_the_way_to_write_it(key):
    with pytest.raises(DomainError, match="YYYY-MM-DD"):
        as_of_day(key)


def test_a_run_without_a_key_is_told_how_to_get_one():
    with pytest.raises(DomainError, match="airflow backfill create --dag-id ingest_sources"):
        as_of_day(None)


def test_the_head_starts_with_the_first_drop_and_ends_right_after_the_last():
    bounds = head_bounds(domain)
    assert bounds["start_date"].astimezone(UTC) == datetime(2020, 2, 26, 3, 30, tzinfo=UTC)
    last_drop = datetime(2020, 3, 8, 3, 30, tzinfo=UTC)
    assert last_drop < bounds["end_date"].astimezone(UTC) < last_drop + timedelta(hours=1)


def test_a_calendar_without_an_end_gives_the_head_none():
    assert "end_date" not in head_bounds(replace(domain, last_day=None))
