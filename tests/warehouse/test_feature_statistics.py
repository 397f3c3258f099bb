"""What is stored of each feature's values is what the values are like, however and how often they were built."""

import math
import shutil
from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest
from airflow.sdk import ObjectStoragePath
from psycopg2 import sql

from include.core import warehouse
from include.core.domain import Domain, days_between
from include.core.feature_view import FEATURE_TYPES, FeatureView, Kind
from include.dataops import feature_build, feature_statistics, preparation
from tests.toy_domain import feed
from tests.toy_domain.domain import domain as toy
from tests.warehouse.chain import RUN, build, checksum, execute, ingest, rows, value, vouch

FIRST, LAST = toy.first_day, toy.last_day
DAYS = days_between(FIRST, LAST)
# One more feature of every type, each with nulls: numbers that add up to something else in another order, and thirds.
MORE = {
    "is_old boolean": "nullif(age > 40, age = 60)",
    "half smallint": "nullif(age / 2, 15)::smallint",
    "large bigint": "nullif(age, 30) * 100000000000001",
    "part double precision": "nullif(exp(age::double precision / 3), exp(10))",
    "born date": "nullif(as_of - 365 * (age / 20), as_of - 365)",
    "nobody text": "null::text",
}


@pytest.fixture(scope="module")
def domain(tmp_path_factory) -> Domain:
    """The toy domain with features of every type."""
    folder = tmp_path_factory.mktemp("domain") / "toy"
    shutil.copytree(toy.folder, folder)
    file = folder / "sql" / "features" / "visits_due.sql"
    header = "".join(f"-- feature: {declared}, a value\n" for declared in MORE)
    computed = ", ".join(f"{text} as {declared.split()[0]}" for declared, text in MORE.items())
    text = (
        file.read_text().replace("select as_of", f"{header}select as_of").replace("ward, age", f"ward, age, {computed}")
    )
    file.write_text(text)
    return replace(toy, folder=folder)


@pytest.fixture(scope="module")
def template(domain, new_database, tmp_path_factory) -> str:
    """A warehouse in which every view is built for every day, each day alone."""
    name = new_database("template1")
    preparation.create_tables(domain)
    with pytest.MonkeyPatch.context() as patch:
        zone = ObjectStoragePath(tmp_path_factory.mktemp("landing").as_uri())
        patch.setenv("LANDING_URI", str(zone))
        feed.write_drops(zone, FIRST, LAST)
        ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, LAST)
    for day in DAYS:
        build(domain, day)
    return name


@pytest.fixture
def built(template, new_database) -> None:
    new_database(template)


def values_of(view: FeatureView) -> pd.DataFrame:
    """The table of a view, as it was inserted."""
    query = sql.SQL("select * from {}").format(sql.Identifier("features", view.name))
    with warehouse.transaction() as cursor:
        cursor.execute(query)
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description], dtype=object)


def described(values: pd.Series, kind: str) -> tuple:
    """What pandas says of the values: rows, nulls, mean, standard deviation, minimum, maximum, distinct values."""
    known = values.dropna()
    counts = len(values), int(values.isna().sum())
    if kind in ("text", "date"):
        return (*counts, None, None, None, None, known.nunique())
    numbers = known.astype("float64")
    found = (numbers.mean(), numbers.std(), numbers.min(), numbers.max())
    return (*counts, *(None if math.isnan(number) else float(number) for number in found), None)


def stored(view: str) -> dict[tuple[str, date], tuple]:
    found = rows(
        "select feature, as_of, row_count, null_count, mean, stddev, minimum, maximum, distinct_values"
        " from features.statistics where view = %s",
        (view,),
    )
    return {(feature, day): tuple(measured) for feature, day, *measured in found}


def statistics() -> str | None:
    return checksum("features", "statistics")


@pytest.mark.parametrize("name", ["visits_due", "ward_history", "labels"])
def test_statistics_are_what_pandas_says_of_the_table(built, domain, name):
    view = domain.view(name)
    kinds = {feature.name: feature.type for feature in view.features}
    expected = {
        (feature, day): described(of_day[feature], kind)
        for day, of_day in values_of(view).groupby("as_of")
        for feature, kind in kinds.items()
    }
    found = stored(name)
    assert found.keys() == expected.keys()
    for key, measured in expected.items():
        assert [number is None for number in found[key]] == [number is None for number in measured], key
        assert [number or 0 for number in found[key]] == pytest.approx([number or 0 for number in measured]), key
    assert len(expected) == len(kinds) * (len(DAYS) - (name == "labels"))


