"""A backfill says what it would do, does just that, goes on past what is bad, and takes up where it stopped."""

import logging
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from include.core import ledger, warehouse
from include.core.domain import Domain, days_between
from include.core.feature_view import Kind
from include.core.ledger import NotReadyError, Passage
from include.dataops import backfill, landing, preparation, quality
from include.dataops.drops import BadDropError
from include.dataops.quality import FailedChecksError
from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import (
    RUN,
    build,
    checksum,
    clear_features,
    execute,
    feature_checksums,
    ingest,
    prepare,
    rows,
    value,
    vouch,
)

CHUNK = {"start": "2020-02-26", "end": "2020-03-01"}
FIRST, LAST = date(2020, 2, 26), date(2020, 3, 1)
DAYS = days_between(domain.first_day, domain.last_day)
WHOLE = {"start": "2020-02-26", "end": "2020-03-08"}
BAD = date(2020, 2, 29)
BUILT = {"ward_tally": 8, "labels": 31, "visits_due": 40, "ward_history": 10}
VIEWS = [view.name for view in domain.built_views]


def run(chunk: backfill.Chunk, views: list[str] | None = None, *, rebuild: bool = False) -> dict[str, int]:
    backfill.ingest_missing(domain, chunk, RUN)
    backfill.check_unchecked(domain, chunk, RUN)
    return backfill.build_chunk(domain, chunk, views or [], RUN, rebuild=rebuild)


def run_past_errors(chunk: backfill.Chunk = WHOLE) -> list[Exception | None]:
    """What the DAG does: every step runs, whatever became of the one before; returns the error of each."""
    errors: list[Exception | None] = []
    for step in (
        lambda: backfill.ingest_missing(domain, chunk, RUN),
        lambda: backfill.check_unchecked(domain, chunk, RUN),
        lambda: backfill.build_chunk(domain, chunk, [], RUN, rebuild=False),
    ):
        try:
            step()
            errors.append(None)
        except (BadDropError, FailedChecksError, NotReadyError) as error:
            errors.append(error)
    return errors


def everything() -> dict[str, str | None]:
    """The hash of all rows of each table of the warehouse, with when they were written."""
    tables = rows("select schemaname, tablename from pg_tables where schemaname !~ '^(pg_|information_)'")
    return {f"{schema}.{table}": checksum(schema, table, without=()) for schema, table in tables}


def built_days() -> dict[str, set[date]]:
    found = rows("select view, array_agg(as_of) from features.partitions group by view")
    return {view: set(days) for view, days in found}


def spoil(zone: Path, day: date, text: str | None) -> None:
    """Give the drop of a day another text, or remove it."""
    file = zone / day.isoformat() / "visits.csv"
    file.unlink() if text is None else file.write_text(text)


def mend(zone: Path, day: date) -> None:
    file = zone / day.isoformat() / "visits.csv"
    file.write_text(as_csv(rows_of(day)))


# --- What it would do ---


def test_the_plan_counts_what_is_missing_before_half_way_and_after(toy_warehouse, caplog):
    def plan(**options) -> list[tuple]:
        chunks = backfill.plan(domain, "2020-02-27", "2020-03-02", [], **{"rebuild": False} | options)
        assert [(chunk["start"], chunk["end"]) for chunk in chunks] == [
            ("2020-02-27", "2020-02-29"),
            ("2020-03-01", "2020-03-02"),
        ]
        return [(chunk["ingest"], chunk["check"], chunk["build"]) for chunk in chunks]

    with caplog.at_level(logging.INFO):
        assert plan() == [(3, 3, dict.fromkeys(VIEWS, 3)), (2, 2, dict.fromkeys(VIEWS, 2))]
    assert "2020-03-01 to 2020-03-02: 2 drops to ingest; 2 days to check; days to build: " in caplog.text
    assert all(f"{name} 2" in caplog.text for name in VIEWS)
    ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, date(2020, 2, 28))
    build(domain, FIRST, date(2020, 2, 28))
    assert plan() == [(0, 1, dict.fromkeys(VIEWS, 1)), (1, 2, dict.fromkeys(VIEWS, 2))]
    ingest(domain, LAST, date(2020, 3, 2))
    vouch(domain, FIRST, date(2020, 3, 2))
    build(domain, FIRST, date(2020, 3, 2))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert plan() == [(0, 0, {}), (0, 0, {})]
    assert "2020-02-27 to 2020-02-29: nothing to do" in caplog.text
    assert plan(rebuild=True) == [(0, 0, dict.fromkeys(VIEWS, 3)), (0, 0, dict.fromkeys(VIEWS, 2))]
    execute("update quality.partitions set file_sha256 = 'other', state = 'loaded' where as_of = '2020-02-29'")
    stale = {"ward_tally": 1, "labels": 1, "visits_due": 1, "ward_history": 1}
    assert plan() == [(0, 1, stale), (0, 0, {"ward_history": 2})]


