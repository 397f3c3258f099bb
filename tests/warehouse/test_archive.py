"""Months leave the warehouse only when they are safe in cold storage, and come back as they were, whatever happens."""

import csv
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from include.core import warehouse
from include.core.domain import COLUMN_TYPES, Column, Domain, Reference, Source, load_object
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import archive, cold_storage, landing, parquet, preparation, retention
from include.dataops.cold_storage import ArchiveError
from include.flights.domain import domain as flights
from include.modelops.snapshot import keep_rows
from tests.toy_domain.domain import domain
from tests.warehouse.chain import (
    RUN,
    build,
    checksum,
    clear_features,
    execute,
    feature_checksums,
    ingest,
    rows,
    value,
    vouch,
)
from tests.warehouse.models import add_model

FEBRUARY = date(2020, 2, 1)
LEAVES_ON = date(2020, 3, 7)  # the first day on which the 29th of February is more than six days ago


@pytest.fixture
def cold(tmp_path, monkeypatch) -> Path:
    """An empty cold storage."""
    monkeypatch.setenv("COLD_URI", (tmp_path / "cold").as_uri())
    return tmp_path / "cold"


@pytest.fixture
def history(toy_warehouse, cold) -> str | None:
    """A warehouse with every drop of the toy domain and a model fitted on February; returns the checksum of raw."""
    ingest(domain, domain.first_day, domain.last_day)
    vouch(domain, domain.first_day, domain.last_day)
    fitted(domain.first_day, date(2020, 2, 29))
    return checksum("raw", "visits")


def fitted(first: date, through: date) -> None:
    add_model(1)
    execute("update ml.models set fitted_from = %s, fitted_through = %s", (first, through))


def leave(as_of: date = LEAVES_ON, of: Domain = domain, run_id: str = RUN) -> list[list[str]]:
    """What the DAG does on `as_of`."""
    return [retention.archive_month(of, month, as_of, run_id) for month in retention.plan_archive(of, as_of)]


def restore() -> list[tuple[str, date]]:
    return archive.restore_missing(domain, FEBRUARY, FEBRUARY, RUN)


def state() -> str | None:
    found = rows("select state from quality.archives")
    return found[0][0] if found else None


def days_of_february() -> int:
    return value("select count(distinct as_of) from raw.visits where as_of < '2020-03-01'")


def files(cold: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cold)): path.read_bytes() for path in sorted(cold.rglob("*")) if path.is_file()}


def manifest() -> cold_storage.Manifest:
    found = cold_storage.read_manifest("visits", FEBRUARY)
    assert found is not None
    return found


# --- The format ---

