"""The flights on a real Postgres, with the real feed: ten days from the drop to the features."""

import csv
import re
import shutil
from contextlib import contextmanager
from datetime import date, timedelta

import pytest

from include.core.domain import LABELS, days_between
from include.core.feature_view import Kind
from include.dataops import feature_build, feature_store, preparation, reference
from include.dataops.quality import FailedChecksError
from include.dataops.reference import Way
from include.flights.domain import domain
from tests.warehouse.chain import RUN, build, check, checksum, execute, feature_checksums, ingest, rows, value, vouch

FIRST, LAST = date(2013, 1, 1), date(2013, 1, 10)
DAYS = days_between(FIRST, LAST)


@pytest.fixture(scope="module")
def template(flight_drops, new_database):
    """A warehouse that holds ten checked days of flights and the reference tables."""
    name = new_database("template1")
    preparation.create_tables(domain)
    reference.load_files(reference.find_files(domain))
    reference.publish(domain, Way.COPY)
    with landing(flight_drops):
        ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, LAST)
    return name


@pytest.fixture
def flights(template, new_database, flight_drops):
    """A copy of that warehouse for one test."""
    new_database(template)
    with landing(flight_drops):
        yield flight_drops


@contextmanager
def landing(zone):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", zone.as_uri())
        yield


@pytest.fixture
def one_day(flights, tmp_path):
    """A landing zone with one day that a test may spoil."""
    with landing(tmp_path):
        shutil.copytree(flights / "2013-01-05", tmp_path / "2013-01-05")
        yield tmp_path / "2013-01-05"


def test_every_line_of_the_feed_is_in_raw_and_none_in_quarantine(flights):
    for source in domain.sources:
        lines = sum(
            len((flights / day.isoformat() / f"{source.name}.csv").read_text().splitlines()) - 1 for day in DAYS
        )
        assert value(f"select count(*) from raw.{source.name}") == lines > 0  # noqa: S608
    assert value("select count(*) from quarantine.rows") == 0


def test_the_real_drops_pass_their_checks_and_a_thin_one_is_halted(flights):
    check(domain, FIRST, LAST)
    assert rows("select distinct state from quality.partitions") == [("checked",)]
    execute("delete from raw.schedule where as_of = '2013-01-04' and carrier in ('UA', 'B6', 'EV', 'DL', 'AA', 'MQ')")
    with pytest.raises(FailedChecksError, match=r"2013-01-04: .*every day has between 500 and 1200 flights due"):
        check(domain, date(2013, 1, 3), date(2013, 1, 4))
    failed = rows("select as_of, source from quality.partitions where state <> 'checked' order by 1, 2")
    assert (date(2013, 1, 4), "schedule") in failed
    assert {day for day, _ in failed} == {date(2013, 1, 4)}


def test_airports_that_nobody_knows_halt_the_day(flights):
    execute("update raw.schedule set dest = lower(dest) where as_of = %s", (FIRST,))
    with pytest.raises(FailedChecksError, match="nearly every airport of arrival is known"):
        check(domain, FIRST)


def test_an_outcome_of_a_flight_that_was_never_due_halts_the_day(flights):
    assert execute("delete from raw.schedule where as_of = '2013-01-02' and carrier = 'HA'") == 1
    with pytest.raises(FailedChecksError, match="every outcome belongs to a flight that was due"):
        check(domain, date(2013, 1, 3))


def test_what_came_on_the_day_does_change_its_features(flights):
    build(domain, LAST)
    before = feature_checksums(domain)
    execute("update raw.actuals set arr_delay = 999 where as_of = %s", (LAST,))
    build(domain, LAST)
    changed = {name for name, found in feature_checksums(domain).items() if found != before[name]}
    from_outcomes = {view.name for view in domain.views if "late_rate" in view.features[-1].name}
    assert changed == from_outcomes | {view.name for view in domain.built_views if view.kind is not Kind.FEATURES}


def test_every_flight_that_is_due_has_one_row_with_the_features_of_all_views(flights):
    build(domain, FIRST, LAST)
    keys, features = feature_store.training_set(domain, LAST, LAST, labels=False).frames()
    assert (
        len(keys) == keys["entity_id"].nunique() == value("select count(*) from raw.schedule where as_of = %s", (LAST,))
    )
    complete = [name for name in features if name.endswith(("_rate_28d", "_rate_7d", "distance", "hour", "temp"))]
    assert not features[complete].isna().any().any()