def test_every_type_is_among_them(domain):
    kinds = {feature.type for view in domain.built_views if view.kind is not Kind.TALLY for feature in view.features}
    assert kinds == set(FEATURE_TYPES)


def test_the_smallest_and_the_largest_value_are_values_of_the_table(built, domain):
    found = rows(
        "select minimum, maximum from features.statistics join ("
        " select as_of, min(long_share_3d) as minimum, max(long_share_3d) as maximum from features.ward_history"
        " group by as_of) as exact using (as_of, minimum, maximum) where feature = 'long_share_3d'"
    )
    assert len(found) == len(DAYS) - 1  # on the first day there is no share


def test_the_mean_of_the_labels_is_the_share_that_is_true(built):
    shares = dict(rows("select as_of, avg(label::integer)::float8 from features.labels group by as_of"))
    assert dict(rows("select as_of, mean from features.statistics where feature = 'label'")) == shares
    assert 0 < min(shares.values()) < max(shares.values()) <= 1


def test_a_day_without_rows_has_no_statistics_and_tallies_have_none(built):
    assert value("select row_count from features.partitions where view = 'labels' and as_of = %s", (FIRST,)) == 0
    assert (("label", FIRST) in stored("labels"), stored("ward_tally")) == (False, {})


def test_a_rebuild_replaces_the_statistics_of_its_views_and_days_and_of_no_other(built, domain):
    before = stored("visits_due"), stored("ward_history"), stored("labels")
    execute("update raw.visits set age = age + 1 where as_of between '2020-03-01' and '2020-03-02'")
    feature_build.build(domain, ["visits_due"], date(2020, 3, 1), date(2020, 3, 2), RUN)
    after = stored("visits_due")
    changed = {(feature, day) for feature, day in after if after[feature, day] != before[0][feature, day]}
    assert {day for _, day in changed} == {date(2020, 3, 1), date(2020, 3, 2)}
    assert after["age", date(2020, 3, 1)][2] == before[0]["age", date(2020, 3, 1)][2] + 1
    assert (after.keys(), stored("ward_history"), stored("labels")) == (before[0].keys(), *before[1:])


def test_days_that_lost_all_rows_lose_their_statistics(built, domain):
    gone = date(2020, 3, 1)
    execute("delete from raw.visits where as_of = %s", (gone,))
    feature_build.build(domain, ["visits_due"], gone, gone, RUN)
    assert {day for _, day in stored("visits_due")} == set(DAYS) - {gone}


@pytest.mark.parametrize("days", [1, 3, 5, 12])
def test_chunks_of_any_length_give_the_same_bits(built, domain, days):
    by_day = statistics()
    execute("truncate features.statistics")
    for start in reversed(DAYS[::days]):
        build(domain, start, min(LAST, start + timedelta(days=days - 1)))
    assert statistics() == by_day


def test_the_order_of_the_rows_gives_the_same_bits(built, domain):
    before = statistics()
    execute("create table moved as select * from features.visits_due; truncate features.visits_due")
    execute("insert into features.visits_due select * from moved order by as_of, part desc, visitor")
    with warehouse.transaction() as cursor:
        feature_statistics.record(cursor, domain.view("visits_due"), FIRST, LAST)
    assert statistics() == before


@pytest.mark.parametrize("number", ["'nan'", "'infinity'", "'-infinity'", "1.7e308", "-1.7e308", "5e-324", "1e-200"])
def test_no_value_of_a_feature_keeps_it_from_being_built(built, domain, number):
    execute("alter table raw.visits add column number double precision")
    execute(f"update raw.visits set number = case visitor when 'v1' then {number}::float8 else -1e300 end")  # noqa: S608
    view = domain.view("visits_due")
    changed = replace(view, sql=view.sql.replace("nullif(exp(age::double precision / 3), exp(10))", "number"))
    assert changed.sql != view.sql
    execute("delete from features.visits_due")
    execute(
        "insert into features.visits_due (as_of, visitor, part)"
        " select as_of, visitor, number from raw.visits where visit_date = as_of"
    )
    with warehouse.transaction() as cursor:
        feature_statistics.record(cursor, changed, FIRST, LAST)
    assert value("select count(*) from features.statistics where feature = 'part'") == len(DAYS)
