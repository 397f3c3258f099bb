"""What the registry knows of each view, and which days it calls stale: after a changed view, and after another drop."""

import logging
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath
from psycopg2 import sql

from include.core import warehouse
from include.core.domain import Column, Domain, Source, days_between
from include.core.ledger import NotReadyError
from include.dataops import feature_build, feature_registry, landing, preparation
from include.modelops.snapshot import keep_rows
from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.warehouse.chain import (
    RUN,
    build,
    checksum,
    execute,
    feature_checksums,
    ingest,
    prepare,
    rows,
    value,
    vouch,
)

FIRST, LAST = domain.first_day, domain.last_day
DAYS = days_between(FIRST, LAST)
VIEWS = {view.name for view in domain.built_views}
ALL = set(DAYS)


@pytest.fixture(scope="module")
def template(toy_template, new_database, tmp_path_factory) -> str:
    """A warehouse in which every view is built for every day."""
    name = new_database(toy_template)
    with pytest.MonkeyPatch.context() as patch:
        zone = ObjectStoragePath(tmp_path_factory.mktemp("landing").as_uri())
        patch.setenv("LANDING_URI", str(zone))
        feed.write_drops(zone, FIRST, LAST)
        ingest(domain, FIRST, LAST)
        vouch(domain, FIRST, LAST)
        build(domain, FIRST, LAST)
    return name


@pytest.fixture
def built(template, new_database, toy_landing) -> Path:
    """A copy of that warehouse; returns the landing zone."""
    new_database(template)
    return toy_landing


@pytest.fixture
def edit(tmp_path):
    """Changes the views of the toy domain as `edit(file, old, new)`, each change on top of those before."""
    folder = tmp_path / "domain"
    shutil.copytree(domain.folder, folder)

    def apply(file: str, old: str, new: str) -> Domain:
        path = folder / "sql" / f"{file}.sql"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return replace(domain, folder=folder)

    return apply


def prepared(of: Domain) -> Domain:
    preparation.create_tables(of)
    return of


def stale(of: Domain = domain) -> feature_registry.Stale:
    with warehouse.transaction() as cursor:
        return feature_registry.stale_days(cursor, of.built_views, FIRST, LAST)


def stale_sets(of: Domain = domain) -> dict[str, set[date]]:
    return {view: set(days) for view, days in stale(of).items()}


def reasons(of: Domain = domain) -> set[str]:
    return {why for days in stale(of).values() for why in days.values()}


def build_stale(of: Domain, start: date = FIRST, end: date = LAST) -> dict[str, int]:
    return feature_build.build(of, [view.name for view in of.built_views], start, end, RUN, stale_only=True)


def places(view: str) -> dict[tuple, date]:
    """Where each row lies and which transaction wrote it: a row that is written again has another place."""
    query = sql.SQL("select ctid::text, xmin::text, as_of from {}").format(sql.Identifier("features", view))
    return {(ctid, xmin): as_of for ctid, xmin, as_of in rows(query)}


def rewritten(before: dict[str, dict[tuple, date]]) -> dict[str, set[date]]:
    found = {view: {day for place, day in places(view).items() if place not in before[view]} for view in before}
    return {view: days for view, days in found.items() if days}


def correct(zone: Path, day: date, longer: int = 100) -> None:
    """Replace the drop of a day by one in which every visit took longer, and vouch for it."""
    lines = [[*line[:4], line[4] and line[4] + longer] for line in feed.rows_of(day)]
    (zone / day.isoformat() / "visits.csv").write_text(feed.as_csv(lines))
    landing.load_source(domain, domain.sources[0], day, day, RUN)
    vouch(domain, day, day)


# --- What it says ---


def test_the_registry_lists_every_view_with_its_version_and_its_days(toy_warehouse):
    prepare(domain, FIRST, date(2020, 3, 1))
    execute("update quality.partitions set file_sha256 = 'other' where as_of = '2020-02-29'")
    listed = rows(
        "select view, kind, version, owner, description, lookback, reads, built_days, first_day, last_day, stale_days"
        " from features.registry"
    )
    stale_of = {"ward_tally": 1, "labels": 1, "visits_due": 1, "ward_history": 2}
    span = (5, FIRST, date(2020, 3, 1))
    assert listed == [
        (v.name, v.kind, v.version, v.owner, v.description, v.lookback, list(v.reads), *span, stale_of[v.name])
        for v in domain.built_views
    ]
    assert {kind for _, kind, *_ in listed} == {"tallies", "labels", "features"}


