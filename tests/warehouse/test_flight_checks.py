"""The checks of the flights: real drops pass, and every check notices what it is there for, and nothing else does.

What makes a check answer is read from the page `docs/making-checks-fail.md`, so that the page is true.
"""

import csv
import re
import shutil
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from include.core import warehouse
from include.dataops import preparation, reference
from include.dataops.checks import CONSERVED, scan
from include.dataops.reference import Way
from include.flights.domain import domain
from tests.conftest import use_database
from tests.warehouse.chain import execute, ingest

# Twenty-three drops are behind it, and no holiday is near. Six more are after it, which it must not see.
FIRST, DAY, LAST = date(2013, 1, 1), date(2013, 1, 24), date(2013, 1, 30)
SPAN = (DAY - timedelta(days=13), DAY)  # the longest reach of a statement on the page
PAGE = Path(__file__).parents[2] / "docs" / "making-checks-fail.md"
ENTRY = re.compile(
    r"^#### (?P<name>.+)\n\n(?P<outcome>Halts|Warns)\b(?:(?!^#|^```).*\n)*?```sql\n(?P<statement>[^`]+)```",
    re.MULTILINE,
)
OUTCOMES = {"Halts": "fail", "Warns": "warn"}

# Checks that are named below, or that answer together with another one.
AS_MANY = "away from holidays a day has about as many flights as the same weekday before it"
LISTED_TWICE = "hardly any flight is listed under two numbers"
HOURS = "flights leave at the hours at which they usually do"
MISSING = "nearly every flight of the day before has its outcome"
CLOCK = "every departure is its scheduled time and its delay"
MADE_UP = "flights make up or lose at most half an hour in the mean"
FOLLOWS = "who leaves late arrives late"
FLOWN = "most flights are flown"
LATE = "at most four flights in five are not on time"
OBSERVATIONS = "every day but the first brings between 36 and 80 observations"
STATIONS = "each of the three stations reports nearly every hour"
HUMIDITY = "temperature, dew point and humidity fit together"
NEWEST = "the newest observation is less than three hours older than the drop"
AGAIN = "hardly any observation is one of the hours before once more"
PRESSURE = "the pressure moves on from one hour to the next"
CYCLE = "the day gets warm and cold at the hours at which the sun makes it so"


@dataclass(frozen=True)
class Case:
    """What somebody does to the drop of `:'day'`, and how the check then ends."""

    name: str
    outcome: str
    statement: str


def names_of(source):
    """The names of the checks in a file."""
    sections = yaml.safe_load((domain.folder / "checks" / f"{source}.yml").read_text())
    checks = [check for section, listed in sections.items() if section.startswith("checks for ") for check in listed]
    return [settings["name"] for check in checks for settings in check.values()]


SOURCE_OF = {name: source for source in domain.sources for name in names_of(source.name)}
ON_THE_PAGE = [
    Case(entry["name"], OUTCOMES[entry["outcome"]], entry["statement"]) for entry in ENTRY.finditer(PAGE.read_text())
]

SCHEDULE = ", ".join(domain.source("schedule").names)
AT_LA_GUARDIA = SCHEDULE.replace("origin", "'LGA'")

