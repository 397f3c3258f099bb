"""From a drop into `raw`: every line is accounted for, whatever is in it, and a crash changes nothing."""

import csv
import io
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.core import warehouse
from include.core.domain import Column, Source
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import landing, staging
from include.dataops.drops import BadDropError, HalfWrittenDropError
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import RUN, checksum, execute, ingest, prepare, rows, value

DAY = date(2020, 3, 1)
VISITS = domain.source("visits")
TABLES = (("raw", "visits"), ("quarantine", "rows"), ("quality", "partitions"))
HEADER = ",".join(VISITS.names) + "\n"


def drop(zone: Path, text: str, day: date = DAY) -> Path:
    file = zone / day.isoformat() / "visits.csv"
    file.write_text(text, newline="")
    return file


def checksums() -> list[str | None]:
    return [checksum(*table) for table in TABLES]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",north,30,2020-03-01,", "visitor is missing"),
        ("v1,,30,2020-03-01,", "ward is missing"),
        ("v1,north,thirty,2020-03-01,", "age is not a whole number"),
        ("v1,north,99999999999,2020-03-01,", "age is not a whole number"),
        ("v1,north,30,2020-02-30,", "visit_date is not a date (YYYY-MM-DD)"),
        ("v1,north,30,,", "visit_date is missing"),
        ("v1,north,30,2020-03-02,", "visit_date is after the day of the drop; minutes are missing"),
        ("v1,north,30,2020-03-01,12", "minutes are known before the visit"),
        ("v1,north,30,2020-02-29,", "minutes are missing"),
        ("v1,north,30,2020-02-29,1e3x", "minutes is not a whole number; minutes are missing"),
        ("v9,north,30,2020-03-01,\nv9,south,31,2020-03-01,", "line 2 has the same key"),
        (",,,2020-03-01,", "visitor is missing; ward is missing; age is missing"),
        ('v1,"\'); drop table raw.visits; --",x,2020-03-01,', "age is not a whole number"),
    ],
)
def test_a_malformed_line_goes_into_quarantine_as_it_came_and_with_its_reason(toy_warehouse, line, reason):
    drop(toy_warehouse, f"{HEADER}v0,south,40,2020-03-01,\n{line}\n")
    counts = ingest(domain, DAY)["visits"]
    ((number, told, payload),) = rows("select line, reason, payload from quarantine.rows")
    assert told == reason
    assert counts["quarantined_rows"] == 1
    assert number == counts["lines"]  # it is the last line
    came = next(csv.reader(io.StringIO(line.splitlines()[-1])))
    assert [payload[name] or "" for name in VISITS.names] == came


WORDS = st.sampled_from(
    ["", "v1", "v2", "north", "30", "-1", "2020-03-01", "2020-02-29", "NaN", "infinity", "today", "é"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.lists(WORDS | st.text("ab1,\"'\n ;-%", max_size=6), min_size=5, max_size=5), max_size=12))
def test_no_line_is_lost_whatever_is_in_it(toy_warehouse, lines):
    drop(toy_warehouse, as_csv([*rows_of(DAY)[:2], *lines]))
    counts = ingest(domain, DAY)["visits"]
    assert counts["lines"] == len(lines) + 2
    assert counts["lines"] == counts["raw_rows"] + counts["quarantined_rows"]
    assert counts["raw_rows"] == value("select count(*) from raw.visits")
    assert counts["quarantined_rows"] == value("select count(*) from quarantine.rows where reason <> ''")


def test_a_table_of_partitions_refuses_a_day_whose_lines_are_not_all_accounted_for(toy_warehouse):
    ingest(domain, DAY)
    with pytest.raises(psycopg2.errors.CheckViolation):
        execute("update quality.partitions set raw_rows = raw_rows - 1")


def test_loading_a_drop_twice_leaves_the_same_rows(toy_warehouse):
    drop(toy_warehouse, as_csv([*rows_of(DAY), ["", "", "", "", ""]]))
    ingest(domain, DAY)
    once = checksums()
    ingest(domain, DAY)
    assert checksums() == once
    assert None not in once


def test_a_range_loads_the_same_rows_as_its_days_one_by_one_in_any_order(toy_warehouse):
    start, end = date(2020, 2, 27), date(2020, 3, 2)
    ingest(domain, start, end)
    at_once = checksums()
    execute("truncate raw.visits, quarantine.rows, quality.partitions")
    for offset in (4, 0, 2, 1, 3):
        ingest(domain, start + timedelta(days=offset))
    assert checksums() == at_once


