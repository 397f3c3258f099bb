"""Checks with Soda Core: a bad day is halted and named, its neighbours are not."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from include.core import ledger, warehouse
from include.core.domain import DomainError
from include.core.ledger import NotReadyError, Passage
from include.dataops import quality
from include.dataops.checks import CONSERVED
from include.dataops.quality import FailedChecksError, Waiver, check_days
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import RUN, check, execute, ingest, rows, value

DAY = date(2020, 2, 29)
START, END = date(2020, 2, 27), date(2020, 3, 2)
VOLUME = "every day has at least six visits"


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
    with pytest.raises(FailedChecksError, match="every age is one that people reach"):
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


def test_a_good_range_is_checked_in_one_scan(toy_warehouse):
    ingest(domain, START, END)
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


def test_a_drop_that_is_replaced_while_it_is_checked_gets_no_verdict_and_no_waiver(toy_warehouse, monkeypatch):
    thin_out(toy_warehouse, DAY)
    ingest(domain, DAY)
    scan = quality.scan

    def replace_meanwhile(*arguments):
        results = scan(*arguments)
        thin_out(toy_warehouse, DAY, 4)
        ingest(domain, DAY)
        return results

    with monkeypatch.context() as patch, pytest.raises(NotReadyError, match="loaded again while it was checked"):
        patch.setattr(quality, "scan", replace_meanwhile)
        check_days(domain, DAY, DAY, RUN, Passage.CHAIN, WAIVER)
    assert states() == {DAY: "loaded"}
    assert rows("select * from quality.waivers") == []
    assert rows("select * from quality.check_results") == []
