"""How the days before a training are cut, and which candidate wins."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from math import inf, nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from include.core.domain import Candidate, Domain, Windows, days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.modelops.registry import fingerprint
from include.modelops.snapshot import Cut, Snapshot, cut, table_of
from include.modelops.training import collect, pick
from tests.toy_domain.domain import domain

FEW = st.integers(1, 6)


def windowed(windows: Windows, label_days: int) -> Domain:
    """The toy domain with other windows, and no end."""
    return replace(domain, windows=windows, label_days=label_days, last_day=None, retention=99)


def test_the_windows_of_a_day_by_hand():
    found = cut(domain, date(2020, 3, 5))
    assert found.gate == (date(2020, 3, 2), date(2020, 3, 3))
    assert found.validation == (date(2020, 3, 1), date(2020, 3, 1))
    assert found.calibration == (date(2020, 2, 29), date(2020, 2, 29))
    assert found.fit == (date(2020, 2, 26), date(2020, 2, 28))


@given(fit=FEW, calibration=FEW, validation=FEW, gate=FEW, label_days=FEW, late=st.integers(0, 40))
def test_windows_follow_each_other_without_gap_or_overlap_and_end_where_labels_are_known(
    fit, calibration, validation, gate, label_days, late
):
    shaped = windowed(Windows(fit, calibration, validation, gate), label_days)
    days = fit + calibration + validation + gate + label_days
    as_of = domain.first_day + timedelta(days=days - 1 + late)
    found = cut(shaped, as_of)
    windows = (found.fit, found.calibration, found.validation, found.gate)
    used = [day for window in windows for day in days_between(*window)]
    assert used == days_between(domain.first_day, as_of - timedelta(days=label_days))
    assert len(days_between(*found.fit)) == fit + late
    assert len(days_between(*found.calibration)) == calibration
    assert len(days_between(*found.validation)) == validation
    assert len(days_between(*found.gate)) == gate


@given(fit=FEW, calibration=FEW, validation=FEW, gate=FEW, label_days=FEW, early=st.integers(1, 30))
def test_a_day_that_is_too_early_is_told_the_first_that_is_not(fit, calibration, validation, gate, label_days, early):
    shaped = windowed(Windows(fit, calibration, validation, gate), label_days)
    possible = domain.first_day + timedelta(days=fit + calibration + validation + gate + label_days - 1)
    assume(possible - timedelta(days=early) >= domain.first_day)
    with pytest.raises(NotReadyError, match=f"possible on {possible}"):
        cut(shaped, possible - timedelta(days=early))
    cut(shaped, possible)


TWO = replace(domain, candidates=(Candidate("first", "a:b"), Candidate("second", "a:b")))


def validated(**costs: float) -> list[dict]:
    return [{"candidate": name, "measures": {"cost": cost}} for name, cost in costs.items()]


@pytest.mark.parametrize(
    ("costs", "winner"),
    [
        ({"first": 0.4, "second": 0.3}, "second"),
        ({"first": 0.3, "second": 0.4}, "first"),
        ({"second": 0.3, "first": 0.3}, "first"),
        ({"second": 0.3}, "second"),
        ({"first": nan, "second": 0.9}, "second"),
        ({"first": -inf, "second": 0.9}, "second"),
    ],
    ids=["second", "first", "equals", "one failed", "one is no number", "one is not finite"],
)
def test_the_cheapest_of_those_that_were_validated_wins_and_of_equals_the_one_declared_first(costs, winner):
    assert pick(TWO, validated(**costs)).name == winner


@pytest.mark.parametrize("costs", [{}, {"first": nan, "second": nan}], ids=["all failed", "no numbers"])
def test_a_training_without_any_validated_candidate_says_where_to_look(costs):
    with pytest.raises(DomainError, match=r"None of the 2 candidates.*logs of fit_candidate"):
        pick(TWO, validated(**costs))


def test_the_results_of_mapped_groups_are_collected_whatever_airflow_makes_of_their_size():
    one, two, three = validated(first=0.1, second=0.2, third=0.3)
    assert collect([(one, None, two), three, None, ()]) == [one, two, three]


def test_a_snapshot_goes_from_task_to_task_as_json_and_back():
    frozen = Snapshot(
        as_of=date(2020, 3, 5),
        table="snapshot_2020_03_05_0a1b2c3d",
        data_hash="0" * 64,
        rows=40,
        windows=cut(domain, date(2020, 3, 5)),
        features=domain.feature_versions(),
        airflow_run="manual__1",
        code_version="unknown",
        mlflow_run="1" * 32,
    )
    assert isinstance(frozen.windows, Cut)
    assert Snapshot.from_json(json.loads(json.dumps(frozen.to_json()))) == frozen


def test_two_trainings_of_one_day_have_tables_of_their_own_with_names_that_postgres_keeps_whole():
    names = {table_of(date(2020, 3, 5), run) for run in ("manual__1", "manual__2", "x" * 250)}
    assert len(names) == 3
    assert all(re.fullmatch(r"snapshot_2020_03_05_[0-9a-f]{8}", name) for name in names)


def test_a_fingerprint_names_the_data_the_views_and_the_candidates():
    base = fingerprint(domain, "hash")
    other = replace(domain.candidates[0], name="other", params={"C": 2.0})
    assert fingerprint(domain, "hash") == base
    assert fingerprint(domain, "another hash") != base
    assert fingerprint(replace(domain, candidates=(other,)), "hash") != base
    assert fingerprint(replace(domain, candidates=(*domain.candidates, other)), "hash") != base