def test_the_plan_is_of_the_named_views_only(toy_warehouse):
    (chunk,) = backfill.plan(domain, "2020-02-27", "2020-02-28", ["labels", "ward_history"], rebuild=False)
    assert chunk["build"] == {"labels": 2, "ward_history": 2}


def test_a_plan_changes_nothing(toy_warehouse):
    prepare(domain, FIRST, LAST)
    before = everything()
    assert len(before) > 20
    for rebuild in (False, True):
        backfill.plan(domain, *WHOLE.values(), [], rebuild=rebuild)
    assert everything() == before


def test_what_the_plan_says_is_what_is_done(toy_warehouse):
    ingest(domain, FIRST, date(2020, 2, 28))
    vouch(domain, FIRST, FIRST)
    build(domain, FIRST)
    chunks = backfill.plan(domain, "2020-02-26", "2020-03-03", [], rebuild=False)
    assert [backfill.ingest_missing(domain, chunk, RUN) for chunk in chunks] == [1, 3]
    assert [chunk["ingest"] for chunk in chunks] == [1, 3]
    assert [backfill.check_unchecked(domain, chunk, RUN) for chunk in chunks] == [3, 3]
    assert [chunk["check"] for chunk in chunks] == [3, 3]
    for chunk in chunks:
        before = built_days()
        backfill.build_chunk(domain, chunk, [], RUN, rebuild=False)
        assert {view: len(days - before[view]) for view, days in built_days().items()} == chunk["build"]


# --- Doing it ---


def test_a_backfill_gives_the_features_of_the_daily_chain(toy_warehouse):
    assert run(CHUNK) == BUILT
    by_backfill = feature_checksums(domain)
    prepare(domain, FIRST, LAST)
    assert feature_checksums(domain) == by_backfill


def test_a_backfill_loads_only_what_is_missing(toy_warehouse):
    landing.load_source(domain, domain.sources[0], date(2020, 2, 28), date(2020, 2, 28), "earlier")
    run(CHUNK)
    kept = dict(rows("select as_of, run_id from quality.partitions"))
    assert kept[date(2020, 2, 28)] == "earlier"
    assert [kept[day] for day in sorted(kept)].count(RUN) == 4


def test_a_backfill_that_is_repeated_changes_nothing_and_a_rebuild_writes_the_same_again(toy_warehouse):
    run(CHUNK)
    before = everything()
    assert run(CHUNK) == dict.fromkeys(BUILT, 0)
    assert everything() == before
    wrote = value("select min(xmin::text::bigint) from features.visits_due")
    assert run(CHUNK, rebuild=True) == BUILT
    assert value("select min(xmin::text::bigint) from features.visits_due") > wrote
    assert {table: found for table, found in everything().items() if table != "quality.stages"} == {
        table: found for table, found in before.items() if table != "quality.stages"
    }


def test_only_the_named_views_are_built_and_what_they_read(toy_warehouse):
    assert run(CHUNK, ["ward_history"]) == {"ward_history": 10}
    days = set(days_between(FIRST, LAST))
    assert built_days() == {"ward_tally": days, "ward_history": days}
    assert run(CHUNK, ["labels"], rebuild=True) == {"labels": 31}
    assert value("select count(*) from features.visits_due") == 0


def test_days_that_were_built_view_by_view_are_in_the_ledger_once_a_backfill_finds_all_of_them(toy_warehouse):
    for view in VIEWS:
        run(CHUNK, [view])
    assert run(CHUNK) == dict.fromkeys(BUILT, 0)
    assert value("select count(*) from quality.stages where stage = 'built'") == 5


def test_a_day_that_was_only_backfilled_is_not_waited_for_and_an_announced_one_is(toy_warehouse):
    run(CHUNK)
    with warehouse.transaction() as cursor:
        assert ledger.undecided_before(cursor, date(2020, 3, 2)) is None
    backfill.announce("2020-03-01", RUN)
    with warehouse.transaction() as cursor:
        assert ledger.undecided_before(cursor, date(2020, 3, 2)) == "2020-03-01 is not monitored yet"
        assert ledger.undecided_before(cursor, date(2020, 3, 1)) is None