# Checks with two thresholds and checks with two sides: what the page does not show.
BESIDE_THE_PAGE = [
    Case(name, outcome, f"{statement} where as_of = :'day' and {condition}")
    for name, outcome, statement, condition in (
        (AS_MANY, "warn", "delete from raw.schedule", "mod(line, 5) = 0"),
        (
            "nearly every airport of arrival is known",
            "warn",
            "update raw.schedule set dest = 'X' || left(dest, 2)",
            "mod(line, 12) = 0",
        ),
        (
            "each of the three airports has its usual share of the flights",
            "warn",
            "update raw.schedule set origin = 'JFK'",
            "origin = 'LGA' and mod(line, 5) < 2",
        ),
        (
            HOURS,
            "warn",
            "update raw.schedule set sched_dep_time = sched_dep_time + 500,"
            " sched_arr_time = mod(sched_arr_time + 500, 2400)",
            "sched_dep_time between 600 and 859",
        ),
        (
            "at most one line of the timetable in a hundred is quarantined",
            "warn",
            "update quality.partitions set lines = lines + 4, quarantined_rows = 4",
            "source = 'schedule'",
        ),
        (
            "hardly any flight number leaves from two airports",
            "warn",
            f"insert into raw.schedule (as_of, line, {SCHEDULE}) select as_of, line + 5000,"  # noqa: S608
            f" {AT_LA_GUARDIA} from raw.schedule",
            "origin = 'EWR' and mod(line, 25) = 0",
        ),
        (MISSING, "warn", "delete from raw.actuals", "mod(line, 20) = 0"),
        (
            "at most one line of the outcomes in a hundred is quarantined",
            "warn",
            "update quality.partitions set lines = lines + 4, quarantined_rows = 4",
            "source = 'actuals'",
        ),
        (
            "no aeroplane leaves twice in the same minute",
            "warn",
            "update raw.actuals set tailnum = 'N' || dep_time",
            "dep_time between 600 and 603",
        ),
        (
            "an outcome is cancelled, diverted or complete",
            "warn",
            "update raw.actuals set air_time = null",
            "mod(line, 200) = 0",
        ),
        (CLOCK, "warn", "update raw.actuals set dep_time = mod(dep_time + 100, 2400)", "mod(line, 200) = 0"),
        (
            "nearly every flight that left has arrived",
            "warn",
            "update raw.actuals set arr_delay = null, air_time = null",
            "mod(line, 16) = 0",
        ),
        (
            FLOWN,
            "warn",
            "update raw.actuals set dep_time = null, dep_delay = null, arr_time = null, arr_delay = null,"
            " air_time = null",
            "mod(line, 3) = 0",
        ),
        (
            "hardly any flight arrives to the very minute",
            "warn",
            "update raw.actuals set arr_delay = 0",
            "mod(line, 8) = 0 and arr_delay between -30 and 30",
        ),
        (
            "the newest outcome is less than three hours older than the drop",
            "warn",
            "update raw.actuals set landed_at = landed_at - interval '4 hours'",
            "true",
        ),
        (
            STATIONS,
            "warn",
            "delete from raw.weather",
            "origin = 'LGA' and extract(hour from observed_at) between 10 and 15",
        ),
        (
            "at most one observation in twenty is quarantined",
            "warn",
            "update quality.partitions set lines = lines + 1, quarantined_rows = 1",
            "source = 'weather'",
        ),
        (
            "the air is never beyond saturation and no gust is below the wind",
            "warn",
            "update raw.weather set dewp = temp + 5",
            "mod(line, 24) = 0",
        ),
        (
            "temperature, dew point, humidity, wind, rain and visibility are nearly always measured",
            "warn",
            "update raw.weather set humid = null",
            "mod(line, 10) = 0",
        ),
        (
            "a third of the observations has the pressure",
            "warn",
            "update raw.weather set pressure = null",
            "mod(line, 5) <> 1",
        ),
        (HUMIDITY, "warn", "update raw.weather set humid = humid / 100", "mod(line, 3) = 0"),
        (
            "the temperature is within 35 degrees of the weeks before",  # that day was 22 degrees colder
            "warn",
            "update raw.weather set temp = temp - 5, dewp = dewp - 5",
            "true",
        ),
        (
            "the three stations are about equally warm",
            "warn",
            "update raw.weather set temp = temp + 14, dewp = dewp + 14",
            "origin = 'JFK'",
        ),
        (
            NEWEST,
            "warn",
            "delete from raw.weather",
            "observed_at > (:'day'::date + time '05:00') at time zone 'America/New_York' - interval '5 hours'",
        ),
        (PRESSURE, "warn", "update raw.weather set pressure = pressure + 4.5", "observed_at < :'day'::timestamptz"),
    )
]

# The statements of these do more than one thing wrong.
ALSO = {
    ("every day has between 500 and 1200 flights due", "fail"): {AS_MANY: "fail"},
    (HOURS, "warn"): {LISTED_TWICE: "warn"},
    (HOURS, "fail"): {LISTED_TWICE: "warn"},
    ("every day but the first brings between 500 and 1300 outcomes", "fail"): {MISSING: "fail"},
    (FLOWN, "fail"): {LATE: "warn"},
    ("at least one flight in fifty is not on time", "fail"): {FOLLOWS: "warn"},
    ("delays at departure spread by 8 to 200 minutes", "fail"): {CLOCK: "fail", MADE_UP: "fail"},
    ("the temperature is within 35 degrees of the weeks before", "fail"): {HUMIDITY: "fail"},
    ("the three stations are about equally warm", "fail"): {HUMIDITY: "warn"},
    (NEWEST, "fail"): {STATIONS: "warn"},
    (CYCLE, "fail"): {NEWEST: "warn"},
}


