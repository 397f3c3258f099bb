"""Checks with Soda Core: a bad day is halted and named, its neighbours are not."""

import gc
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.core import ledger, warehouse
from include.core.domain import Column, Source, days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError, Passage
from include.dataops import preparation, quality
from include.dataops.checks import CONSERVED
from include.dataops.quality import FailedChecksError, Waiver, check_days
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import RUN, check, execute, ingest, rows, value

DAY = date(2020, 2, 29)
START, END = date(2020, 2, 27), date(2020, 3, 2)
DAYS = days_between(START, END)
VOLUME = "every day has at least six visits"
AGE = "every age is one that people reach"


def thin_out(zone: Path, day: date, visits: int = 5) -> None:
    """Leave only so many visits in the drop of a day."""
    (zone / day.isoformat() / "visits.csv").write_text(as_csv(rows_of(day)[:visits]))


def states() -> dict[date, str]:
    return dict(rows("select as_of, state from quality.partitions"))


def test_a_good_day_is_checked_and_the_ledger_says_that_it_came_down_the_chain(toy_warehouse):
    ingest(domain, DAY)
    check(domain, DAY)
    assert states() == {DAY: "checked"}
    assert rows("select state, detail from quality.stages where stage = 'checked'") == [("done", {"by": "chain"})]
    assert set(rows("select outcome from quality.check_results")) == {("pass",)}
    assert value("select count(*) from quality.check_results") == 5


def test_a_day_that_fails_a_check_is_marked_and_its_checks_are_named(toy_warehouse):
    thin_out(toy_warehouse, DAY)
    ingest(domain, DAY)
    with pytest.raises(FailedChecksError, match=f"{DAY}: visits: {VOLUME}\\."):
        check(domain, DAY)
    assert states() == {DAY: "failed"}
    assert rows("select state from quality.stages where stage = 'checked'") == [("failed",)]
    assert rows("select check_name from quality.check_results where outcome = 'fail'") == [(VOLUME,)]
    ((day, kind, subject, message),) = rows("select as_of, kind, subject, message from ml.alerts")
    assert (day, kind) == (DAY, "check_fail")
    assert "visits" in subject
    assert VOLUME in message


def test_a_warning_raises_an_alert_and_the_day_goes_on(toy_warehouse):
    file = toy_warehouse / DAY.isoformat() / "visits.csv"
    file.write_text(as_csv([*rows_of(DAY), ["v9", "north", 50, DAY - timedelta(days=1), 181]]))
    ingest(domain, DAY)
    check(domain, DAY)
    assert states() == {DAY: "checked"}
    ((kind, message),) = rows("select kind, message from ml.alerts")
    assert kind == "check_warn"
    assert "no visit takes longer than three hours" in message


def test_each_check_that_fails_raises_an_alert_of_its_own(toy_warehouse):
    file = toy_warehouse / DAY.isoformat() / "visits.csv"
    file.write_text(as_csv([["v9", "north", 121, DAY, ""]]))
    ingest(domain, DAY)
    for _ in range(2):
        with pytest.raises(FailedChecksError):
            check(domain, DAY)
    assert value("select count(*) from ml.alerts where kind = 'check_fail'") == 2


def test_a_drop_that_is_mostly_quarantined_is_halted(toy_warehouse):
    file = toy_warehouse / DAY.isoformat() / "visits.csv"
    file.write_text(as_csv([*rows_of(DAY), *([["", "", "", "", ""]] * 5)]))
    ingest(domain, DAY)
    with pytest.raises(FailedChecksError, match="at most one line in five is quarantined"):
        check(domain, DAY)


def test_a_value_out_of_its_range_is_halted(toy_warehouse):
    file = toy_warehouse / DAY.isoformat() / "visits.csv"
    file.write_text(as_csv([*rows_of(DAY), ["v9", "north", 121, DAY, ""]]))
    ingest(domain, DAY)
    with pytest.raises(FailedChecksError, match=AGE):
        check(domain, DAY)