def test_a_corrected_drop_replaces_the_rows_of_its_day_and_of_no_other(toy_warehouse):
    ingest(domain, DAY - timedelta(days=1), DAY)
    before = value("select count(*) from raw.visits where as_of = %s", (DAY - timedelta(days=1),))
    drop(toy_warehouse, as_csv(rows_of(DAY)[:6]))
    ingest(domain, DAY)
    assert value("select count(*) from raw.visits where as_of = %s", (DAY,)) == 6
    assert value("select count(*) from raw.visits where as_of < %s", (DAY,)) == before


def test_a_day_that_is_loaded_again_has_to_be_checked_again(toy_warehouse):
    ingest(domain, DAY)
    execute("update quality.partitions set state = 'checked'")
    ingest(domain, DAY)
    assert value("select state from quality.partitions") == "loaded"


def test_a_load_that_fails_half_way_leaves_the_rows_that_were_there(toy_warehouse):
    ingest(domain, DAY)
    before = checksums()
    execute("alter table raw.visits add constraint broken check (visitor <> 'v8') not valid")
    drop(toy_warehouse, as_csv([*rows_of(DAY), ["v9", "north", 44, DAY, ""]]))
    with pytest.raises(psycopg2.errors.CheckViolation):
        ingest(domain, DAY)
    assert checksums() == before


def test_a_bad_file_at_the_end_of_a_range_leaves_its_first_days_as_they_were(toy_warehouse):
    ingest(domain, DAY - timedelta(days=1))
    before = checksums()
    drop(toy_warehouse, as_csv(rows_of(DAY - timedelta(days=1))[:3]), DAY - timedelta(days=1))
    drop(toy_warehouse, f"{HEADER}only,three,columns\n")
    with pytest.raises(BadDropError, match="not readable as CSV"):
        ingest(domain, DAY - timedelta(days=1), DAY)
    assert checksums() == before


def test_a_drop_that_has_not_arrived_is_named(toy_warehouse):
    (toy_warehouse / "2020-03-01" / "visits.csv").unlink()
    with pytest.raises(NotReadyError, match=r"2020-03-01/visits\.csv"):
        ingest(domain, DAY - timedelta(days=1), DAY)
    assert checksums() == [None, None, None]


def test_a_half_written_file_may_be_complete_at_the_next_try(toy_warehouse):
    file = drop(toy_warehouse, as_csv(rows_of(DAY))[:-1])
    with pytest.raises(HalfWrittenDropError, match="half written"):
        ingest(domain, DAY)
    assert checksums() == [None, None, None]
    file.write_text(as_csv(rows_of(DAY)))
    assert ingest(domain, DAY)["visits"]["raw_rows"] == len(rows_of(DAY))


def test_a_correction_leaves_both_files_in_the_ledger_and_says_which_days_are_stale(toy_warehouse):
    prepare(domain, domain.first_day, DAY)
    before = value("select file_sha256 from quality.partitions where as_of = %s", (DAY - timedelta(days=1),))
    drop(toy_warehouse, as_csv(rows_of(DAY - timedelta(days=1))[:7]), DAY - timedelta(days=1))
    ingest(domain, DAY - timedelta(days=1))
    ingest(domain, DAY - timedelta(days=1))
    known = rows("select file_sha256, file from quality.drops where as_of = %s", (DAY - timedelta(days=1),))
    after = value("select file_sha256 from quality.partitions where as_of = %s", (DAY - timedelta(days=1),))
    assert {sha for sha, _ in known} == {before, after}
    assert {file for _, file in known} == {"2020-02-29/visits.csv"}
    assert rows("select as_of, subject from ml.alerts where kind = 'corrected_drop'") == [
        (DAY - timedelta(days=1), "visits")
    ]


def test_the_text_of_a_run_is_removed_and_that_of_another_run_is_not(toy_warehouse):
    landing.stage_drop(domain, DAY, "one")
    landing.stage_drop(domain, DAY, "another")
    staging.drop_tables("one")
    staging.drop_tables("one")
    ((left,),) = rows("select tablename from pg_tables where schemaname = 'staging'")
    staged = landing.stage_drop(domain, DAY, "another")
    assert staged[0]["table"] == left
    assert landing.load_drop(domain, staged, "another")["visits"]["raw_rows"] == len(rows_of(DAY))