EVERYTHING = Source(
    "everything",
    columns=(
        *(Column(f"a_{kind.replace(' ', '_')}", kind, "a value") for kind in COLUMN_TYPES),
        Column("key", "text", "always there", required=True),
    ),
    key=("key",),
)
EDGES = (
    ("", False, -32768, -(2**31), -(2**63), float("nan"), date(1, 1, 1), datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    (
        "NaN",
        True,
        32767,
        2**31 - 1,
        2**63 - 1,
        float("inf"),
        date(9999, 12, 31),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ),
    (None,) * 8,
    ("\\N", None, 0, 0, 0, -0.0, date(2020, 2, 29), datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ("\\.", None, 0, 0, 0, 5e-324, None, datetime(2013, 3, 10, 7, 0, 0, 500000, tzinfo=UTC)),
    ('a "quoted", text\nof\r\ntwo lines\t', None, 0, 0, 0, 0.1 + 0.2, None, None),
    (" null ", None, 0, 0, 0, -1.7976931348623157e308, None, None),
    ("\N{GRINNING FACE} \N{LATIN SMALL LETTER U WITH DIAERESIS}", None, 0, 0, 0, 2.2250738585072014e-308, None, None),
)
VALUES = st.tuples(
    st.none() | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20),
    st.none() | st.booleans(),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(),
    st.none() | st.dates(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)
BITS = (
    "select as_of, line, encode(textsend(a_text), 'hex'), a_boolean, a_smallint, a_integer, a_bigint,"
    " encode(float8send(a_double_precision), 'hex'), encode(date_send(a_date), 'hex'),"
    " encode(timestamptz_send(a_timestamptz), 'hex') from raw.everything order by as_of, line"
)


@pytest.fixture
def everything(toy_warehouse, cold) -> Domain:
    """A domain whose one source has a column of every type, in a warehouse whose settings are unusual."""
    of = replace(domain, sources=(EVERYTHING,))
    execute(
        "do $$ begin execute format('alter database %%I set timezone = ''Asia/Kathmandu''', current_database());"
        " execute format('alter database %%I set datestyle = ''German''', current_database());"
        " execute format('alter database %%I set extra_float_digits = -5', current_database()); end $$",
        (),
    )
    with warehouse.transaction() as cursor:
        landing.create_tables(cursor, of)
        warehouse.ensure_partitions(cursor, "everything", of.first_day, of.last_day)
    fitted(of.first_day, date(2020, 2, 29))
    return of


def fill(given_rows) -> None:
    execute("delete from raw.everything")
    statement = sql.SQL("insert into raw.everything values ({})").format(sql.SQL(", ").join([sql.Placeholder()] * 11))
    with warehouse.transaction() as cursor:
        for line, values in enumerate(given_rows, 1):
            # A float as a quoted text: a bare -0.0 would be a numeric, which has no sign of zero.
            quoted = (repr(value) if isinstance(value, float) else value for value in values)
            cursor.execute(statement, (date(2020, 2, 26 + line % 4), line, *quoted, "key"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=20))
def test_values_of_every_type_come_back_bit_by_bit(everything, given_rows):
    fill(given_rows)
    before = rows(BITS)
    assert leave(of=everything) == [["everything"]]
    assert rows(BITS) == []
    assert archive.restore_missing(everything, FEBRUARY, FEBRUARY) == [("everything", FEBRUARY)]
    assert rows(BITS) == before


def test_the_edges_of_every_type_come_back_and_null_stays_apart_from_the_empty_text(everything):
    fill(EDGES)
    before = rows(BITS)
    leave(of=everything)
    archive.restore_missing(everything, FEBRUARY, FEBRUARY)
    assert rows(BITS) == before
    assert value("select count(*) from raw.everything where a_text is null") == 1
    assert value("select count(*) from raw.everything where a_text = ''") == 1


@pytest.mark.parametrize("change", ["a_date = 'infinity'", "a_timestamptz = 'infinity'", "a_date = '10000-01-01'"])
def test_a_value_that_parquet_has_no_room_for_is_told_and_nothing_is_dropped(everything, cold, change):
    fill(EDGES)
    execute(f"update raw.everything set {change} where line = 3")  # noqa: S608
    with pytest.raises(ArchiveError, match=r"everything of 2020-02 holds a value .*(infinity|10000).*replay its day"):
        leave(of=everything)
    assert value("select count(*) from raw.everything") == len(EDGES)
    assert files(cold) == {}


def test_the_file_has_the_types_of_the_columns_and_is_larger_than_one_batch(everything, cold, monkeypatch):
    from pyarrow import parquet as arrow

    monkeypatch.setattr(parquet, "_BATCH_BYTES", 4096)
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 16)
    fill(EDGES * 20)
    before = rows(BITS)
    leave(of=everything)
    (file,) = cold.glob("everything/*.parquet")
    found = arrow.ParquetFile(file)
    types = ["string", "bool", "int16", "int32", "int64", "double", "date32[day]", "timestamp[us, tz=UTC]", "string"]
    assert [str(field.type) for field in found.schema_arrow] == ["date32[day]", "int32", *types]
    assert found.num_row_groups > 1
    archive.restore_missing(everything, FEBRUARY, FEBRUARY)
    assert rows(BITS) == before


def test_the_checksum_ignores_order_and_settings_and_sees_every_change(everything):
    def found(timezone: str = "UTC") -> str:
        with warehouse.transaction() as cursor:
            cursor.execute("select set_config('timezone', %s, false)", (timezone,))
            table = sql.Identifier("raw", "everything")
            return parquet.content(cursor, table, parquet.schema_of(EVERYTHING)).checksum

    fill(EDGES)
    before = found()
    execute("create table moved as select * from raw.everything")
    execute("delete from raw.everything")
    execute("insert into raw.everything select * from moved order by line desc")
    assert found("America/New_York") == found("Asia/Tokyo") == before
    for change in (
        "a_double_precision = 0.0 where a_double_precision = 0 and line = 4",
        "a_text = null where a_text = ''",
        "a_timestamptz = a_timestamptz + interval '1 microsecond' where line = 5",
        "line = 100 where line = 1",
    ):
        known = found()
        assert execute(f"update raw.everything set {change}") == 1  # noqa: S608
        assert found() != known


# --- What leaves ---


@pytest.mark.parametrize(
    ("as_of", "first", "through", "expected"),
    [
        (date(2020, 3, 7), date(2020, 2, 26), date(2020, 2, 29), ["2020-02"]),
        (date(2020, 3, 8), date(2020, 2, 1), date(2020, 3, 4), ["2020-02"]),
        (date(2020, 3, 6), date(2020, 2, 26), date(2020, 2, 29), []),  # the 29th is not yet past retention
        (date(2020, 3, 7), date(2020, 2, 26), date(2020, 2, 28), []),  # no model was fitted on the last day
        (date(2020, 3, 7), date(2020, 2, 27), date(2020, 2, 29), []),  # nor on the first
        (date(2020, 4, 6), date(2020, 2, 26), date(2020, 3, 31), ["2020-02"]),
        (date(2020, 4, 7), date(2020, 2, 26), date(2020, 3, 31), ["2020-02", "2020-03"]),
    ],
)
def test_a_month_leaves_when_all_of_it_is_past_retention_and_a_model_was_fitted_on_it(
    history, as_of, first, through, expected
):
    fitted(first, through)
    assert retention.plan_archive(domain, as_of) == expected
    if not expected:
        assert retention.archive_month(domain, "2020-02", as_of, RUN) == []
        assert checksum("raw", "visits") == history


def test_nothing_leaves_before_a_model_was_trained(history):
    execute("delete from ml.models")
    assert retention.plan_archive(domain, date(2021, 1, 1)) == []


def test_a_month_leaves_with_a_manifest_that_tells_what_the_file_holds(history, cold):
    from pyarrow import parquet as arrow

    per_day = {f"{day}": count for day, count in rows("select as_of, count(*) from raw.visits group by 1 order by 1")}
    assert leave() == [["visits"]]
    assert days_of_february() == 0
    assert value("select to_regclass('raw.visits_2020_02') is null")
    kept = json.loads((cold / "visits" / "2020-02.json").read_text())
    assert kept["rows_per_day"] == {day: count for day, count in per_day.items() if day < "2020-03"}
    assert kept["schema"] == parquet.schema_of(domain.source("visits"))
    assert (kept["source"], kept["month"], kept["format_version"]) == ("visits", "2020-02", 1)
    file = cold / "visits" / f"2020-02-{kept['sha256'][:12]}.parquet"
    assert sorted(files(cold)) == [f"visits/{file.name}", "visits/2020-02.json"]
    assert cold_storage.sha256_of(file) == kept["sha256"]
    assert arrow.read_table(file).num_rows == kept["rows"] == sum(kept["rows_per_day"].values())
    ((path, count, kept_checksum, sha256, found, as_of),) = rows(
        "select path, row_count, checksum, file_sha256, state, as_of from quality.archives"
    )
    assert (path, found, as_of) == (f"visits/{file.name}", "archived", LEAVES_ON)
    assert (count, kept_checksum, sha256) == (kept["rows"], kept["checksum"], kept["sha256"])


def test_archiving_again_finds_nothing_to_do(history, cold):
    leave()
    kept, ledger = files(cold), checksum("quality", "archives")
    assert leave() == []
    assert retention.archive_month(domain, "2020-02", LEAVES_ON, "another run") == []
    # A try of the same run that was killed after its drop is announced by the one that follows it.
    assert retention.archive_month(domain, "2020-02", LEAVES_ON, RUN) == ["visits"]
    assert (files(cold), checksum("quality", "archives")) == (kept, ledger)


def test_a_column_that_the_domain_does_not_declare_is_not_lost(history):
    execute("alter table raw.visits add column remark text default 'kept'")
    with pytest.raises(ArchiveError, match="does not declare: remark"):
        leave()
    assert days_of_february() == 4


def test_without_cold_storage_only_those_fail_who_need_it(history, monkeypatch):
    monkeypatch.delenv("COLD_URI")
    assert leave(date(2020, 3, 6)) == []
    assert restore() == []
    with pytest.raises(NotReadyError, match="COLD_URI is not set"):
        leave()
    assert checksum("raw", "visits") == history


# --- What comes back ---


def test_a_restored_month_is_what_it_was_and_leaves_again_without_being_written_again(history, cold):
    leave()
    kept = files(cold)
    assert archive.plan_restore(domain, "2020-02-27", "2020-03-01") == ["2020-02"]
    assert archive.restore_month(domain, "2020-02", RUN) == ["visits"]
    assert (checksum("raw", "visits"), state()) == (history, "restored")
    assert archive.restore_month(domain, "2020-02", RUN) == []
    stamps = {path: path.stat().st_mtime_ns for path in cold.rglob("*")}
    assert leave() == [["visits"]]
    assert {path: path.stat().st_mtime_ns for path in cold.rglob("*")} == stamps
    assert (files(cold), state(), days_of_february()) == (kept, "archived", 0)
    restore()
    assert checksum("raw", "visits") == history


def test_only_what_is_archived_of_the_range_is_restored(history):
    fitted(domain.first_day, date(2020, 3, 31))
    leave(date(2020, 4, 7))
    assert value("select count(*) from raw.visits") == 0
    assert archive.restore_missing(domain, date(2020, 3, 5), date(2020, 3, 8)) == [("visits", date(2020, 3, 1))]
    assert rows("select month, state from quality.archives order by 1") == [
        (FEBRUARY, "archived"),
        (date(2020, 3, 1), "restored"),
    ]
    assert archive.restore_missing(domain, date(2020, 2, 29), date(2020, 3, 8)) == [("visits", FEBRUARY)]
    assert checksum("raw", "visits") == history


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2020-02-27", None, "restore_start is '2020-02-27' and restore_end is None. Give both"),
        ("february", "2020-03-01", "restore_start is 'february'"),
        ("2020-02-01", "2020-03-01", "2020-02-01 to 2020-03-01 is not inside the calendar of toy"),
        ("2020-03-02", "2020-03-01", "is not inside the calendar"),
    ],
)
def test_a_range_that_cannot_be_restored_is_refused_in_a_sentence(history, start, end, told):
    with pytest.raises(DomainError, match=told):
        archive.plan_restore(domain, start, end)