def test_a_verdict_of_the_chain_is_kept_when_a_backfill_passes_over_it(toy_warehouse):
    landing.load_source(domain, domain.sources[0], FIRST, LAST, RUN)
    quality.check_days(domain, LAST, LAST, RUN, Passage.CHAIN)
    run(CHUNK)
    found = dict(rows("select as_of, detail ->> 'by' from quality.stages where stage = 'checked'"))
    assert found[LAST] == "chain"
    assert found[FIRST] == "backfill"


# --- A bad day in the middle ---

SPOILED = {
    "missing": (None, NotReadyError),
    "broken": ("ward\nnorth\n", BadDropError),
    "thin": (as_csv(rows_of(BAD)[:3]), FailedChecksError),
}


@pytest.mark.parametrize(("text", "kind"), SPOILED.values(), ids=SPOILED)
def test_a_bad_day_takes_no_other_along_and_a_second_run_does_just_the_rest(toy_warehouse, text, kind):
    spoil(toy_warehouse, BAD, text)
    ingested, checked, built = run_past_errors()
    assert isinstance(checked if kind is FailedChecksError else ingested, kind)
    told = [error for error in (ingested, checked, built) if error]
    assert len(told) == 2 + (kind is not FailedChecksError)
    assert all(f"{BAD}" in str(error) and "2020-02-28 of visits" not in str(error) for error in told)
    assert isinstance(built, NotReadyError)
    verdicts = dict(rows("select as_of, state from quality.partitions"))
    assert {day for day, state in verdicts.items() if state == "checked"} == set(DAYS) - {BAD}
    blocked = {BAD + timedelta(days=n) for n in range(3)}
    assert {view: days for view, days in built_days().items() if view != "ward_tally"} == dict.fromkeys(
        ("labels", "visits_due", "ward_history"), set(DAYS) - blocked
    )
    mend(toy_warehouse, BAD)
    if kind is FailedChecksError:
        landing.load_source(domain, domain.sources[0], BAD, BAD, RUN)
    chunks = backfill.plan(domain, *WHOLE.values(), [], rebuild=False)
    assert sum(chunk["check"] for chunk in chunks) == 1
    written = value("select max(xmin::text::bigint) from features.partitions where view <> 'ward_tally'")
    assert [run_past_errors(chunk) for chunk in chunks] == [[None] * 3] * 2
    found = rows(
        "select distinct view, as_of from features.partitions where xmin::text::bigint > %s and view <> 'ward_tally'",
        (written,),
    )
    assert {(view, day) for view, day in found} == {(v, day) for v in VIEWS if v != "ward_tally" for day in blocked}
    found = feature_checksums(domain)
    clear_features(domain)
    build(domain, DAYS[0], DAYS[-1])
    assert feature_checksums(domain) == found


def test_a_view_that_does_not_look_back_is_built_for_all_days_but_the_bad_one(toy_warehouse):
    spoil(toy_warehouse, BAD, None)
    for step in (backfill.ingest_missing, backfill.check_unchecked):
        with pytest.raises(NotReadyError, match=f"{BAD}"):
            step(domain, WHOLE, RUN)
    with pytest.raises(NotReadyError, match=f"features of {BAD} .*The other 11 days are built"):
        backfill.build_chunk(domain, WHOLE, ["visits_due", "labels"], RUN, rebuild=False)
    assert built_days()["visits_due"] == set(DAYS) - {BAD}


def test_several_bad_days_are_all_named(toy_warehouse):
    worse = date(2020, 3, 5)
    spoil(toy_warehouse, BAD, None)
    spoil(toy_warehouse, worse, as_csv(rows_of(worse)[:3]))
    ingested, checked, built = run_past_errors()
    assert f"{BAD}" in str(ingested)
    assert all(f"{day}" in str(error) for error in (checked, built) for day in (BAD, worse))
    assert built_days()["ward_history"] == {
        *days_between(DAYS[0], date(2020, 2, 28)),
        date(2020, 3, 3),
        date(2020, 3, 4),
    } | {DAYS[-1]}


# --- Interrupted, and at once ---


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_waiting() -> bool:
    return value("select exists (select from pg_locks where not granted)")