def test_a_view_without_a_built_day_is_listed_with_none(toy_warehouse):
    found = rows("select view, built_days, first_day, last_day, stale_days from features.registry")
    assert found == [(view.name, 0, None, None, 0) for view in domain.built_views]


def test_history_counts_the_drops_from_the_first_day_on_up_to_the_reach(built):
    for view in domain.built_views:
        found = rows("select history_days from features.partitions where view = %s order by as_of", (view.name,))
        assert [days for (days,) in found] == [min(view.reach, n) for n in range(1, len(DAYS) + 1)]


def test_preparing_twice_changes_nothing(built):
    tables = [name for (name,) in rows("select tablename from pg_tables where schemaname = 'features'")]
    before = {table: checksum("features", table, without=()) for table in tables}, {v: places(v) for v in VIEWS}
    prepared(domain)
    assert ({table: checksum("features", table, without=()) for table in tables}, {v: places(v) for v in VIEWS}) == (
        before
    )
    assert stale() == {}


# --- A changed view ---


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("features/ward_history", "sum(past.long)", "2 * sum(past.long)", {"ward_history"}),
        ("features/visits_due", "ward, age\n", "ward, age + 1 as age\n", {"visits_due"}),
        ("labels/labels", ">= 30", ">= 31", {"labels"}),
        ("tallies/ward_tally", ">= 30", ">= 31", {"ward_tally", "ward_history"}),
        ("tallies/ward_tally", "-- owner", "-- a remark\n-- owner", set()),
        ("features/visits_due", "visit_date = as_of\n", "visit_date = as_of -- a remark at the end", set()),
    ],
)
def test_a_changed_view_makes_its_days_stale_and_those_of_views_that_read_it_and_just_these_are_rebuilt(
    built, edit, file, old, new, expected
):
    of = prepared(edit(file, old, new))
    assert stale_sets(of) == dict.fromkeys(expected, ALL)
    assert dict(rows("select view, stale_days from features.registry")) == {
        view: len(DAYS) if view in expected else 0 for view in VIEWS
    }
    before = {view: places(view) for view in VIEWS}
    counts = build_stale(of)
    assert {view for view, count in counts.items() if count} == set(rewritten(before)) == expected
    assert stale(of) == {}
    kept = feature_checksums(of)
    build(of, FIRST, LAST)
    assert feature_checksums(of) == kept


def test_a_changed_view_has_to_be_rebuilt_before_a_training_and_only_that_one(built, edit):
    of = prepared(edit("features/ward_history", "sum(past.long)", "2 * sum(past.long)"))
    as_of = date(2020, 3, 5)
    with pytest.raises(NotReadyError, match=r": ward_history 2020-02-26 to 2020-03-03 \(another version\)\."):
        keep_rows(of, as_of, RUN)
    untouched = places("visits_due")
    feature_build.build(of, ["ward_history"], FIRST, LAST, RUN)
    assert keep_rows(of, as_of, RUN)
    assert places("visits_due") == untouched


def test_going_back_to_the_former_sql_makes_fresh_again_what_was_not_rebuilt(built, edit):
    of = prepared(edit("features/ward_history", "sum(past.long)", "2 * sum(past.long)"))
    build_stale(of, FIRST, date(2020, 2, 29))
    assert stale_sets(of) == {"ward_history": set(days_between(date(2020, 3, 1), LAST))}
    prepared(domain)
    assert stale() == {"ward_history": dict.fromkeys(days_between(FIRST, date(2020, 2, 29)), "another version")}


def test_a_build_registers_what_was_changed_since_the_tables_were_prepared(built, edit):
    of = edit("features/visits_due", "-- feature: age", "-- feature: wing text, part\n-- feature: age")
    of = edit("features/visits_due", "ward, age", "ward, age, 'old' as wing")
    assert build(of, FIRST, LAST)["visits_due"] == 8 * len(DAYS)
    assert stale(of) == {}
    assert value("select count(*) from features.visits_due where wing = 'old'") == 8 * len(DAYS)
    assert value("select version from features.registry where view = 'visits_due'") == of.view("visits_due").version


def test_what_is_built_from_sql_that_was_changed_meanwhile_counts_as_the_version_that_it_is(built, edit):
    of = edit("features/ward_history", "sum(past.long)", "2 * sum(past.long)")
    with ThreadPoolExecutor() as threads:
        with warehouse.transaction() as holder:
            warehouse.lock(holder, "features", "ward_history", "2020-02")
            former = threads.submit(feature_build.build, domain, ["ward_history"], FIRST, LAST, RUN)
            wait_until(lambda: value("select exists (select from pg_locks where not granted)"))
            prepared(of)
        former.result()
    assert stale_sets(of) == {"ward_history": ALL}