def test_corrected_rows_are_written_anew_and_the_earlier_file_is_kept(history, cold):
    leave()
    first = files(cold)
    restore()
    execute("update raw.visits set minutes = 999 where as_of = '2020-02-28' and line = 9")
    corrected = checksum("raw", "visits")
    assert corrected != history
    leave()
    second = files(cold)
    assert len(second) == 3
    assert {name: second[name] for name in first if name.endswith(".parquet")}.items() <= first.items()
    restore()
    assert checksum("raw", "visits") == corrected


def test_a_column_added_since_is_null_in_what_comes_back(history, cold):
    leave()
    source = replace(
        domain.source("visits"), columns=(*domain.source("visits").columns, Column("floor", "smallint", "which"))
    )
    wider = replace(domain, sources=(source,))
    with warehouse.transaction() as cursor:
        landing.create_tables(cursor, wider)
    archive.restore_missing(wider, FEBRUARY, FEBRUARY)
    assert checksum("raw", "visits", ("floor",)) == history
    assert value("select count(*) from raw.visits where floor is not null") == 0
    leave(of=wider)
    assert list(manifest().schema)[-1] == "floor"
    with pytest.raises(ArchiveError, match="has columns that visits does not declare: floor smallint"):
        restore()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file, mark: file.write_bytes(file.read_bytes()[:-9]), r"2020-02-\w+\.parquet is damaged: its SHA-256"),
        (lambda file, mark: file.unlink(), r"2020-02-\w+\.parquet is missing. Put a sound copy"),
        (lambda file, mark: mark.unlink(), r"visits/2020-02\.json is missing, and raw\.visits of 2020-02 is archived"),
        (lambda file, mark: mark.write_bytes(mark.read_bytes()[:-1]), r"visits/2020-02\.json is damaged"),
        (lambda file, mark: mark.write_text("[]"), r"visits/2020-02\.json is damaged"),
        (lambda file, mark: mark.write_text('{"source": 1}'), r"visits/2020-02\.json is damaged"),
        (lambda file, mark: alter(mark, month="2020-03"), r"2020-02\.json is of visits, 2020-03, .*right manifest"),
        (lambda file, mark: alter(mark, format_version=2), r"2020-02\.json is of visits, 2020-02, format 2"),
        (lambda file, mark: alter(mark, checksum="other"), r"2020-02\.json is of other rows than those"),
        (lambda file, mark: alter(mark, sha256="../" * 9), r"parquet is missing"),
        (lambda file, mark: alter(mark, schema={"as_of": "date", "nap": "text"}), r"does not declare: nap text"),
    ],
)
def test_what_is_damaged_or_missing_is_named_and_the_warehouse_is_unchanged(history, cold, damage, told):
    leave()
    without = checksum("raw", "visits")
    kept = files(cold)
    damage(cold / manifest().path, cold / "visits" / "2020-02.json")
    with pytest.raises(ArchiveError, match=told):
        restore()
    assert (checksum("raw", "visits"), state()) == (without, "archived")
    for name, content in kept.items():
        (cold / name).write_bytes(content)
    restore()
    assert checksum("raw", "visits") == history