@pytest.mark.parametrize("bad", [[START], [DAY], [END], [DAY, END]], ids=lambda bad: f"{bad[-1]}")
def test_a_bad_day_does_not_take_the_other_days_of_its_range_along(toy_warehouse, bad):
    for day in bad:
        thin_out(toy_warehouse, day)
    ingest(domain, START, END)
    with pytest.raises(FailedChecksError) as error:
        check(domain, START, END)
    assert {day for day, state in states().items() if state == "failed"} == set(bad)
    assert {day for day, state in states().items() if state == "checked"} == set(states()) - set(bad)
    assert {day.isoformat() for day in states() if day.isoformat() in str(error.value)} == {str(day) for day in bad}


def test_a_good_range_is_checked_in_one_scan_and_replaces_what_was_found_before(toy_warehouse):
    ingest(domain, START, END)
    check(domain, DAY)
    check(domain, START, END)
    assert set(states().values()) == {"checked"}
    assert set(rows("select first_day, as_of from quality.check_results")) == {(START, END)}


def test_a_corrected_day_passes_and_nothing_of_the_failure_is_left_in_its_results(toy_warehouse):
    thin_out(toy_warehouse, DAY)
    ingest(domain, DAY)
    with pytest.raises(FailedChecksError):
        check(domain, DAY)
    (toy_warehouse / DAY.isoformat() / "visits.csv").write_text(as_csv(rows_of(DAY)))
    ingest(domain, DAY)
    check(domain, DAY)
    assert states() == {DAY: "checked"}
    assert set(rows("select outcome from quality.check_results")) == {("pass",)}
    assert rows("select state from quality.stages where stage = 'checked'") == [("done",)]


WAIVER = Waiver("ada", "nobody came")


def test_a_person_accepts_a_failed_day_and_it_is_recorded_who_and_why(toy_warehouse):
    thin_out(toy_warehouse, DAY)
    ingest(domain, DAY)
    check_days(domain, DAY, DAY, RUN, Passage.CHAIN, WAIVER)
    assert states() == {DAY: "waived"}
    assert rows("select waived_by, reason, checks from quality.waivers") == [("ada", "nobody came", [VOLUME])]
    assert rows("select state, detail from quality.stages where stage = 'checked'") == [("waived", {"by": "chain"})]
    assert value("select outcome from quality.check_results where check_name = %s", (VOLUME,)) == "fail"
    assert "nobody came" in value("select message from ml.alerts where kind = 'waived'")
    with warehouse.transaction() as cursor:
        assert ledger.undecided_before(cursor, DAY + timedelta(days=1)) == f"{DAY} is not monitored yet"
        assert ledger.unusable_days(cursor, ["visits"], DAY, DAY) == []


def test_a_waiver_counts_for_the_file_that_it_was_given_for(toy_warehouse):
    thin_out(toy_warehouse, DAY)
    ingest(domain, DAY)
    check_days(domain, DAY, DAY, RUN, Passage.CHAIN, WAIVER)
    ingest(domain, DAY)
    check(domain, DAY)
    assert states() == {DAY: "waived"}
    thin_out(toy_warehouse, DAY, 4)
    ingest(domain, DAY)
    with pytest.raises(FailedChecksError):
        check(domain, DAY)
    assert states() == {DAY: "failed"}


def test_a_waiver_for_a_day_without_a_failure_changes_nothing(toy_warehouse):
    ingest(domain, DAY)
    check_days(domain, DAY, DAY, RUN, Passage.CHAIN, WAIVER)
    assert states() == {DAY: "checked"}
    assert rows("select * from quality.waivers") == []


def test_a_waiver_without_a_reason_is_refused_and_none_is_asked_for_by_default():
    with pytest.raises(DomainError, match="needs a reason"):
        Waiver.from_params({"waive": True, "reason": "  "}, "ada")
    assert Waiver.from_params({"waive": False, "reason": "so"}, "ada") is None
    assert Waiver.from_params({"waive": True, "reason": " so "}, "ada") == Waiver("ada", "so")


