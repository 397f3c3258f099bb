"""Distances between distributions, against numpy and scipy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from include.modelops import drift

BINS = ("0", "1", "2", "3", "missing")


@st.composite
def shares(draw):
    """Shares over some of the bins, as counts of rows would give them."""
    counts = draw(st.lists(st.integers(0, 50), min_size=len(BINS), max_size=len(BINS)).filter(any))
    return {name: count / sum(counts) for name, count in zip(BINS, counts, strict=True) if count}


@given(shares(), shares())
def test_the_stability_index_is_the_textbook_sum_with_a_floor_under_both_shares(expected, actual):
    names = sorted(set(expected) | set(actual))
    e = np.maximum([expected.get(name, 0) for name in names], 1e-4)
    a = np.maximum([actual.get(name, 0) for name in names], 1e-4)
    found = drift.population_stability_index(expected, actual)
    assert found == pytest.approx(np.sum((a - e) * np.log(a / e)))
    assert found >= 0


@given(shares(), shares())
def test_the_jensen_shannon_distance_is_that_of_scipy(expected, actual):
    e, a = ([side.get(name, 0) for name in BINS] for side in (expected, actual))
    found = drift.jensen_shannon_distance(expected, actual)
    assert found == pytest.approx(jensenshannon(e, a, base=2), abs=1e-7)
    assert -1e-9 <= found <= 1 + 1e-9


@given(shares(), shares())
def test_distances_are_the_same_both_ways(expected, actual):
    for distance in (drift.population_stability_index, drift.jensen_shannon_distance):
        assert distance(expected, actual) == pytest.approx(distance(actual, expected), abs=1e-9)


@pytest.mark.parametrize("distance", [drift.population_stability_index, drift.jensen_shannon_distance])
def test_equal_shares_have_no_distance(distance):
    assert distance({"a": 0.4, "b": 0.6}, {"b": 0.6, "a": 0.4}) == 0


def test_disjoint_shares_are_one_apart():
    assert drift.jensen_shannon_distance({"a": 1.0}, {"b": 1.0}) == 1


def test_a_shift_that_the_rule_of_thumb_calls_major_is_above_its_quarter():
    assert drift.population_stability_index({"a": 0.5, "b": 0.5}, {"a": 0.8, "b": 0.2}) > 0.25


def test_ten_bins_of_distinct_values_hold_equally_many_rows():
    values = pd.Series(np.arange(1000.0))
    edges = drift.numeric_edges(values)
    assert len(edges) == 9
    found = drift.numeric_shares(values, edges)
    assert sorted(found) == [str(number) for number in range(10)]
    assert all(share == pytest.approx(0.1, abs=0.002) for share in found.values())


@pytest.mark.parametrize(
    ("values", "edges"),
    [([], []), ([np.nan], []), ([5.0] * 20, [5.0]), ([0.0] * 50 + [1.0] * 50, [0.0, 1.0])],
)
def test_edges_are_values_that_were_seen_each_once(values, edges):
    assert drift.numeric_edges(pd.Series(values, dtype=float)) == edges


def test_an_edge_belongs_to_the_bin_above_it():
    values = pd.Series([0.9, 1.0, 1.1, 2.0, 5.0, np.nan])
    assert drift.numeric_shares(values, [1.0, 2.0]) == pytest.approx(
        {"0": 1 / 6, "1": 2 / 6, "2": 2 / 6, "missing": 1 / 6}
    )


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=80))
def test_the_shares_of_a_column_add_up_to_one(values):
    column = pd.Series(values, dtype=float)
    found = drift.numeric_shares(column, drift.numeric_edges(column))
    assert sum(found.values()) == pytest.approx(1)
    assert found.get("missing", 0) == pytest.approx(column.isna().mean())


def test_rare_categories_are_counted_together_and_missing_ones_apart():
    frequent = [f"c{n:02}" for n in range(drift.TOP_CATEGORIES) for _ in range(3)]
    found = drift.category_shares(pd.Series([*frequent, "rare", "rarer", None], dtype=object))
    total = len(frequent) + 3
    assert found["other"] == pytest.approx(2 / total)
    assert found["missing"] == pytest.approx(1 / total)
    assert found["c00"] == pytest.approx(3 / total)
    assert len(found) == drift.TOP_CATEGORIES + 2