def alter(mark: Path, **changes) -> None:
    mark.write_text(json.dumps(json.loads(mark.read_text()) | changes))


def test_a_file_with_other_rows_than_its_manifest_says_is_refused(history, cold):
    leave()
    (file,) = cold.glob("visits/*.parquet")
    restore()
    execute("delete from raw.visits where as_of = '2020-02-28' and line = 9")
    leave()
    fewer = cold / manifest().path
    content = file.read_bytes()
    digest = cold_storage.sha256_of(file)
    fewer.with_name(f"2020-02-{digest[:12]}.parquet").write_bytes(content)
    alter(cold / "visits" / "2020-02.json", sha256=digest)
    with pytest.raises(ArchiveError, match=r"not what its manifest says: the numbers of rows differ on 2020-02-28"):
        restore()
    assert (days_of_february(), state()) == (0, "archived")


def test_a_month_that_is_archived_and_has_rows_in_the_warehouse_is_left_alone(history, cold):
    leave()
    kept = files(cold)
    with warehouse.transaction() as cursor:
        warehouse.ensure_partitions(cursor, "visits", FEBRUARY, FEBRUARY)
        cursor.execute("insert into raw.visits values ('2020-02-26', 1, 'v1', 'north', 20, '2020-02-26', null)")
    for step in (leave, restore):
        with pytest.raises(ArchiveError, match="is archived, and yet the warehouse holds rows of it"):
            step()
    assert files(cold) == kept
    execute("delete from raw.visits where as_of < '2020-03-01'")
    restore()
    assert checksum("raw", "visits") == history