def wait_until(reached) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- A table of another shape ---


def test_a_new_column_is_added_and_the_days_from_before_are_stale(built, edit):
    rows_before = value("select count(*) from features.visits_due")
    edit("features/visits_due", "-- feature: age", "-- feature: wing text, part\n-- feature: age")
    of = prepared(edit("features/visits_due", "ward, age", "ward, age, 'old' as wing"))
    assert value("select count(*) from features.visits_due where wing is null") == rows_before
    assert stale(of) == {"visits_due": dict.fromkeys(DAYS, "another version")}
    build_stale(of)
    assert stale(of) == {}
    assert value("select count(*) from features.visits_due where wing = 'old'") == rows_before


REMOVED = ("features/visits_due", "-- feature: age integer, years\n", "-- feature: years integer, age\n")
RETYPED = ("features/visits_due", "age integer", "age bigint")
REKEYED = ("features/ward_history", "-- entity", "-- entity: visitor text, who comes\n-- entity")


@pytest.mark.parametrize("change", [REMOVED, RETYPED, REKEYED], ids=["removed", "retyped", "other key"])
def test_a_table_of_another_shape_is_made_anew_and_its_days_are_missing_also_after_going_back(built, edit, change):
    view = change[0].split("/")[1]
    of = prepared(edit(*change))
    assert value(f"select count(*) from features.{view}") == 0  # noqa: S608
    assert stale(of)[view] == dict.fromkeys(DAYS, "missing")
    prepared(domain)
    assert stale()[view] == dict.fromkeys(DAYS, "missing")
    build_stale(domain)
    assert stale() == {}


def test_the_statistics_of_rows_that_are_gone_go_with_them(built, edit):
    prepared(edit(*RETYPED))
    assert value("select count(*) from features.statistics where view = 'visits_due'") == 0


def test_a_view_whose_file_is_gone_leaves_the_registry(built, edit):
    of = edit("features/visits_due", "age", "age")
    (of.folder / "sql" / "features" / "ward_history.sql").unlink()
    of = prepared(replace(of, unit=domain.unit))
    assert [view for (view,) in rows("select view from features.registry")] == ["labels", "visits_due", "ward_tally"]
    assert stale(of) == {}
    prepared(domain)
    assert stale() == {}


def test_a_warehouse_of_the_former_layout_keeps_its_rows_and_counts_all_of_them_as_stale(built):
    versions = dict(rows("select view, version from features.views"))
    execute(
        """
        drop view features.registry, features.freshness;
        drop table features.views, features.statistics, features.labels, features.ward_tally;
        delete from features.partitions where view in ('labels', 'ward_tally');
        alter table features.partitions drop column inputs, drop column history_days;
        create table features.registry (
            view        text    primary key,
            version     text    not null,
            entity      text[]  not null,
            owner       text    not null,
            description text    not null,
            lookback    integer not null,
            features    jsonb   not null
        );
        insert into features.registry
        select distinct view, version, array['ward'], 'reception', 'One row per ward.', 3, '{}'::jsonb
        from features.partitions;
        """
    )
    kept = {view: places(view) for view in ("visits_due", "ward_history")}
    prepared(domain)
    assert {view: places(view) for view in kept} == kept
    listed = dict(rows("select view, array[built_days, stale_days] from features.registry"))
    assert listed == {"visits_due": [12, 12], "ward_history": [12, 12], "labels": [0, 0], "ward_tally": [0, 0]}
    assert dict(rows("select view, version from features.registry")) == versions
    with pytest.raises(NotReadyError, match="ward_history 2020-02-26"):
        keep_rows(domain, date(2020, 3, 5), RUN)
    build_stale(domain)
    assert stale() == {}
    assert keep_rows(domain, date(2020, 3, 5), RUN)


# --- Another drop ---

BEDS = Source(
    "beds",
    columns=(Column("ward", "text", "where", required=True), Column("free", "integer", "beds", required=True)),
    key=("ward",),
)
BED_VIEWS = {
    "free_beds": "-- lookback: 2\nselect day::date as as_of, ward, sum(free)::integer as free_beds from raw.beds\n"
    "join generate_series(%(start)s::date, %(end)s, '1 day') as day on as_of between day::date - 1 and day::date\n",
    "load": "-- lookback: 1\nselect as_of, ward, sum(free)::integer as load\n"
    "from features.ward_history join raw.beds using (as_of, ward) where as_of between %(start)s and %(end)s\n",
}


