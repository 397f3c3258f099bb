"""Drift by way of the warehouse is that of numpy and scipy on the frames.

The reference is written here from the definitions, and shares no code with what it checks: edges are quantiles, shares
are histograms, distances are those of numpy and scipy. What is checked goes the way of a real day: the profile of the
rows a model was fitted on, kept as the registry keeps it, and the day's rows, binned in SQL.
"""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from include.core import warehouse
from include.modelops import drift, registry
from tests.toy_domain.domain import domain
from tests.warehouse.models import add_model

DAY = date(2020, 3, 1)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
NUMBERS = ("age", "long_share_3d", "probability")
COLUMNS = ("ward", *NUMBERS)
FLOOR = 1e-4
FREQUENT = 15
NONE = math.nan  # for a measure that a feature does not have

# More categories than have a bin of their own, and texts that mean something to CSV, to COPY or to SQL.
WARDS = st.one_of(
    st.none(),
    st.sampled_from([f"w{n:02}" for n in range(18)]),
    st.sampled_from(["", " ", "W01", "1", "nan", "None", "null", "\\N", 'a "b", c', "a\nb", "ä ß", "%(version)s"]),
)
AGES = st.one_of(st.none(), st.integers(-3, 12), st.integers(-(2**31), 2**31 - 1))
DOUBLES = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 0.1, 0.1 + 0.2, 1 / 3, 5e-324, 1.7e308, -1.7e308]),
    st.integers(0, 8).map(lambda n: n / 8),
    st.floats(allow_nan=False, allow_infinity=False),
)
PROBABILITIES = st.one_of(st.integers(0, 10).map(lambda n: n / 10), st.floats(0, 1))
ROWS = st.lists(st.tuples(WARDS, AGES, DOUBLES, PROBABILITIES), min_size=1, max_size=60)

ONE = [("a", 1, 0.5, 0.5)]
NOTHING = [(None, None, None, 0.5)] * 4
CONSTANT = [("a", 3, 1.0, 0.2)] * 7
HUNDRED = [(f"w{n % 18:02}", n, n / 100, n / 100) for n in range(100)]


def reference_edges(known: np.ndarray) -> np.ndarray:
    """The distinct deciles of the known values; none without values."""
    tenths = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    return np.unique(np.quantile(known, tenths, method="lower")) if len(known) else np.array([])