def test_rows_are_not_compared_with_a_reference_table_that_is_empty(toy_warehouse):
    strict = with_ward(reference="wards.ward")
    execute("drop table if exists reference.wards")
    for _ in range(2):
        with pytest.raises(NotReadyError, match=r"reference\.wards is empty.*prepare_project"):
            ingest(strict, DAY)
        execute("create table if not exists reference.wards (ward text primary key)")
    execute("insert into reference.wards values ('north')")
    counts = ingest(strict, DAY)["visits"]
    assert counts["raw_rows"] == value("select count(*) from raw.visits where ward = 'north'") > 0
    assert rows("select distinct reason from quarantine.rows") == [("ward is not in reference.wards",)]


def test_an_empty_drop_is_a_day_with_no_rows(toy_warehouse):
    drop(toy_warehouse, HEADER)
    assert ingest(domain, DAY)["visits"] == {"lines": 0, "raw_rows": 0, "quarantined_rows": 0}
    assert value("select state from quality.partitions where as_of = %s", (DAY,)) == "loaded"


def test_a_day_outside_the_calendar_is_refused(toy_warehouse):
    with pytest.raises(DomainError, match="calendar of toy"):
        landing.load_source(domain, VISITS, date(2020, 3, 8), date(2020, 3, 9), RUN)


def test_without_a_landing_zone_the_setting_to_make_is_named(toy_warehouse, monkeypatch):
    monkeypatch.delenv("LANDING_URI")
    with pytest.raises(NotReadyError, match="LANDING_URI is not set"):
        ingest(domain, DAY)


def test_a_null_among_the_known_values_lets_no_unknown_one_in(toy_warehouse):
    strict = with_ward(reference="wards.ward")
    execute("drop table if exists reference.wards")
    execute("create table reference.wards (ward text)")
    execute("insert into reference.wards values ('north'), (null)")
    ingest(strict, DAY)
    assert rows("select distinct ward from raw.visits") == [("north",)]


def with_ward(**change):
    """The toy domain with another declaration of the column `ward`."""
    columns = [replace(column, **change) if column.name == "ward" else column for column in VISITS.columns]
    return replace(domain, sources=(replace(VISITS, columns=tuple(columns)),))


@pytest.mark.parametrize(
    "name", ["n", "nth", "came", "first", "first_of", "known_visitor", "staged", "read", "known", "told", "first_line"]
)
def test_a_column_may_have_a_name_that_the_statements_use_in_another_form(new_database, tmp_path, monkeypatch, name):
    columns = (Column(name, "text", "any", required=True), Column("age", "integer", "years"))
    named = replace(domain, sources=(Source("visits", columns, key=(name,)),))
    new_database("template1")
    with warehouse.transaction() as cursor:
        cursor.execute(warehouse.statement("core/schema"))
        landing.create_tables(cursor, named)
    monkeypatch.setenv("LANDING_URI", tmp_path.as_uri())
    (tmp_path / DAY.isoformat()).mkdir()
    drop(tmp_path, f"{name},age\na,1\na,2\nb,x\n,3\n")
    assert landing.load_source(named, named.sources[0], DAY, DAY, RUN) == {
        "lines": 4,
        "raw_rows": 1,
        "quarantined_rows": 3,
    }
    assert rows("select line, reason from quarantine.rows order by 1") == [
        (2, "line 1 has the same key"),
        (3, "age is not a whole number"),
        (4, f"{name} is missing"),
    ]


def test_a_type_that_the_domain_changed_is_told_with_the_statement_that_changes_the_table(toy_warehouse):
    wider = replace(VISITS, columns=tuple(replace(c, type="bigint") if c.name == "age" else c for c in VISITS.columns))
    with (
        pytest.raises(DomainError, match=r"alter table raw\.visits alter column age type bigint"),
        warehouse.transaction() as cursor,
    ):
        landing.create_tables(cursor, replace(domain, sources=(wider,)))


def test_text_that_a_crash_of_the_server_emptied_is_staged_again_and_not_loaded_as_nothing(toy_warehouse):
    ingest(domain, DAY)
    before = checksums()
    (staged,) = landing.stage_drop(domain, DAY, "one")
    execute(f"truncate staging.{staged['table']}")
    for _ in range(2):
        with pytest.raises(NotReadyError, match="Clear stage_drop"):
            landing.load_drop(domain, [staged], "one")
        staging.drop_tables("one")
    assert checksums() == before