# --- Who reads older days ---


def test_a_training_needs_no_archived_month_and_sees_the_rows_that_it_saw_before(history):
    as_of = domain.last_day
    build(domain, domain.first_day, as_of)
    with_all = keep_rows(domain, as_of, RUN)
    leave()
    assert keep_rows(domain, as_of, RUN) == with_all
    assert (state(), days_of_february()) == ("archived", 0)


def test_features_that_look_back_into_an_archived_month_are_those_from_before(history):
    build(domain, date(2020, 3, 1), date(2020, 3, 3))
    before = feature_checksums(domain)
    leave()
    clear_features(domain)
    build(domain, date(2020, 3, 3))
    assert (state(), days_of_february()) == ("archived", 0)
    build(domain, date(2020, 3, 1), date(2020, 3, 2))
    assert (state(), feature_checksums(domain)) == ("restored", before)


def test_a_month_is_held_for_those_who_read_it(history, monkeypatch):
    monkeypatch.setattr(retention, "LOCK_SECONDS", 1)
    with warehouse.transaction() as reader:
        archive.hold(reader, domain, date(2020, 2, 29), date(2020, 3, 2))
        with pytest.raises(NotReadyError, match="visits is in use"):
            leave()
    assert checksum("raw", "visits") == history
    leave()
    with warehouse.transaction() as reader:
        archive.hold(reader, domain, date(2020, 3, 1), date(2020, 3, 2))
        with pytest.raises(NotReadyError, match=r"archived: visits of 2020-02\. .* restore_start 2020-02-29 and"):
            archive.hold(reader, domain, date(2020, 2, 29), date(2020, 3, 2))


