"""The drops that the sample feed cuts from the year of flights: nothing lost, and nothing known too early."""

import csv
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import ObjectStoragePath

from include.dataops.reference import find_files
from include.flights.domain import domain
from include.flights.feed import write_drops

ZONE = ZoneInfo(domain.timezone)
FLIGHTS_OF_THE_YEAR = 336_776
CANCELLED = 8_255
OBSERVATIONS = 26_115
CLOCK_CHANGE = timedelta(hours=1)
KEY = ("flight_date", "carrier", "flight", "origin")
ONLY_KNOWN_AFTERWARDS = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum", "landed_at"}


def lines(landing: Path, source: str, *columns: str) -> list[tuple[date, list[str]]]:
    """(as-of day, these columns) of every line of every drop, in order."""
    found = []
    for folder in sorted(landing.iterdir()):
        with (folder / f"{source}.csv").open() as file:
            reader = csv.reader(file)
            header = next(reader)
            at = [header.index(column) for column in columns]
            day = date.fromisoformat(folder.name)
            found += [(day, [row[n] for n in at]) for row in reader]
    return found


@pytest.fixture(scope="module")
def due(flight_drops):
    return lines(flight_drops, "schedule", *KEY)


@pytest.fixture(scope="module")
def landed(flight_drops):
    return lines(flight_drops, "actuals", *KEY, "sched_dep_time", "dep_delay", "landed_at")


@pytest.fixture(scope="module")
def drop_moments(flight_drops):
    """The moment of every drop."""
    days = [date.fromisoformat(folder.name) for folder in flight_drops.iterdir()]
    return {day: datetime.combine(day, domain.drop_at, ZONE).astimezone(UTC) for day in days}


def test_every_flight_of_the_year_is_due_once_on_its_own_day(due):
    keys = Counter(tuple(key) for _, key in due)
    assert len(keys) == keys.total() == FLIGHTS_OF_THE_YEAR
    assert all(key[0] == day.isoformat() for day, key in due)


def test_every_outcome_lands_once_those_after_the_end_of_the_year_included(due, landed):
    assert Counter(tuple(row[:4]) for _, row in landed) == Counter(tuple(key) for _, key in due)
    assert sum(day > domain.last_day for day, _ in landed) > 0


def test_an_outcome_comes_in_the_first_drop_after_it_landed(landed, drop_moments):
    for day, row in landed:
        moment = datetime.fromisoformat(row[-1])
        assert moment < drop_moments[day]
        assert day == domain.first_day or drop_moments[day - timedelta(days=1)] <= moment


def test_no_outcome_is_known_before_the_flight_left(landed):
    midnights = {}
    for _, (flight_date, _, _, _, scheduled, delay, landed_at) in landed:
        if flight_date not in midnights:
            midnights[flight_date] = datetime.fromisoformat(flight_date).replace(tzinfo=ZONE).astimezone(UTC)
        hours, minutes = divmod(int(scheduled), 100)
        left = midnights[flight_date] + timedelta(hours=hours, minutes=minutes + int(delay or 0))
        # Clocks change twice a year, between midnight and the first flight.
        assert datetime.fromisoformat(landed_at) >= left - CLOCK_CHANGE


def test_the_timetable_says_nothing_of_how_the_flights_went(flight_drops):
    header = (flight_drops / "2013-01-01" / "schedule.csv").read_text().splitlines()[0].split(",")
    assert tuple(header) == domain.source("schedule").names
    assert not ONLY_KNOWN_AFTERWARDS & set(header)


def test_the_order_of_the_timetable_does_not_tell_who_left_first(due):
    by_day: dict[date, list[tuple[str, str, str]]] = {}
    for day, (_, carrier, flight, origin) in due:
        by_day.setdefault(day, []).append((origin, carrier, flight))
    assert len(by_day) == 365
    assert all(found == sorted(found) for found in by_day.values())


def test_outcomes_come_in_the_order_in_which_they_landed(landed):
    found = [(day, row[-1]) for day, row in landed]
    assert found == sorted(found)


def test_a_missing_value_is_empty_and_never_a_word(flight_drops, landed):
    assert sum(delay == "" for _, (*_, delay, _) in landed) == CANCELLED
    for file in flight_drops.glob("*/*.csv"):
        assert not re.search(rb"(^|,)NA(,|$)", file.read_bytes(), flags=re.MULTILINE), file


def test_weather_is_observed_before_the_drop_that_brings_it(flight_drops, drop_moments):
    seen = lines(flight_drops, "weather", "observed_at")
    assert len(seen) == OBSERVATIONS
    assert all(datetime.fromisoformat(moment) < drop_moments[day] for day, (moment,) in seen)


def test_a_drop_that_lies_there_is_left_alone(tmp_path):
    day = date(2013, 1, 1)
    (tmp_path / day.isoformat()).mkdir()
    for source in domain.sources:
        (tmp_path / day.isoformat() / f"{source.name}.csv").write_text("corrected upstream")
    assert write_drops(ObjectStoragePath(tmp_path.as_uri()), day, day) == 0
    assert (tmp_path / day.isoformat() / "schedule.csv").read_text() == "corrected upstream"


def test_every_reference_file_is_a_table_with_the_declared_columns_and_no_others():
    for reference in domain.reference:
        with Path(find_files(domain)[reference.name]).open() as file:
            header, *lines = csv.reader(file)
        assert header == [column.name for column in reference.columns]
        assert len(lines) > 10
