"""However the days of the feature store came to be built, they hold the same: rows, statistics and ledger."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from include.core import warehouse
from include.core.domain import Domain, days_between
from include.dataops import backfill, feature_build, feature_registry, preparation, reference
from include.dataops.reference import Way
from include.flights.domain import domain as flights
from tests.toy_domain.domain import domain as toy
from tests.warehouse.chain import RUN, build, checksum, clear_features, execute, feature_checksums, ingest, vouch

# Two ends of months, and more than twice the longest window.
FIRST, LAST = date(2013, 1, 1), date(2013, 3, 5)
DAYS = days_between(FIRST, LAST)
SEED = 20130305

# The stations report so well that the drop of the day before is never needed. So on every third day one has nothing to
# say, and another falls silent in the morning.
SILENT = """
    delete from raw.weather
    where mod(extract(day from as_of)::integer, 3) = 0 and (
        origin = 'LGA'
        or origin = 'EWR' and observed_at at time zone 'America/New_York' > as_of - interval '17 hours'
    )
"""

TOY_DAYS = days_between(toy.first_day, toy.last_day)
TOY_VIEWS = [view.name for view in toy.built_views]
Range = tuple[date, date]


def built(domain: Domain) -> dict[str, str | None]:
    """What the feature store holds: a hash of every view, of the statistics and of the ledger of what was built."""
    others = {name: checksum("features", name) for name in ("statistics", "partitions")}
    return feature_checksums(domain) | others


def stale(domain: Domain, first: date, last: date) -> feature_registry.Stale:
    with warehouse.transaction() as cursor:
        return feature_registry.stale_days(cursor, domain.built_views, first, last)


def cut_at(days: Sequence[date], starts: set[date]) -> list[Range]:
    """The days as ranges that follow each other; one begins at each of `starts`."""
    edges = [days[0], *sorted(starts - {days[0]}), days[-1] + timedelta(days=1)]
    return [(first, following - timedelta(days=1)) for first, following in pairwise(edges)]


@pytest.fixture(scope="module")
def template(flight_drops, new_database):
    """A warehouse that holds nine weeks of real drops, and nothing built."""
    name = new_database("template1")
    preparation.create_tables(flights)
    reference.load_files(reference.find_files(flights))
    reference.publish(flights, Way.COPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", flight_drops.as_uri())
        ingest(flights, FIRST, LAST)
    vouch(flights, FIRST, LAST)
    execute(SILENT)
    return name


@pytest.fixture(scope="module")
def at_once(template, new_database):
    """What one range leaves of these weeks, after it was built once and again."""
    new_database(template)
    build(flights, FIRST, LAST)
    once = built(flights)
    build(flights, FIRST, LAST)
    assert built(flights) == once, "the second time gave something else"
    assert None not in once.values()
    return once


@pytest.fixture
def unbuilt(at_once, template, new_database):
    """The same weeks of drops, with nothing built."""
    new_database(template)


def test_the_chain_builds_day_by_day_what_one_range_would_be(unbuilt, at_once):
    for day in DAYS:
        feature_build.build_day(flights, day, RUN)
    assert built(flights) == at_once


def test_a_backfill_builds_month_by_month_what_one_range_would_be_and_then_finds_nothing_to_do(unbuilt, at_once):
    chunks = backfill.plan(flights, FIRST.isoformat(), LAST.isoformat(), [], rebuild=False)
    assert len(chunks) == 3
    for chunk in chunks:
        assert all(backfill.build_chunk(flights, chunk, [], RUN, rebuild=False).values())
    assert built(flights) == at_once
    for chunk in chunks:
        assert not any(backfill.build_chunk(flights, chunk, [], RUN, rebuild=False).values())
    assert built(flights) == at_once


def test_random_chunks_in_random_order_and_some_of_them_twice_build_what_one_range_would_be(unbuilt, at_once):
    choice = random.Random(SEED)
    chunks = cut_at(DAYS, set(choice.sample(DAYS, 7)))
    order = choice.sample(chunks, len(chunks)) + choice.sample(chunks, 2)
    for first, last in order:
        build(flights, first, last)
    assert built(flights) == at_once, f"seed {SEED}: {[f'{first} to {last}' for first, last in order]}"


def test_days_one_by_one_in_random_order_build_what_one_range_would_be(unbuilt, at_once):
    order = random.Random(SEED).sample(DAYS, len(DAYS))
    for day in order:
        build(flights, day)
    assert built(flights) == at_once, f"seed {SEED}: {', '.join(map(str, order))}"


@pytest.fixture
def toy_at_once(toy_warehouse):
    """What one range leaves of the toy domain; the warehouse holds every drop, vouched for."""
    ingest(toy, toy.first_day, toy.last_day)
    vouch(toy, toy.first_day, toy.last_day)
    build(toy, toy.first_day, toy.last_day)
    found = built(toy)
    assert None not in found.values()
    return found


# A range of some views, all of it or only what is stale; or a single day, as the chain builds it.
RANGES = st.builds(
    lambda views, days, stale_only: (sorted(views), min(days), max(days), stale_only),
    st.sets(st.sampled_from(TOY_VIEWS), min_size=1),
    st.tuples(st.sampled_from(TOY_DAYS), st.sampled_from(TOY_DAYS)),
    st.booleans(),
)
STEPS = st.lists(RANGES | st.sampled_from(TOY_DAYS), max_size=6)
REST = st.sampled_from(["chunks", "stale days of chunks", "views"])


# A failing plan has at most a few steps as it is; to look for a shorter one would take minutes.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=25,
    deadline=None,
    phases=set(Phase) - {Phase.shrink},
)
@given(steps=STEPS, rest=REST, cuts=st.sets(st.sampled_from(TOY_DAYS)), data=st.data())
def test_whatever_was_built_before_in_the_end_there_is_what_one_range_would_be(toy_at_once, steps, rest, cuts, data):
    """Any steps first. Then the rest: chunks in any order and some twice, or one view after the other in any order."""
    clear_features(toy)
    for step in steps:
        if isinstance(step, date):
            feature_build.build_day(toy, step, RUN)
        else:
            views, first, last, stale_only = step
            feature_build.build(toy, views, first, last, RUN, stale_only=stale_only)
    if rest == "views":
        for view in data.draw(st.permutations(TOY_VIEWS), label="views"):
            missing = stale(toy, toy.first_day, toy.last_day).get(view, {})
            for first, last in feature_registry.intervals(missing):
                feature_build.build(toy, [view], first, last, RUN)
    else:
        chunks = cut_at(TOY_DAYS, cuts)
        order = data.draw(st.permutations(chunks), label="chunks")
        again = data.draw(st.lists(st.sampled_from(chunks), max_size=2), label="again")
        for first, last in [*order, *again]:
            feature_build.build(toy, TOY_VIEWS, first, last, RUN, stale_only=rest != "chunks")
    assert stale(toy, toy.first_day, toy.last_day) == {}
    assert built(toy) == toy_at_once