def test_another_drop_makes_stale_the_days_in_reach_of_the_views_that_read_its_source(toy_warehouse, edit):
    of = edit("features/visits_due", "age", "age")
    for name, text in BED_VIEWS.items():
        header = "-- One row per ward.\n-- owner: reception\n-- entity: ward text, where\n"
        header += f"-- feature: {name} integer, beds\n"
        (of.folder / "sql" / "features" / f"{name}.sql").write_text(header + text + "group by 1, 2\n")
    of = prepared(replace(of, sources=(*of.sources, BEDS)))
    for day in DAYS:
        (toy_warehouse / day.isoformat() / "beds.csv").write_text("ward,free\nnorth,1\nsouth,2\n")
    ingest(of, FIRST, LAST)
    vouch(of, FIRST, LAST)
    build(of, FIRST, LAST)
    assert stale(of) == {}
    day = date(2020, 2, 29)
    correct(toy_warehouse, day)
    one, three = {day}, set(days_between(day, date(2020, 3, 2)))
    visits = {"ward_tally": one, "labels": one, "visits_due": one, "ward_history": three, "load": three}
    assert stale_sets(of) == visits
    assert reasons(of) == {"other drops"}
    build_stale(of)
    (toy_warehouse / day.isoformat() / "beds.csv").write_text("ward,free\nnorth,1\nsouth,3\n")
    landing.load_source(of, BEDS, day, day, RUN)
    assert stale_sets(of) == {"free_beds": {day, date(2020, 3, 1)}, "load": three}


def test_the_same_file_loaded_again_leaves_everything_fresh(built):
    landing.load_source(domain, domain.sources[0], FIRST, LAST, "another run")
    assert stale() == {}


def test_a_drop_that_is_gone_makes_stale_what_was_built_from_it(built):
    execute("delete from quality.partitions where as_of = '2020-03-01'")
    assert stale_sets()["ward_history"] == set(days_between(date(2020, 3, 1), date(2020, 3, 3)))


def test_building_the_day_of_another_drop_mends_the_later_days_that_were_built_from_the_former(built):
    day = date(2020, 3, 1)
    before, old = {view: places(view) for view in VIEWS}, feature_checksums(domain)
    correct(built, day)
    assert feature_build.build_day(domain, day, RUN)["ward_history"] == 2
    assert stale() == {}
    later = set(days_between(day, date(2020, 3, 3)))
    assert rewritten(before) == {"ward_tally": {day}, "labels": {day}, "visits_due": {day}, "ward_history": later}
    mended = feature_checksums(domain)
    assert mended != old
    execute("truncate features.ward_tally, features.labels, features.visits_due, features.ward_history")
    build(domain, FIRST, LAST)
    assert feature_checksums(domain) == mended


def test_a_later_day_of_which_a_drop_is_not_vouched_for_stays_stale_and_the_log_says_so(built, caplog):
    correct(built, date(2020, 3, 1))
    execute("update quality.partitions set state = 'failed' where as_of = '2020-03-03'")
    with caplog.at_level(logging.WARNING):
        feature_build.build_day(domain, date(2020, 3, 1), RUN)
    assert stale() == {"ward_history": {date(2020, 3, 3): "other drops"}}
    (told,) = [record.getMessage() for record in caplog.records if record.name == feature_build.__name__]
    assert "2020-03-03 of visits (failed)" in told
    assert "stay stale" in told


def test_days_that_were_never_built_are_not_begun_by_the_mending_of_others(toy_warehouse):
    ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, LAST)
    build(domain, FIRST, date(2020, 3, 1))
    correct(toy_warehouse, date(2020, 3, 1), longer=50)
    feature_build.build_day(domain, date(2020, 3, 1), RUN)
    assert value("select max(as_of) from features.partitions") == date(2020, 3, 1)
    assert value("select max(as_of) from quality.stages where stage = 'built'") == date(2020, 3, 1)


def test_days_of_another_version_are_left_to_a_backfill(built, edit):
    of = prepared(edit("features/visits_due", "ward, age\n", "ward, age + 1 as age\n"))
    feature_build.build_day(of, date(2020, 3, 1), RUN)
    assert stale_sets(of) == {"visits_due": ALL - {date(2020, 3, 1)}}


def test_of_two_days_apart_all_days_between_keep_their_rows(built):
    early, late = date(2020, 2, 27), date(2020, 3, 6)
    for day in (early, late):
        correct(built, day)
    before = {view: places(view) for view in VIEWS}
    build_stale(domain)
    assert rewritten(before)["ward_history"] == {day + timedelta(days=n) for day in (early, late) for n in range(3)}
    assert stale() == {}
