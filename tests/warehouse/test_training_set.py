"""The rows of a model: of one version or none at all, the same for training and scoring, and named by their hash."""

import math
import re
import shutil
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg2
import pyarrow as pa
import pytest
from airflow.sdk import ObjectStoragePath
from psycopg2 import sql

from include.core import warehouse
from include.core.domain import Domain, days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import feature_build, feature_registry, feature_store, landing, parquet, preparation
from include.dataops.feature_store import TrainingSet, training_set
from include.modelops.snapshot import cut, keep_rows, table_of
from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, build, execute, ingest, rows, value, vouch

FIRST, LAST = domain.first_day, domain.last_day
SPAN = date(2020, 2, 27), date(2020, 3, 3)
DAY = date(2020, 2, 29)


def fill(zone: str) -> None:
    """Build every day of the toy domain from the drops in this zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", zone)
        ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, LAST)
    build(domain, FIRST, LAST)


@pytest.fixture(scope="module")
def template(toy_template, new_database, tmp_path_factory) -> str:
    """A warehouse in which every view is built for every day."""
    name = new_database(toy_template)
    zone = ObjectStoragePath(tmp_path_factory.mktemp("landing").as_uri())
    feed.write_drops(zone, FIRST, LAST)
    fill(str(zone))
    return name


@pytest.fixture
def built(template, new_database, toy_landing) -> Path:
    """A copy of that warehouse; returns the landing zone."""
    new_database(template)
    return toy_landing


@pytest.fixture
def edit(tmp_path) -> Callable[..., Domain]:
    """Changes the views of the toy domain as `edit(file, old, new)`, and registers them."""
    folder = tmp_path / "domain"
    shutil.copytree(domain.folder, folder)

    def apply(file: str, old: str, new: str, *, register: bool = True) -> Domain:
        path = folder / "sql" / f"{file}.sql"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        changed = replace(domain, folder=folder)
        if register:
            preparation.create_tables(changed)
        return changed

    return apply


def correct(zone: Path, day: date) -> None:
    """Replace the drop of a day by one in which every visit took longer, and vouch for it."""
    lines = [[*line[:4], line[4] and line[4] + 100] for line in feed.rows_of(day)]
    (zone / day.isoformat() / "visits.csv").write_text(feed.as_csv(lines))
    landing.load_source(domain, domain.sources[0], day, day, RUN)
    vouch(domain, day, day)


def listed(found: TrainingSet) -> list[tuple]:
    return list(zip(*(found.rows[name].to_pylist() for name in ("as_of", "entity_id")), strict=True))


def keys_of(found: TrainingSet) -> set[tuple]:
    return set(listed(found))


# --- All of it as a build would give it now, or nothing ---

REFUSALS = {
    "missing": (
        lambda built, edit: execute("delete from features.partitions where as_of = '2020-02-29'") and domain,
        "visits_due 2020-02-29 (missing); ward_history 2020-02-29 (missing)",
        "start 2020-02-29, end 2020-02-29 and views visits_due, ward_history.",
    ),
    "of another version": (
        lambda built, edit: edit("features/ward_history", "sum(past.long)", "2 * sum(past.long)"),
        "ward_history 2020-02-27 to 2020-03-03 (another version)",
        "start 2020-02-27, end 2020-03-03 and views ward_history.",
    ),
    "made anew": (
        lambda built, edit: edit("features/visits_due", "age integer", "age bigint"),
        "visits_due 2020-02-27 to 2020-03-03 (missing)",
        "start 2020-02-27, end 2020-03-03 and views visits_due.",
    ),
}
DROPS = (
    lambda built, edit: correct(built, DAY) or domain,
    "ward_history 2020-02-29 to 2020-03-02 (other drops); visits_due 2020-02-29 (other drops);"
    " labels 2020-02-29 (other drops)",
    "start 2020-02-29, end 2020-03-02 and views",
)


def parts(told: str) -> set[str]:
    return set(told.strip(".").split("; "))


@pytest.mark.parametrize(("spoil", "told", "command"), [*REFUSALS.values(), DROPS], ids=[*REFUSALS, "from other drops"])
def test_a_training_is_refused_days_that_a_build_would_give_otherwise_and_told_which_to_build(
    built, edit, spoil, told, command
):
    of = spoil(built, edit)
    with pytest.raises(NotReadyError) as error:
        training_set(of, *SPAN)
    found = str(error.value)
    if "missing" in told and of is domain:
        told += "; labels 2020-02-29 (missing)"
        command = command[:-1]
    assert parts(re.search(r"not mixed with others: (.*)\. Trigger backfill_features", found)[1]) == parts(told)
    assert command in found
    start, end, views = re.search(r"with start (\S+), end (\S+) and views (.+)\.$", found).groups()
    feature_build.build(of, views.split(", "), date.fromisoformat(start), date.fromisoformat(end), RUN, stale_only=True)
    assert training_set(of, *SPAN).rows.num_rows


@pytest.mark.parametrize(("spoil", "told", "command"), REFUSALS.values(), ids=REFUSALS)
def test_scoring_is_refused_days_that_are_missing_or_of_another_version(built, edit, spoil, told, command):
    of = spoil(built, edit)
    with pytest.raises(NotReadyError) as error:
        training_set(of, *SPAN, labels=False)
    assert told in str(error.value)
    assert command in str(error.value)


def test_a_change_that_nobody_registered_yet_counts_too(built, edit):
    of = edit("features/ward_history", "sum(past.long)", "2 * sum(past.long)", register=False)
    for labels in (True, False):
        with pytest.raises(NotReadyError, match=r"ward_history 2020-02-27 to 2020-03-03 \(another version\)\. Trigger"):
            training_set(of, *SPAN, labels=labels)


def test_scoring_takes_a_day_whose_drops_were_replaced(built):
    before = training_set(domain, *SPAN, labels=False)
    correct(built, DAY)
    assert training_set(domain, *SPAN, labels=False) == before


def test_labels_have_to_be_fresh_up_to_the_drop_that_the_last_of_them_may_come_with(built):
    before = training_set(domain, *SPAN, known_at=date(2020, 3, 4))
    correct(built, date(2020, 3, 5))
    assert training_set(domain, *SPAN, known_at=date(2020, 3, 4)).data_hash == before.data_hash
    for known_at in (None, date(2020, 3, 5)):
        with pytest.raises(NotReadyError, match=r"labels 2020-03-05 \(other drops\).* end 2020-03-05 and views labels"):
            training_set(domain, *SPAN, known_at=known_at)
    assert training_set(domain, *SPAN, labels=False)


def test_days_outside_the_range_may_be_stale(built):
    correct(built, SPAN[0])
    with pytest.raises(NotReadyError):
        training_set(domain, *SPAN)
    assert training_set(domain, date(2020, 3, 1), SPAN[1])
    with pytest.raises(DomainError, match="calendar of toy"):
        training_set(domain, LAST, LAST + timedelta(days=1))


@pytest.mark.parametrize("reason", ["another version", "other drops", "missing"])
def test_a_snapshot_mixes_no_versions_and_is_made_once_the_range_is_built(built, edit, reason):
    of, as_of = domain, date(2020, 3, 5)
    if reason == "another version":
        of = edit("tallies/ward_tally", ">= 30", ">= 31")
        feature_build.build(of, ["ward_history"], FIRST, date(2020, 2, 29), RUN)
    elif reason == "other drops":
        correct(built, date(2020, 3, 1))
    else:
        execute("delete from features.partitions where view = 'ward_history' and as_of = '2020-03-01'")
    with pytest.raises(
        NotReadyError, match=rf"ward_history 2020-03-01.*\({reason}\).* start 2020-03-01, end 2020-03-0"
    ):
        keep_rows(of, as_of, RUN)
    assert value("select to_regclass(%s) is null", (f"ml.{table_of(as_of, RUN)}",))
    everything = [view.name for view in of.built_views]
    feature_build.build(of, everything, date(2020, 3, 1), as_of, RUN, stale_only=True)
    assert keep_rows(of, as_of, RUN)


# --- The same rows for both ---


def test_training_and_scoring_have_the_same_features_and_scoring_also_the_rows_whose_labels_are_out(built):
    late = next(day for day in days_between(*SPAN) if feed.is_late(feed.LATE, day))
    for_scoring = training_set(domain, SPAN[0], late, labels=False)
    for_training = training_set(domain, SPAN[0], late, known_at=late + timedelta(days=1))
    assert keys_of(for_scoring) - keys_of(for_training) == {(late, f"v{feed.LATE}")}
    assert for_training.rows.num_rows == len(keys_of(for_training)) == for_scoring.rows.num_rows - 1
    assert for_scoring.rows.num_rows == 8 * len(days_between(SPAN[0], late))
    kept = pa.array([key in keys_of(for_training) for key in listed(for_scoring)])
    assert for_scoring.rows.filter(kept) == for_training.rows.drop_columns(["label"])


def test_the_rows_are_those_of_the_tables_in_order(built):
    found = training_set(domain, *SPAN).rows.to_pylist()
    expected = rows(
        "select v.as_of, visitor, label, ward, age, long_share_3d from features.visits_due as v"
        " join features.ward_history using (as_of, ward)"
        " join features.labels as l using (visitor)"
        " where l.event_day = v.as_of and v.as_of between %s and %s order by 1, 2",
        SPAN,
    )
    assert [tuple(row.values()) for row in found] == expected
    assert len(found) == 8 * len(days_between(*SPAN))


def test_of_an_outcome_that_came_twice_the_last_that_had_landed_counts(built):
    execute(
        "insert into features.labels select date '2020-03-05', event_day, visitor, not label from features.labels"
        " where event_day = '2020-03-02' and as_of < '2020-03-05' and visitor in ('v1', 'v8')"
    )
    early, late = (
        dict(zip(found["entity_id"].to_pylist(), found["label"].to_pylist(), strict=True))
        for found in (
            training_set(domain, date(2020, 3, 2), date(2020, 3, 2), known_at=date(2020, 3, day)).rows for day in (4, 5)
        )
    )
    assert {early["v1"], early["v8"]} == {True, False}
    assert late == early | {"v1": early["v8"], "v8": early["v1"]}


# --- The hash ---


def test_the_same_rows_have_the_same_hash_after_a_rebuild_in_another_database_and_in_a_snapshot(
    built, toy_template, new_database
):
    as_of = date(2020, 3, 6)
    windows = cut(domain, as_of)
    span = windows.fit[0], windows.gate[1]
    first = training_set(domain, *span, known_at=as_of)
    assert training_set(domain, *span, known_at=as_of) == first
    build(domain, FIRST, LAST)
    assert training_set(domain, *span, known_at=as_of) == first
    assert keep_rows(domain, as_of, RUN)[0] == first.data_hash
    new_database(toy_template)
    fill(built.as_uri())
    assert training_set(domain, *span, known_at=as_of) == first


@pytest.mark.parametrize(
    "change",
    [
        "update features.visits_due set age = age + 1 where as_of = '2020-03-01' and visitor = 'v1'",
        "update features.visits_due set age = null where as_of = '2020-03-01' and visitor = 'v1'",
        "update features.ward_history set long_share_3d = long_share_3d * (1 + 3e-16::float8)",
        "update features.labels set label = not label where event_day = '2020-03-01' and visitor = 'v1'",
        "delete from features.labels where event_day = '2020-03-01' and visitor = 'v1'",
        "delete from features.visits_due where as_of = '2020-03-01' and visitor = 'v1'",
        "update features.visits_due set visitor = 'v9' where as_of = '2020-03-01' and visitor = 'v8'",
    ],
)
def test_another_value_label_or_row_gives_another_hash(built, change):
    before = training_set(domain, *SPAN).data_hash
    assert execute(change) > 0
    assert training_set(domain, *SPAN).data_hash != before


def test_labels_that_landed_later_give_another_hash_and_a_later_day_without_any_the_same(built):
    late = next(day for day in days_between(*SPAN) if feed.is_late(feed.LATE, day))
    hashes = [training_set(domain, late, late, known_at=late + timedelta(days=n)).data_hash for n in (1, 2, 3)]
    assert hashes[0] != hashes[1] == hashes[2]


def test_the_name_and_the_order_of_the_columns_are_part_of_the_hash(built, edit):
    before = training_set(domain, *SPAN, labels=False)
    age, ward = "-- feature: age integer, years\n", "-- feature: ward text, where\n"
    edit("features/visits_due", age, "")
    of = edit("features/visits_due", ward, age + ward)
    build(of, FIRST, LAST)
    after = training_set(of, *SPAN, labels=False)
    assert after.rows.select(before.rows.column_names) == before.rows
    assert after.data_hash != before.data_hash


def test_no_setting_of_the_database_changes_rows_or_hash(built):
    before = training_set(domain, *SPAN)
    name = value("select current_database()")
    for setting, text in {
        "datestyle": "German",
        "timezone": "Asia/Kathmandu",
        "extra_float_digits": "-5",
        "client_encoding": "LATIN1",
    }.items():
        execute(
            sql.SQL("alter database {} set {} = {}").format(*map(sql.Identifier, (name, setting)), sql.Literal(text))
        )
    assert value("select current_setting('timezone')") == "Asia/Kathmandu"
    assert training_set(domain, *SPAN) == before


# --- Types and values ---

NUMBERS = (0.1 + 0.2, -0.0, 5e-324, -1.7976931348623157e308, float("inf"), float("nan"), 1 / 3, 2.0**60)
TEXTS = ("", "NaN", "NA", "null", 'a "quoted", text', "of\r\ntwo lines\n", "\\N", "\N{GRINNING FACE} ü")
FEATURES = {
    "ward": pa.string(),
    "age": pa.int32(),
    "a_boolean": pa.bool_(),
    "a_smallint": pa.int16(),
    "a_bigint": pa.int64(),
    "a_double": pa.float64(),
    "a_date": pa.date32(),
    "long_share_3d": pa.float64(),
}


@pytest.fixture
def every_type(built, edit) -> Domain:
    """A domain that has a feature of every type, whose first visitor has no value in any of them."""
    kinds = {
        "boolean": "true",
        "smallint": "-7",
        "bigint": "9007199254740993",
        "double precision": "0",
        "date": "as_of",
    }
    header = "".join(f"-- feature: a_{kind.split()[0]} {kind}, a value\n" for kind in kinds)
    values = ", ".join(f"{text}::{kind} as a_{kind.split()[0]}" for kind, text in kinds.items())
    edit("features/visits_due", "select as_of, visitor, ward, age", f"select as_of, visitor, ward, age, {values}")
    of = edit("features/visits_due", "-- feature: age integer, years\n", f"-- feature: age integer, years\n{header}")
    build(of, FIRST, LAST)
    for number, (text, double) in enumerate(zip(TEXTS, NUMBERS, strict=True), 1):
        execute(
            "update features.visits_due set ward = %s, a_double = %s::float8 where visitor = %s",
            (text, repr(double), f"v{number}"),
        )
    nulls = ", ".join(f"{name} = null" for name in FEATURES if name not in ("long_share_3d", "ward"))
    execute(f"update features.visits_due set {nulls}, ward = null where visitor = 'v1' and as_of = '2020-02-29'")  # noqa: S608
    return of


def test_every_value_comes_back_exactly_and_null_stays_apart_from_the_empty_text(every_type):
    found = training_set(every_type, DAY, DAY).rows
    assert found.schema == pa.schema(
        {"as_of": pa.date32(), "entity_id": pa.string(), "label": pa.bool_(), **FEATURES}.items()
    )
    assert found["ward"].to_pylist() == [None, *TEXTS[1:]]
    assert [number is None or struct.pack("<d", number) for number in found["a_double"].to_pylist()] == [
        True,
        *(struct.pack("<d", number) for number in NUMBERS[1:]),
    ]
    last = found.to_pylist()[-1]
    assert (last["a_boolean"], last["a_smallint"], last["a_bigint"]) == (True, -7, 9007199254740993)
    assert (last["a_date"], last["as_of"], last["entity_id"]) == (DAY, DAY, "v8")
    assert training_set(every_type, FIRST, FIRST).rows["ward"].to_pylist() == list(TEXTS)
    assert found["long_share_3d"].null_count == 8


def test_frames_are_what_estimators_take(every_type):
    found = training_set(every_type, FIRST, DAY)
    keys, features = replace(found, rows=found.rows.drop_columns(["a_date", "a_bigint"])).frames()
    assert list(keys) == ["as_of", "entity_id", "label"]
    assert (type(keys["as_of"][0]), keys["label"].dtype) == (date, bool)
    types = {name: "float64" for name in FEATURES if name not in ("a_date", "a_bigint")} | {"ward": "object"}
    assert list(features.dtypes.astype(str).to_dict().items()) == list(types.items())
    without = features[(keys["as_of"] == DAY) & (keys["entity_id"] == "v1")]
    assert all(isinstance(found, float) and math.isnan(found) for found in without.iloc[0])


@pytest.mark.parametrize("name", ["a_date", "a_bigint"])
def test_a_date_and_a_number_beyond_the_digits_of_a_float_are_numbers_in_the_frames(every_type, name):
    found = training_set(every_type, FIRST, DAY)
    _, features = replace(found, rows=found.rows.select(["as_of", "entity_id", name])).frames()
    assert features[name].dtype == "float64"
    assert features[name].isna().sum() == 1


@pytest.mark.parametrize("labels", [True, False])
def test_a_range_without_rows_has_the_same_columns(built, labels):
    full = training_set(domain, *SPAN, labels=labels)
    execute("delete from features.visits_due")
    empty = training_set(domain, *SPAN, labels=labels)
    assert (empty.rows.num_rows, empty.rows.schema) == (0, full.rows.schema)
    for frame, filled in zip(empty.frames(), full.frames(), strict=True):
        assert (len(frame), list(frame)) == (0, list(filled))


def test_a_row_whose_outcome_is_null_has_no_label(built):
    execute("update features.labels set label = null where event_day = '2020-03-01' and visitor = 'v1'")
    found = training_set(domain, *SPAN)
    assert found.rows["label"].null_count == 0
    assert (date(2020, 3, 1), "v1") not in keys_of(found)


def test_rows_that_end_in_the_middle_are_an_error_and_never_taken_for_all(built):
    query = sql.SQL("select n, 1 / (400000 - n) as part from generate_series(1, 500000) as n")
    with (
        pytest.raises(psycopg2.errors.DivisionByZero),
        warehouse.transaction() as cursor,
        parquet.stream(cursor, query, {}, {"n": "integer", "part": "integer"}) as streamed,
    ):
        assert sum(batch.num_rows for batch in streamed.batches) < 400000


# --- While others write ---


READERS = {
    "a reader": lambda: training_set(domain, *SPAN).data_hash,
    "a snapshot": lambda: keep_rows(domain, date(2020, 3, 5), RUN),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_build_that_ends_between_the_look_and_the_reading_is_not_read(built, read):
    before = read()
    with ThreadPoolExecutor() as threads, suppress(NotReadyError):
        with warehouse.transaction() as writer:
            writer.execute("lock table features.visits_due in access exclusive mode")
            reading = threads.submit(read)
            wait_for_waiting(1)
            writer.execute("update features.ward_history set long_share_3d = 9; update features.visits_due set age = 9")
            writer.execute("update features.partitions set version = 'other'")
        assert reading.result() == before
    with pytest.raises(NotReadyError, match="another version"):
        read()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("register", [preparation.create_tables, feature_registry.ensure_registered])
def test_a_table_that_is_made_anew_waits_for_who_reads_it(built, edit, read, register):
    before = read()
    of = edit("features/ward_history", "-- entity", "-- entity: visitor text, who comes\n-- entity", register=False)
    with ThreadPoolExecutor() as threads:
        with warehouse.transaction() as holder:
            holder.execute("lock table features.visits_due in access exclusive mode")
            reading = threads.submit(read)
            wait_for_waiting(1)
            registering = threads.submit(register, of)
            wait_for_waiting(2)
        assert reading.result() == before
        registering.result()
    with pytest.raises(NotReadyError, match="missing"):
        training_set(of, *SPAN)


def wait_for_waiting(many: int) -> None:
    """Until so many locks are waited for."""
    until = time.monotonic() + 20
    while value("select count(*) from pg_locks where not granted") < many:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_statement_of_some_features_reads_the_same_values_from_fewer_tables(built):
    bound = feature_store.bounds(domain, domain.first_day, domain.last_day, None)
    whole, some = (feature_store.statement(domain, labels=False, only=only) for only in (None, {"ward"}))
    with warehouse.transaction() as cursor:
        assert "ward_history" in whole.as_string(cursor)
        assert "ward_history" not in some.as_string(cursor)
        cursor.execute(whole, bound)
        place = [column.name for column in cursor.description].index("ward")
        expected = [(*row[:2], row[place]) for row in cursor.fetchall()]
        cursor.execute(some, bound)
        assert cursor.fetchall() == expected