@pytest.fixture(scope="module")
def template(flight_drops, new_database):
    """A warehouse that holds thirty days of flights and the reference tables."""
    name = new_database("template1")
    preparation.create_tables(domain)
    reference.load_files(reference.find_files(domain))
    reference.publish(domain, Way.COPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", flight_drops.as_uri())
        ingest(domain, FIRST, LAST)
    return name


@pytest.fixture
def flights(template, new_database):
    """A copy of that warehouse for one test."""
    return new_database(template)


@pytest.fixture(scope="module")
def workbench(template, new_database):
    """A copy for the statements of one day, which are undone from what lies beside it in the schema `good`."""
    name = new_database(template)
    execute("create schema good")
    for table in ("raw.schedule", "raw.actuals", "raw.weather", "quality.partitions"):
        kept = f"select * from {table} where as_of between %s and %s"  # noqa: S608
        execute(f"create table good.{table.partition('.')[2]} as {kept}", SPAN)
    return name


@pytest.fixture
def spoiled(workbench, postgres):
    """Runs a statement about a source; what it did is undone after the test."""
    use_database(postgres, workbench)
    touched = []

    def spoil(source, statement):
        touched.extend([f"raw.{source.name}", "quality.partitions"])
        return execute(statement.replace(":'day'", f"'{DAY}'"))

    yield spoil
    for table in touched:
        execute(f"delete from {table} where as_of between %s and %s", SPAN)  # noqa: S608
        execute(f"insert into {table} select * from good.{table.partition('.')[2]}")  # noqa: S608


def verdicts(start, end=None, sources=domain.sources):
    """The checks of the files that did not pass, and how they ended."""
    found = scan(replace(domain, sources=sources), start, end or start)
    return {result.name: result.outcome for result in found if result.outcome != "pass" and result.name != CONSERVED}


@pytest.mark.parametrize(
    "case", [*ON_THE_PAGE, *BESIDE_THE_PAGE], ids=lambda case: f"{case.name}: {case.outcome}".replace(" ", "_")
)
def test_a_check_notices_what_it_is_there_for_and_no_other_does(spoiled, case):
    source = SOURCE_OF[case.name]
    assert spoiled(source, case.statement) > 0
    assert verdicts(DAY, sources=(source,)) == {case.name: case.outcome} | ALSO.get((case.name, case.outcome), {})


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("every day has between 500 and 1200 flights due", {AS_MANY, LISTED_TWICE}),
        (
            "every day but the first brings between 500 and 1300 outcomes",
            {"every outcome belongs to a flight that was due", "no aeroplane leaves twice in the same minute"},
        ),
    ],
)
def test_a_drop_that_holds_every_flight_under_two_numbers_is_halted(spoiled, name, also):
    source = SOURCE_OF[name]
    columns = ", ".join(source.names)
    spoiled(
        source,
        f"insert into raw.{source.name} (as_of, line, {columns}) select as_of, line + 5000,"  # noqa: S608
        f" {columns.replace('flight,', 'flight + 9000,')} from raw.{source.name} where as_of = :'day'",
    )
    assert verdicts(DAY, sources=(source,)) == dict.fromkeys([name, *also], "fail")


def test_every_check_is_on_the_page_once_and_nothing_else_is(flights):
    assert sorted(case.name for case in ON_THE_PAGE) == sorted(SOURCE_OF)
    results = scan(domain, DAY, DAY)
    assert sorted((result.source, result.name) for result in results if result.name != CONSERVED) == sorted(
        (source.name, name) for name, source in SOURCE_OF.items()
    )


def test_the_first_day_of_the_checks_is_that_of_the_calendar():
    files = "".join((domain.folder / "checks" / f"{source.name}.yml").read_text() for source in domain.sources)
    assert set(re.findall(r"'(\d{4}-\d\d-\d\d)'", files)) == {domain.first_day.isoformat()}
    assert set(re.findall(r"time '(.+?)'\) at time zone '(.+?)'", files)) == {
        (f"{domain.drop_at:%H:%M}", domain.timezone)
    }


def test_thirty_real_days_pass_in_one_scan_and_each_alone(flights):
    assert verdicts(FIRST, LAST) == {}
    for day in (FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=7), LAST):
        assert verdicts(day) == {}


def test_what_comes_after_a_day_changes_no_verdict_of_it(flights):
    before = scan(domain, DAY, DAY)
    for damage in (
        "update raw.schedule set origin = 'JFK', sched_dep_time = 2359, distance = 1 where as_of > %s",
        "update raw.actuals set arr_delay = 999, dep_time = 1, flight_date = as_of - 3 where as_of > %s",
        "update raw.weather set temp = 100 - temp, pressure = line, wind_speed = 0 where as_of > %s",
        "update quality.partitions set raw_rows = 0, quarantined_rows = lines where as_of > %s",
    ):
        assert execute(damage, (DAY,)) > 0
    assert scan(domain, DAY, DAY) == before
    for source in domain.sources:
        execute(f"delete from raw.{source.name} where as_of > %s", (DAY,))  # noqa: S608
    assert scan(domain, DAY, DAY) == before