def test_a_day_that_is_not_ingested_is_not_checked_but_named(toy_warehouse):
    ingest(domain, START)
    with pytest.raises(NotReadyError, match=f"the first is {DAY} of visits"):
        check(domain, DAY)
    assert value("select count(*) from quality.check_results") == 0


@pytest.mark.parametrize(
    "damage",
    [
        "delete from raw.visits where as_of = %s and line = 2",
        "update quality.partitions set lines = lines + 1, raw_rows = raw_rows + 1 where as_of = %s",
        "insert into quarantine.rows select 'visits', %s, 99, 'a reason', '{}'",
    ],
    ids=["a row lost from raw", "a line more than rows", "a row too much in quarantine"],
)
def test_a_line_that_is_neither_in_raw_nor_in_quarantine_halts_the_day(toy_warehouse, damage):
    ingest(domain, START, END)
    execute(damage, (DAY,))
    with pytest.raises(FailedChecksError, match=CONSERVED):
        check(domain, START, END)
    assert {day for day, state in states().items() if state == "failed"} == {DAY}


def test_a_check_that_cannot_run_halts_the_day_as_a_failed_one_does(toy_warehouse, tmp_path):
    folder = tmp_path / "domain"
    shutil.copytree(domain.folder, folder)
    checks = folder / "checks" / "visits.yml"
    checks.write_text(checks.read_text().replace("from raw.visits", "from raw.visits_gone"))
    ingest(domain, DAY)
    with pytest.raises((FailedChecksError, RuntimeError)):
        check(replace(domain, folder=folder), DAY)
    assert states()[DAY] != "checked"


@pytest.mark.parametrize(("start", "end"), [(DAY, DAY), (START, END)], ids=["a day", "a range"])
def test_a_drop_that_is_replaced_while_it_is_checked_gets_no_verdict_and_no_waiver(
    toy_warehouse, monkeypatch, start, end
):
    thin_out(toy_warehouse, DAY)
    ingest(domain, start, end)
    scan = quality.scan

    def replace_meanwhile(*arguments):
        results = scan(*arguments)
        thin_out(toy_warehouse, DAY, 4)
        ingest(domain, DAY)
        return results

    with monkeypatch.context() as patch, pytest.raises(NotReadyError, match="loaded again while it was checked"):
        patch.setattr(quality, "scan", replace_meanwhile)
        check_days(domain, start, end, RUN, Passage.CHAIN, WAIVER)
    assert set(states().values()) == {"loaded"}
    assert rows("select * from quality.waivers") == []
    assert rows("select * from quality.check_results") == []


# Each source has its own sequence for each interval, and a scan moves it on: that is kept when the scan rolls back.
COUNTED = """
  - scans:
      name: scans
      fail: when < 1
      scans query: select nextval('quality."{source} ${{START}} ${{END}}"')
  - connections:
      name: connections
      fail: when < 1
      connections query: |
        select count(*) from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend'
"""
BEDS = "no nurse has more than twelve beds"
STAFF_CHECKS = """
checks for staff:
  - beds:
      name: no nurse has more than twelve beds
      warn: when > 6
      fail: when > 12
      beds query: select max(24 / nurses) from raw.staff where as_of between '${START}' and '${END}'
"""
FAILING, WARNING, IMPOSSIBLE = 1, 2, 0  # nurses


@pytest.fixture
def clinic(toy_warehouse, tmp_path):
    """The toy domain with a second source: five days are ingested, and the scans of them are counted."""
    columns = (Column("ward", "text", "where", required=True), Column("nurses", "integer", "of it", required=True))
    staff = Source("staff", columns, key=("ward",))
    folder = Path(shutil.copytree(domain.folder, tmp_path / "clinic"))
    clinic = replace(domain, folder=folder, sources=(*domain.sources, staff))
    (folder / "checks" / "staff.yml").write_text(STAFF_CHECKS)
    for source in clinic.sources:
        with (folder / "checks" / f"{source.name}.yml").open("a") as checks:
            checks.write(COUNTED.format(source=source.name))
    for day in DAYS:
        (toy_warehouse / day.isoformat() / "staff.csv").write_text("ward,nurses\nnorth,6\nsouth,6\n")
    preparation.create_tables(clinic)
    ingest(clinic, START, END)
    for first, last in [(START, END), *zip(DAYS, DAYS, strict=True)]:
        for source in clinic.sources:
            execute(f'create sequence quality."{source.name} {first} {last}"')
    return clinic