TRY_LOCK = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
LOCKS = {
    "before tallies": "select pg_advisory_xact_lock(hashtextextended('features/ward_tally/2020-02', 0))",
    "before the others": "select pg_advisory_xact_lock(hashtextextended('features/labels/2020-02', 0))",
    "in the middle of a view": "lock table features.visits_due in exclusive mode",
    "before the ledger": "lock table quality.stages in exclusive mode",
}


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_a_build_that_was_killed_or_timed_out_is_taken_up_by_the_next(toy_warehouse, lock):
    ingest(domain, DAYS[0], DAYS[-1])
    vouch(domain, DAYS[0], DAYS[-1])
    arguments = domain, WHOLE, [], RUN
    name = sql.Identifier(value("select current_database()"))
    with warehouse.transaction() as holder:
        holder.execute(lock)
        child = multiprocessing.get_context("fork").Process(
            target=backfill.build_chunk, args=arguments, kwargs={"rebuild": False}
        )
        child.start()
        wait_until(is_waiting)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        execute(sql.SQL("alter database {} set statement_timeout = '300ms'").format(name))
        with pytest.raises(psycopg2.errors.QueryCanceled):
            backfill.build_chunk(*arguments, rebuild=False)
        execute(sql.SQL("alter database {} reset statement_timeout").format(name))
    assert value("select count(*) from features.ward_history") == 0
    backfill.build_chunk(*arguments, rebuild=False)
    found = feature_checksums(domain), checksum("features", "statistics"), checksum("features", "partitions")
    clear_features(domain)
    build(domain, DAYS[0], DAYS[-1])
    assert (feature_checksums(domain), checksum("features", "statistics"), checksum("features", "partitions")) == found


@pytest.fixture
def months(toy_warehouse, tmp_path) -> Domain:
    """The toy domain over five months, with views that look back over two of them through two tallies."""
    folder = tmp_path / "domain"
    shutil.copytree(domain.folder, folder)
    tally = (folder / "sql" / "tallies" / "ward_tally.sql").read_text()
    (folder / "sql" / "tallies" / "a_tally.sql").write_text(tally.replace(">= 30", ">= 20"))
    history = (folder / "sql" / "features" / "ward_history.sql").read_text()
    for name, reads in (("a_history", "ward_tally"), ("z_history", "a_tally")):
        text = history.replace("lookback: 3", "lookback: 40").replace("due.as_of - 2", "due.as_of - 39")
        text = text.replace("long_share_3d", f"{name}_40d").replace("ward_tally", reads)
        (folder / "sql" / "features" / f"{name}.sql").write_text(text)
    longer = replace(domain, folder=folder, last_day=date(2020, 6, 20), retention=90)
    feed.write_drops(toy_warehouse, longer.first_day, longer.last_day)
    preparation.create_tables(longer)
    ingest(longer, longer.first_day, longer.last_day)
    vouch(longer, longer.first_day, longer.last_day)
    return longer


@pytest.mark.parametrize(("seed", "rebuild"), [(1, False), (2, False), (3, True)])
def test_four_chunks_at_once_in_any_order_give_what_one_after_another_gives(months, seed, rebuild):
    chunks = backfill.plan(months, f"{months.first_day}", f"{months.last_day}", [], rebuild=False)
    assert len(chunks) == 5

    def found() -> tuple:
        return feature_checksums(months), checksum("features", "statistics"), checksum("features", "partitions")

    def in_turn(some: Iterable[backfill.Chunk]) -> None:
        for chunk in some:
            backfill.build_chunk(months, chunk, [], RUN, rebuild=rebuild)

    in_turn(chunks)
    serial = found()
    clear_features(months)
    random.Random(seed).shuffle(chunks)
    with ThreadPoolExecutor(backfill.CHUNKS_AT_ONCE) as threads:
        list(threads.map(lambda chunk: in_turn([chunk]), chunks))
    assert found() == serial


@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_builds_take_views_and_months_in_one_order_so_that_no_two_wait_for_each_other(months, place):
    tallies = [view.name for view in months.built_views if view.kind is Kind.TALLY]
    order = [f"features/{view}/2020-0{month}" for view in tallies for month in (2, 3, 4)]
    with ThreadPoolExecutor() as threads:
        with warehouse.transaction() as holder:
            warehouse.lock(holder, order[place])
            april = {"start": "2020-04-01", "end": "2020-04-30"}
            building = threads.submit(backfill.build_chunk, months, april, [], RUN, rebuild=False)
            wait_until(is_waiting)
            assert [value(TRY_LOCK, (key,)) for key in order] == [key > place for key in range(len(order))]
        building.result()