def test_those_who_hold_a_month_do_not_wait_for_each_other(history):
    with warehouse.transaction() as one, warehouse.transaction() as other:
        other.execute("set local lock_timeout = '1s'")
        archive.hold(one, domain, FEBRUARY, FEBRUARY)
        archive.hold(other, domain, FEBRUARY, FEBRUARY)


def test_a_long_reader_makes_the_archive_give_up_and_nobody_queue(history, cold, monkeypatch):
    monkeypatch.setattr(retention, "LOCK_SECONDS", 1)
    with warehouse.transaction() as reader:
        reader.execute("select count(*) from raw.visits")
        began = time.monotonic()
        with pytest.raises(
            NotReadyError, match=r"raw\.visits is in use, and 2020-02 could not be dropped within 1 sec"
        ):
            leave()
        assert time.monotonic() - began < 5
        assert checksum("raw", "visits") == history
    assert leave() == [["visits"]]


# --- Interrupted, and at once ---


class Fragile(LocalFileSystem):
    """A folder that goes wrong at one step, told by the mode and the ending of the file that is opened."""

    protocol = "fragile"
    cachable = False
    step: tuple[str, str] | None = None
    wrong = ""

    def _open(self, path, mode="rb", **options):
        if self.step and mode == self.step[0] and path.endswith(self.step[1]):
            if self.wrong == "hangs":
                Path(path).parents[1].with_name("hangs").touch()
                time.sleep(60)
            if self.wrong == "truncated":
                os.truncate(path, Path(path).stat().st_size // 2)
                return super()._open(path, mode=mode, **options)
            if self.wrong == "half written":
                Path(path).write_text('{"source": "vis')
            raise OSError(f"no space left for {path}")
        return super()._open(path, mode=mode, **options)


@pytest.fixture
def fragile(cold, monkeypatch) -> Iterator[Fragile]:
    """The cold storage of a test on a file system that the test can break."""
    fsspec.register_implementation("fragile", Fragile, clobber=True)
    storage = attach("fragile", fs=Fragile()).fs
    monkeypatch.setenv("COLD_URI", f"fragile://{cold}")
    yield storage
    storage.step = None


@pytest.mark.filterwarnings("ignore:UPath 'fragile'")
@pytest.mark.parametrize(
    ("step", "wrong", "error"),
    [
        (("wb", ".parquet"), "full", OSError),
        (("wb", ".parquet"), "half written", OSError),
        (("rb", ".parquet"), "away", OSError),
        (("rb", ".parquet"), "truncated", ArchiveError),
        (("wb", ".json"), "full", OSError),
        (("wb", ".json"), "half written", OSError),
    ],
)
def test_an_archive_that_broke_at_any_step_lost_nothing_and_is_finished_by_the_next(
    history, cold, fragile, step, wrong, error
):
    fragile.step, fragile.wrong = step, wrong
    with pytest.raises(error):
        leave()
    assert checksum("raw", "visits") == history
    assert state() is None
    fragile.step = None
    assert leave() == [["visits"]]
    restore()
    assert checksum("raw", "visits") == history


def test_a_file_that_rotted_before_the_drop_is_written_again(history, cold):
    leave()
    restore()
    file = cold / manifest().path
    sound = file.read_bytes()
    file.write_bytes(sound[:-1])
    leave()
    assert file.read_bytes() == sound


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def start_child() -> multiprocessing.Process:
    child = multiprocessing.get_context("fork").Process(target=leave)
    child.start()
    return child


def kill(child: multiprocessing.Process) -> None:
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    child.join()


def is_silent() -> bool:
    """Whether the server has noticed that the clients of all other connections are gone."""
    return value("select count(*) = 1 from pg_stat_activity where datname = current_database()")


@pytest.mark.filterwarnings("ignore:UPath 'fragile'")
@pytest.mark.parametrize(("step", "written"), [(("wb", ".parquet"), 0), (("rb", ".parquet"), 1), (("wb", ".json"), 1)])
def test_an_archive_killed_while_it_writes_or_reads_back_lost_nothing(history, cold, fragile, step, written):
    fragile.step, fragile.wrong = step, "hangs"
    child = start_child()
    wait_until((cold.parent / "hangs").exists)
    kill(child)
    wait_until(is_silent)
    fragile.step = None
    assert (checksum("raw", "visits"), state(), len(files(cold))) == (history, None, written)
    assert leave() == [["visits"]]
    restore()
    assert checksum("raw", "visits") == history


LOCKS = {
    "before it began": (0, "select pg_advisory_xact_lock(hashtextextended('archiving/visits/2020-02', 0))"),
    "with a manifest and no drop": (2, "select pg_advisory_xact_lock(hashtextextended('raw/visits/2020-02', 0))"),
    "with a drop that was not committed": (2, "lock table quality.archives in exclusive mode"),
}


@pytest.mark.parametrize(("written", "lock"), LOCKS.values(), ids=LOCKS.keys())
def test_an_archive_killed_while_it_waits_for_the_warehouse_lost_nothing(history, cold, written, lock):
    with warehouse.transaction() as holder:
        holder.execute(lock)
        child = start_child()
        wait_until(lambda: value("select exists (select from pg_locks where not granted)"))
        kill(child)
    wait_until(is_silent)
    assert (checksum("raw", "visits"), state(), len(files(cold))) == (history, None, written)
    assert leave() == [["visits"]]
    restore()
    assert checksum("raw", "visits") == history


def test_an_archive_killed_at_any_moment_leaves_the_month_in_one_place(history):
    began = time.monotonic()
    leave()
    lasted = time.monotonic() - began
    for part in range(10):
        restore()
        child = start_child()
        time.sleep(lasted * (part + 0.5) / 8)
        kill(child)
        wait_until(is_silent)
        assert (state(), days_of_february()) in (("archived", 0), ("restored", 4))
        restore()
        assert checksum("raw", "visits") == history
        leave()


def test_rows_that_change_while_they_are_archived_are_not_dropped(history, cold):
    with ThreadPoolExecutor() as threads:
        with warehouse.transaction() as writer:
            warehouse.lock_months(writer, "visits", FEBRUARY, FEBRUARY)
            archiving = threads.submit(leave)
            wait_until((cold / "visits" / "2020-02.json").exists)
            writer.execute("update raw.visits set minutes = 999 where as_of = '2020-02-28' and line = 9")
        with pytest.raises(NotReadyError, match="was changed while it was being archived"):
            archiving.result()
    corrected = checksum("raw", "visits")
    assert corrected != history
    assert leave() == [["visits"]]
    restore()
    assert checksum("raw", "visits") == corrected


def test_two_archives_at_once_are_one(history, cold):
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(leave, run_id=run_id) for run_id in ("one", "another")]
        outcomes = [run.result() for run in runs]
    left = [source for outcome in outcomes for sources in outcome for source in sources]
    assert left == ["visits"]
    assert len(files(cold)) == 2
    with ThreadPoolExecutor() as threads:
        restored = [task.result() for task in [threads.submit(restore) for _ in range(2)]]
    assert sorted(restored) == [[], [("visits", FEBRUARY)]]
    assert checksum("raw", "visits") == history