def spoil(source: str, day: date, nurses: int = FAILING) -> None:
    """Change a row of a source so that a check of it answers."""
    if source == "visits":
        execute("update raw.visits set age = 121 where as_of = %s and line = 2", (day,))
    else:
        execute("update raw.staff set nurses = %s where as_of = %s and ward = 'north'", (nurses, day))


def scans() -> dict[str, int]:
    """How often each source was scanned over which interval, as 'source first last'."""
    return dict(rows("select sequencename, last_value from pg_sequences where last_value is not null"))


def failed() -> set[tuple[date, str]]:
    """The partitions that failed, after a look at whether all others are checked, and whether the ledger agrees."""
    partitions = {
        (day, source): state for day, source, state in rows("select as_of, source, state from quality.partitions")
    }
    bad = {key for key, state in partitions.items() if state == "failed"}
    assert {partitions[key] for key in partitions.keys() - bad} <= {"checked"}
    stages = dict(rows("select as_of, state from quality.stages where stage = 'checked'"))
    assert stages == {day: "failed" if day in {day for day, _ in bad} else "done" for day in DAYS}
    return bad


@pytest.mark.parametrize(
    "bad",
    [
        {"staff": [DAY]},
        {"staff": [END]},
        {"visits": [START, DAY]},
        {"visits": [START], "staff": [END]},
        {"visits": [DAY], "staff": [DAY]},
    ],
    ids=lambda bad: ", ".join(f"{source} {day}" for source, days in bad.items() for day in days),
)
def test_only_a_source_that_fails_in_a_range_is_scanned_again_once_for_each_day(clinic, bad):
    for source, days in bad.items():
        for day in days:
            spoil(source, day)
    with pytest.raises(FailedChecksError):
        check(clinic, START, END)
    sources = {source.name for source in clinic.sources}
    alone = {f"{source} {day} {day}" for source in bad for day in DAYS}
    assert scans() == dict.fromkeys({f"{source} {START} {END}" for source in sources} | alone, 1)
    assert failed() == {(day, source) for source, days in bad.items() for day in days}
    intervals = set(rows("select source, first_day, as_of from quality.check_results"))
    assert intervals == {(source, day, day) for source in bad for day in DAYS} | {
        (source, START, END) for source in sources - bad.keys()
    }


def test_the_error_of_a_range_names_each_day_with_its_sources_and_checks_and_what_to_do(clinic):
    for source, day in (("staff", END), ("staff", START), ("visits", START)):
        spoil(source, day)
    with pytest.raises(FailedChecksError) as error:
        check(clinic, START, END)
    told = f"days. {START}: visits: {AGE}, staff: {BEDS}; {END}: staff: {BEDS}. Ask upstream for a corrected drop"
    assert told in str(error.value)
    assert "trigger check_quality with the day as partition key" in str(error.value)


def test_a_range_that_only_warns_is_scanned_once(clinic):
    spoil("staff", DAY, WARNING)
    check(clinic, START, END)
    assert scans() == {f"visits {START} {END}": 1, f"staff {START} {END}": 1}
    assert failed() == set()
    found = rows("select as_of, first_day, check_name from quality.check_results where outcome <> 'pass'")
    assert found == [(END, START, BEDS)]
    ((day, kind, message),) = rows("select as_of, kind, message from ml.alerts")
    assert (day, kind) == (END, "check_warn")
    assert f"{START} to {END}" in message


@pytest.mark.parametrize("nurses", [6, FAILING], ids=["good", "bad"])
def test_a_day_is_scanned_once_whatever_comes_of_it(clinic, nurses):
    spoil("staff", DAY, nurses)
    with suppress(FailedChecksError):
        check(clinic, DAY)
    assert scans() == {f"visits {DAY} {DAY}": 1, f"staff {DAY} {DAY}": 1}


