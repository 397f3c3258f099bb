"""Where heavy tasks run."""

import pytest

from include.core.compute import compute
from include.core.domain import Candidate
from tests.toy_domain.domain import domain


@pytest.mark.parametrize(("named", "found"), [("big-machines", {"queue": "big-machines"}), ("", {}), (None, {})])
def test_a_class_of_tasks_goes_to_the_queue_that_the_environment_names(monkeypatch, named, found):
    monkeypatch.delenv("FLIGHTLINE_QUEUE_TRAIN_LARGE", raising=False)
    if named is not None:
        monkeypatch.setenv("FLIGHTLINE_QUEUE_TRAIN_LARGE", named)
    assert compute("train_large") == found


def test_candidates_are_grouped_by_the_class_that_they_name_in_the_order_of_their_declaration():
    from dataclasses import replace

    several = [Candidate(name, "a:b", compute=where) for name, where in (("a", "big"), ("b", "small"), ("c", "big"))]
    assert replace(domain, candidates=tuple(several)).candidates_by_compute() == {"big": ["a", "c"], "small": ["b"]}