def test_an_object_store_keeps_a_month_as_a_folder_does(history, object_store, monkeypatch):
    monkeypatch.setenv("COLD_URI", f"{object_store}/cold")
    leave()
    assert days_of_february() == 0
    path = ObjectStoragePath(f"{object_store}/cold") / manifest().path
    assert path.exists()
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])
    with pytest.raises(ArchiveError, match=r"/cold/visits/2020-02-\w+\.parquet is damaged"):
        restore()
    path.unlink()
    with pytest.raises(ArchiveError, match="is missing"):
        restore()
    path.write_bytes(sound)
    restore()
    assert checksum("raw", "visits") == history
    leave()
    (path.parent / "2020-02.json").unlink()
    with pytest.raises(ArchiveError, match=r"/cold/visits/2020-02\.json is missing"):
        restore()


# --- A year of flights ---


@pytest.fixture
def year(flight_drops, new_database, cold, monkeypatch) -> Domain:
    """A warehouse with all drops of the flights, of a domain that keeps 90 days and has a model of all of them."""
    short = replace(flights, retention=90)
    new_database("template1")
    preparation.create_tables(short)
    for table in short.reference:
        fill_reference(table)
    monkeypatch.setenv("LANDING_URI", flight_drops.as_uri())
    ingest(short, short.first_day, short.last_day)
    vouch(short, short.first_day, short.last_day)
    fitted(short.first_day, short.last_day)
    return short