def shares_of_numbers(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Shares of the half-open bins between the edges, and at last of missing values."""
    known = values[~np.isnan(values)]
    # The last bin of numpy holds its right end, which nothing reaches.
    counts = np.histogram(known, [-np.inf, *edges, np.inf])[0]
    return np.array([*counts, len(values) - len(known)]) / len(values)


def shares_of_texts(values: list[str | None], named: list[str]) -> np.ndarray:
    """Shares of the named categories, of all others, and of missing values."""
    counts = [sum(value == name for value in values) for name in named]
    missing = sum(value is None for value in values)
    return np.array([*counts, len(values) - sum(counts) - missing, missing]) / len(values)


def psi(then: np.ndarray, now: np.ndarray) -> float:
    e, a = np.maximum(then, FLOOR), np.maximum(now, FLOOR)
    # A bin that neither side has is no bin.
    return float(np.where((then == 0) & (now == 0), 0.0, (a - e) * np.log(a / e)).sum())


def expected(then: list[tuple], now: list[tuple]) -> dict[str, dict[str, float]]:
    """What drift has to be, by feature, from the rows alone."""
    found = {}
    for place, feature in enumerate(COLUMNS):
        before, today = ([row[place] for row in side] for side in (then, now))
        if feature == "ward":
            texts = [value for value in before if value is not None]
            counted = pd.Series(texts, dtype=object).value_counts().index
            # A category that is called like one of the other bins has none of its own.
            frequent = [name for name in counted if name not in ("missing", "other")][:FREQUENT]
            shares = [shares_of_texts(side, frequent) for side in (before, today)]
            # Without a category of any feature the reference is that of a version which kept none.
            unseen = np.mean([value is not None and value not in texts for value in today]) if texts else NONE
        else:
            numbers = [
                np.array([np.nan if value is None else value for value in side], float) for side in (before, today)
            ]
            edges = reference_edges(numbers[0][~np.isnan(numbers[0])])
            shares, unseen = [shares_of_numbers(side, edges) for side in numbers], NONE
        found[feature] = {
            "psi": psi(*shares),
            "js_distance": jensenshannon(*shares, base=2),
            "missing": shares[1][-1],
            "missing_then": shares[0][-1],
            "unseen": unseen,
        }
    return found


def measured(then: list[tuple], now: list[tuple]) -> dict[str, dict[str, float]]:
    """The same by the way of a real day."""
    table = pd.DataFrame(then, columns=list(COLUMNS))
    features = table[["ward", "age", "long_share_3d"]].astype({"ward": object, "age": float, "long_share_3d": float})
    features["ward"] = features["ward"].where(features["ward"].notna(), float("nan"))
    profile = drift.profile(domain, features, table["probability"].to_numpy(float))
    with warehouse.transaction() as cursor:
        registry.keep_profile(cursor, 1, profile)
        cursor.execute(
            "create temporary table scored_rows (as_of date, entity_id text, ward text, age integer,"
            " long_share_3d double precision, probability double precision) on commit drop"
        )
        rows = [(DAY, f"e{n}", *row) for n, row in enumerate(now)]
        cursor.executemany("insert into scored_rows values (%s, %s, %s, %s, %s, %s)", rows)
        cursor.execute(warehouse.statement("modelops/shares"), {"version": 1})
        shares: dict[str, tuple[dict, dict]] = {}
        for feature, name, before, today in cursor.fetchall():
            one = shares.setdefault(feature, ({}, {}))
            one[0][name], one[1][name] = before, today
        cursor.execute(warehouse.statement("modelops/unseen"), {"version": 1})
        unseen = dict(cursor.fetchall())
    return {
        feature: {
            "psi": drift.population_stability_index(before, today),
            "js_distance": drift.jensen_shannon_distance(before, today),
            "missing": today.get(drift.MISSING, 0.0),
            "missing_then": before.get(drift.MISSING, 0.0),
            "unseen": unseen.get(feature, NONE),
        }
        for feature, (before, today) in shares.items()
    }


def assert_equal(then: list[tuple], now: list[tuple]) -> None:
    add_model(1)
    found = measured(then, now)
    for feature, measures in expected(then, now).items():
        assert found[feature] == pytest.approx(measures, rel=1e-9, abs=1e-7, nan_ok=True), feature


@QUIET
@given(ROWS, ROWS)
@example(ONE, ONE)
@example(ONE, NOTHING)
@example(NOTHING, ONE)
@example(NOTHING, NOTHING)
@example(CONSTANT, HUNDRED)
@example(HUNDRED, CONSTANT)
@example(HUNDRED, HUNDRED)
def test_drift_by_sql_is_that_of_numpy_and_scipy(toy_warehouse, then, now):
    assert_equal(then, now)


@QUIET
@given(ROWS, st.data())
def test_values_on_the_edges_fall_into_the_bins_of_numpy(toy_warehouse, then, data):
    known = {place: [row[place] for row in then if row[place] is not None] or [None] for place in range(4)}
    now = data.draw(
        st.lists(st.tuples(*(st.sampled_from(known[place]) for place in range(4))), min_size=1, max_size=30)
    )
    assert_equal(then, now)


@QUIET
@given(ROWS)
def test_a_day_like_the_reference_has_no_drift(toy_warehouse, rows):
    add_model(1)
    for feature, found in measured(rows, rows).items():
        assert (found["psi"], found["js_distance"]) == pytest.approx((0, 0), abs=1e-7), feature
        assert found["missing"] == pytest.approx(found["missing_then"])
        assert not found["unseen"] > 0


SPECIAL = ["missing", "other", "Missing", "0", "1"]


@pytest.mark.parametrize(
    "now", [["missing"] * 3, ["other"] * 3, [None] * 3, ["x"] * 3, ["missing", None, "other", "x"]]
)
@pytest.mark.parametrize(
    "then", [["a", "b"], ["a", None], ["missing", "a"], ["other", "a"], [*SPECIAL, None], SPECIAL * 2]
)
def test_a_category_may_be_called_missing_or_other(toy_warehouse, then, now):
    assert_equal([(ward, 1, 0.5, 0.5) for ward in then], [(ward, 1, 0.5, 0.5) for ward in now])


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("then", [[0.0, 1.0, 2.0], [0.0, math.inf], [-math.inf, 1.0], [math.inf], [None]])
def test_infinities_have_their_place_at_the_ends(toy_warehouse, then, value):
    assert_equal([("a", 1, number, 0.5) for number in then], [("a", 1, number, 0.5) for number in (value, 1.0, None)])


def test_a_number_that_is_none_is_missing(toy_warehouse):
    assert_equal(
        [("a", 1, number, 0.5) for number in (0.0, 1.0)], [("a", 1, number, 0.5) for number in (math.nan, 1.0)]
    )