def test_rows_that_a_check_cannot_compute_with_halt_their_day_and_no_other(clinic):
    spoil("staff", DAY, IMPOSSIBLE)
    with pytest.raises(FailedChecksError, match=f"{DAY}: staff: {BEDS}\\."):
        check(clinic, START, END)
    assert failed() == {(DAY, "staff")}
    assert rows("select as_of, check_name from quality.check_results where outcome = 'error'") == [(DAY, BEDS)]
    assert rows("select as_of, kind from ml.alerts") == [(DAY, "check_error")]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("from raw.staff", "from raw.nobody"), ("fail: when > 12", "fail: when 12")],
    ids=["its query", "its threshold"],
)
def test_a_check_that_is_wrong_itself_is_no_verdict_about_any_day(clinic, right, wrong):
    file = clinic.folder / "checks" / "staff.yml"
    file.write_text(file.read_text().replace(right, wrong))
    with pytest.raises(RuntimeError, match="Soda could not run the checks"):
        check(clinic, START, END)
    assert set(rows("select state from quality.partitions")) == {("loaded",)}
    assert value("select count(*) from quality.check_results") == 0


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.tuples(st.sampled_from(DAYS), st.sampled_from(["visits", "staff"]))))
def test_a_range_gets_the_verdicts_of_its_days(clinic, bad):
    execute("update raw.staff set nurses = 6")
    execute("update raw.visits set age = 50")
    for day, source in bad:
        spoil(source, day)

    def verdicts():
        found = rows("select as_of, source, check_name from quality.check_results where outcome <> 'pass'")
        return failed(), set(found)

    with suppress(FailedChecksError):
        check(clinic, START, END)
    of_the_range = verdicts()
    for day in DAYS:
        with suppress(FailedChecksError):
            check(clinic, day)
    assert of_the_range == verdicts()
    assert of_the_range[0] == bad


def test_the_days_of_a_range_are_scanned_over_one_connection_at_a_time(clinic):
    spoil("staff", DAY)
    gc.disable()  # it would close, now and then, what nobody closes
    try:
        with pytest.raises(FailedChecksError):
            check(clinic, START, END)
    finally:
        gc.enable()
    # That of the guard, that of the scan, and those of the scan before, when Postgres has not noticed yet.
    assert 2 <= value("select max(measured) from quality.check_results where check_name = 'connections'") <= 4


def test_a_waiver_of_a_range_is_about_its_failed_partitions(clinic):
    spoil("staff", DAY)
    spoil("visits", DAY)
    spoil("visits", END)
    check_days(clinic, START, END, RUN, Passage.CHAIN, WAIVER)
    waived = [(DAY, "staff", [BEDS]), (DAY, "visits", [AGE]), (END, "visits", [AGE])]
    assert rows("select as_of, source, checks from quality.waivers order by 1, 2") == waived
    assert rows("select as_of, source from quality.partitions where state = 'waived' order by 1, 2") == [
        (day, source) for day, source, _ in waived
    ]
    stages = dict(rows("select as_of, state from quality.stages where stage = 'checked'"))
    assert stages == {day: "waived" if day in (DAY, END) else "done" for day in DAYS}
    alerts = rows("select as_of, subject from ml.alerts where kind = 'waived' order by 1")
    assert alerts == [(DAY, "staff, visits"), (END, "visits")]


def test_what_a_person_accepted_is_not_named_when_something_else_of_its_day_fails(clinic):
    spoil("visits", DAY)
    check_days(clinic, DAY, DAY, RUN, Passage.CHAIN, WAIVER)
    spoil("staff", DAY)
    with pytest.raises(FailedChecksError, match=f"days. {DAY}: staff: {BEDS}\\. Ask"):
        check(clinic, START, END)
    assert dict(rows("select source, state from quality.partitions where as_of = %s", (DAY,))) == {
        "visits": "waived",
        "staff": "failed",
    }