def fill_reference(table: Reference) -> None:
    with load_object(table.file)().open() as file:
        header, *lines = csv.reader(file)
    clean = [[None if text == "NA" else text for text in line] for line in lines]
    with warehouse.transaction() as cursor:
        warehouse.copy_rows(cursor, "reference", table.name, header, clean)


def test_a_year_is_archived_dropped_and_restored_and_its_features_are_the_same(year):
    def everything() -> list[str | None]:
        # Quicker than `checksum` by far, and the rows of a year are many.
        hashed = "select md5(string_agg(t::text, '' order by as_of, line)) from raw.{} as t"
        return [value(hashed.format(source.name)) for source in year.sources]

    first, last = date(2013, 6, 27), date(2013, 7, 3)
    build(year, first, last)
    raw, features = everything(), feature_checksums(year)
    as_of = date(2014, 4, 2)
    assert len(retention.plan_archive(year, date(2013, 12, 31))) == 9  # January to September
    months = retention.plan_archive(year, as_of)
    assert len(months) == 12
    # As Airflow would: several months at once.
    with ThreadPoolExecutor(2) as threads:
        left = list(threads.map(lambda month: retention.archive_month(year, month, as_of, RUN), months))
    assert left == [sorted(source.name for source in year.sources)] * 12
    assert everything() == [None] * 3
    clear_features(year)
    build(year, first, last)
    assert feature_checksums(year) == features
    assert (
        value("select count(*) from quality.archives where state = 'restored'") == 9
    )  # June and July look back to May
    assert archive.plan_restore(year, "2013-01-01", "2013-12-31") == [
        month for month in months if month not in ("2013-05", "2013-06", "2013-07")
    ]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda month: archive.restore_month(year, month, RUN), months))
    assert everything() == raw
    build(year, first, last)
    assert feature_checksums(year) == features