def test_a_history_feature_is_the_smoothed_share_of_the_last_drops(flights):
    build(domain, LAST)
    since = LAST - timedelta(days=6)
    expected = rows(
        "select carrier, (count(*) filter (where arr_delay is null or arr_delay >= 15) + 0.25 * 25) / (count(*) + 25.0)"
        " from raw.actuals where as_of between %s and %s group by 1",
        (since, LAST),
    )
    found = dict(rows("select carrier, carrier_late_rate_7d from features.carrier_history"))
    assert {name: pytest.approx(float(share)) for name, share in expected if name in found} == found


def test_a_label_is_an_arrival_fifteen_minutes_late_or_none_at_all(flights):
    feature_build.build(domain, [LABELS], FIRST, LAST, RUN)
    found = rows("select carrier, flight, origin, label from features.labels where event_day = %s", (FIRST,))
    labels = {tuple(key): label for *key, label in found}
    outcomes = rows("select carrier, flight, origin, arr_delay from raw.actuals where flight_date = %s", (FIRST,))
    assert labels == {tuple(key): delay is None or delay >= 15 for *key, delay in outcomes}
    assert len(labels) == len(found) == 842


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("schedule", "2013-01-05,UA,1545,EWR,IAH,1400,5:15,819", "sched_dep_time is not a whole number"),
        ("schedule", "2013-01-06,UA,1545,EWR,IAH,1400,515,819", "flight_date is after the day of the drop"),
        ("schedule", "2013-01-05,,1545,EWR,IAH,0,515,819", "carrier is missing; distance is below 1"),
        (
            "actuals",
            "2013-01-04,UA,1545,EWR,IAH,515,517,2,830,11,227,N14228,2013-01-05T12:00:00+00:00",
            "landed_at is after the drop",
        ),
        (
            "actuals",
            "2013-01-06,UA,1545,EWR,IAH,515,517,2,830,11,227,N14228,2013-01-05T09:00:00+00:00",
            "flight_date is after the day of the drop",
        ),
        (
            "actuals",
            "yesterday,UA,1545,EWR,IAH,515,517,2,830,11,227,N14228,2013-01-05T09:00:00+00:00",
            "flight_date is not a date (YYYY-MM-DD)",
        ),
        ("schedule", "today,UA,1545,EWR,IAH,1400,515,819", "flight_date is not a date (YYYY-MM-DD)"),
        (
            "weather",
            "EWR,-infinity,39,26,59,270,10,,0,1012,10",
            "observed_at is not a moment with its offset (YYYY-MM-DDTHH:MM+00:00)",
        ),
        ("weather", "EWR,2013-01-05T12:00:00Z,39,26,59,270,10,,0,1012,10", "observed_at is after the drop"),
        ("weather", "EWR,2013-01-05T03:30:00Z,cold,26,59,270,10,,0,1012,10", "temp is not a number"),
    ],
)
def test_a_line_that_cannot_be_right_goes_into_quarantine_with_its_reason(one_day, source, line, reason):
    file = one_day / f"{source}.csv"
    file.write_text(f"{file.read_text()}{line}\n")
    counts = ingest(domain, date(2013, 1, 5))[source]
    assert rows("select source, reason from quarantine.rows") == [(source, reason)]
    assert counts["quarantined_rows"] == 1
    assert counts["lines"] == counts["raw_rows"] + 1


@pytest.mark.parametrize(
    ("source", "column", "old", "new"),
    [
        ("schedule", "flight", r"^", "0"),
        ("actuals", "flight", r"^", " "),
        ("actuals", "landed_at", r"\+00:00$", "Z"),
        ("weather", "observed_at", r"Z$", ".0+00"),
    ],
)
def test_a_key_that_is_repeated_in_another_spelling_is_repeated_all_the_same(one_day, source, column, old, new):
    file = one_day / f"{source}.csv"
    header, first, *_ = csv.reader(file.read_text().splitlines())
    at = header.index(column)
    again = [*first[:at], re.sub(old, new, first[at]), *first[at + 1 :]]
    assert again != first
    file.write_text(file.read_text() + ",".join(again) + "\n")
    counts = ingest(domain, date(2013, 1, 5))[source]
    assert counts["quarantined_rows"] == 1
    assert value("select reason from quarantine.rows") == "line 1 has the same key"


def test_loading_ten_days_again_leaves_the_same_rows(flights):
    before = [checksum("raw", source.name) for source in domain.sources]
    ingest(domain, FIRST, LAST)
    assert [checksum("raw", source.name) for source in domain.sources] == before