@pytest.mark.parametrize("days_before", [0, 1, 6])
def test_a_day_with_few_or_no_days_before_it_passes(flights, days_before):
    for table in ("raw.schedule", "raw.actuals", "raw.weather", "quality.partitions"):
        execute(f"delete from {table} where as_of < %s", (DAY - timedelta(days=days_before),))  # noqa: S608
    assert verdicts(DAY) == {}


def test_a_bad_day_fails_its_range_and_no_other_day_of_it(flights):
    execute("delete from raw.weather where as_of = %s and mod(line, 3) > 0", (DAY,))
    expected = {OBSERVATIONS: "fail", STATIONS: "fail"}
    assert expected.items() <= verdicts(DAY).items()
    assert expected.items() <= verdicts(FIRST, LAST).items()
    assert verdicts(DAY - timedelta(days=1)) == verdicts(DAY + timedelta(days=1)) == {}


def shift(hours, days, last=DAY, rotated=False):
    """Label the weather of the `days` drops up to `last` some hours late; early when negative.

    Either upstream labels a stream wrongly and cuts its drops by that label, so that they are full; or it moves the
    hours within each drop, and what falls out at its end comes in again at its beginning.
    """
    begin = "((as_of - 1 + time '05:00') at time zone 'America/New_York')"
    hour = f"mod((extract(epoch from observed_at - {begin}) / 3600)::integer + %(hours)s + 24, 24)"
    label = (
        f"{begin} + make_interval(hours => {hour})" if rotated else "observed_at + make_interval(hours => %(hours)s)"
    )
    columns = ", ".join(name for name in domain.source("weather").names if name != "observed_at")
    values = {"hours": hours, "first": last - timedelta(days=days - 1), "last": last}
    with warehouse.transaction() as cursor:
        cursor.execute(
            f"create temporary table labelled on commit drop as select {columns}, {label} as observed_at"  # noqa: S608
            " from raw.weather where as_of between %(first)s - 1 and %(last)s::date + 1",
            values,
        )
        cursor.execute("delete from raw.weather where as_of between %(first)s and %(last)s", values)
        cursor.execute(
            f"insert into raw.weather (as_of, line, {columns}, observed_at)"  # noqa: S608
            f" select as_of, row_number() over (partition by as_of), {columns}, observed_at from"
            " (select *, (observed_at at time zone 'America/New_York' + interval '19 hours')::date as as_of"
            " from labelled) as drops where as_of between %(first)s and %(last)s",
            values,
        )


@pytest.mark.parametrize("rotated", [False, True], ids=["relabelled", "rotated"])
@pytest.mark.parametrize("hours", [-5, -4, -3, 3, 4, 5, 12])
def test_observations_some_hours_off_halt_the_day_within_a_week(flights, hours, rotated):
    shift(hours, days=7, rotated=rotated)
    found = verdicts(DAY, sources=(domain.source("weather"),))
    assert found.pop(CYCLE) == "fail"
    assert set(found) <= {PRESSURE}


def test_observations_one_hour_off_are_warned_of(flights):
    shift(1, days=14, last=LAST)
    assert verdicts(LAST, sources=(domain.source("weather"),)) == {CYCLE: "warn"}


def test_the_first_drop_with_late_labels_begins_with_what_the_one_before_ended_with(flights):
    shift(4, days=1)
    assert verdicts(DAY, sources=(domain.source("weather"),)) == {AGAIN: "fail"}


@pytest.mark.parametrize("hours", [-5, 4])
def test_times_of_another_zone_in_a_drop_are_out_of_its_interval_and_halt_it_at_once(
    flights, flight_drops, tmp_path, monkeypatch, hours
):
    folder = tmp_path / DAY.isoformat()
    shutil.copytree(flight_drops / DAY.isoformat(), folder)
    header, *lines = csv.reader((folder / "weather.csv").read_text().splitlines())
    at = header.index("observed_at")
    for line in lines:
        line[at] = (datetime.fromisoformat(line[at]) + timedelta(hours=hours)).isoformat()
    with (folder / "weather.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    monkeypatch.setenv("LANDING_URI", tmp_path.as_uri())
    ingest(domain, DAY)
    found = verdicts(DAY, sources=(domain.source("weather"),))
    assert found["at most one observation in twenty is quarantined"] == "fail"
