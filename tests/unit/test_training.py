"""How the days before a training are cut, and which candidate wins."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from include.core.domain import Candidate, Windows, days_between
from include.core.ledger import NotReadyError
from include.modelops.registry import fingerprint
from include.modelops.training import cut, pick
from tests.toy_domain.domain import domain

FEW = st.integers(1, 6)


def test_the_windows_of_a_day_by_hand():
    found = cut(domain, date(2020, 3, 5))
    assert found.gate == (date(2020, 3, 2), date(2020, 3, 3))
    assert found.validation == (date(2020, 3, 1), date(2020, 3, 1))
    assert found.fit == (date(2020, 2, 26), date(2020, 2, 29))


@given(fit=FEW, validation=FEW, gate=FEW, label_days=FEW, late=st.integers(0, 40))
def test_windows_follow_each_other_without_gap_or_overlap_and_end_where_labels_are_known(
    fit, validation, gate, label_days, late
):
    shaped = replace(domain, windows=Windows(fit, validation, gate), label_days=label_days, last_day=None, retention=99)
    as_of = domain.first_day + timedelta(days=fit + validation + gate + label_days - 1 + late)
    found = cut(shaped, as_of)
    used = [day for window in (found.fit, found.validation, found.gate) for day in days_between(*window)]
    assert used == days_between(domain.first_day, as_of - timedelta(days=label_days))
    assert len(days_between(*found.fit)) == fit + late
    assert len(days_between(*found.validation)) == validation
    assert len(days_between(*found.gate)) == gate


@given(fit=FEW, validation=FEW, gate=FEW, label_days=FEW, early=st.integers(1, 30))
def test_a_day_that_is_too_early_is_told_the_first_that_is_not(fit, validation, gate, label_days, early):
    shaped = replace(domain, windows=Windows(fit, validation, gate), label_days=label_days, last_day=None, retention=99)
    possible = domain.first_day + timedelta(days=fit + validation + gate + label_days - 1)
    assume(possible - timedelta(days=early) >= domain.first_day)
    with pytest.raises(NotReadyError, match=f"possible on {possible}"):
        cut(shaped, possible - timedelta(days=early))
    cut(shaped, possible)


@pytest.mark.parametrize(("costs", "winner"), [((0.4, 0.3), "second"), ((0.3, 0.4), "first"), ((0.3, 0.3), "first")])
def test_the_cheapest_candidate_wins_and_of_equals_the_one_declared_first(costs, winner):
    two = replace(domain, candidates=(Candidate("first", "a:b"), Candidate("second", "a:b")))
    measured = {name: {"cost": cost} for name, cost in zip(("first", "second"), costs, strict=True)}
    assert pick(two, measured).name == winner


def test_a_fingerprint_names_the_data_the_views_and_the_candidates():
    base = fingerprint(domain, "hash")
    other = Candidate("logistic_regression", domain.candidates[0].build, {"C": 2.0})
    assert fingerprint(domain, "hash") == base
    assert fingerprint(domain, "another hash") != base
    assert fingerprint(replace(domain, candidates=(other,)), "hash") != base
    assert fingerprint(replace(domain, candidates=(*domain.candidates, other)), "hash") != base
