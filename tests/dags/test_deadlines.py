"""Every run of the chain has a time by which it is done, longer than all that it may wait for."""

from datetime import timedelta

import pytest
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DagRunQueuedAtDeadline

from include.core.deadlines import alert_late_run
from include.core.defaults import MARGIN, within
from include.project import domain

WAITS = {
    "ingest_sources": domain.drop_deadline,
    "build_features": domain.quality_deadline,
    "score_batch": domain.decision_deadline,
    "train_model": domain.decision_deadline,
    "deploy_model": domain.answer_within,
    "rollback_model": domain.answer_within,
}
NO_DEADLINE = {"backfill_features"}  # a range takes as long as it is long


def test_every_dag_has_a_deadline_that_leaves_room_for_what_it_waits_for(bag):
    for name, dag in bag.dags.items():
        if name in NO_DEADLINE:
            assert not dag.deadline, name
        else:
            (deadline,) = dag.deadline
            assert deadline.interval == WAITS.get(name, timedelta(0)) + MARGIN, name
            assert isinstance(deadline.reference, DagRunQueuedAtDeadline), name
            assert deadline.callback == AsyncCallback(alert_late_run), name


def test_the_scheduler_reads_the_deadlines_back(scheduled):
    assert {name for name, dag in scheduled.items() if not dag.deadline} == NO_DEADLINE


@pytest.mark.parametrize(("waits", "expected"), [(0, 90), (60, 150)])
def test_a_deployment_may_give_runs_another_margin(monkeypatch, waits, expected):
    monkeypatch.setenv("FLIGHTLINE_MARGIN_SECONDS", "90")
    assert within(timedelta(seconds=waits)).interval == timedelta(seconds=expected)
