"""How the scoring of a day waits: in the triggerer, until the ledger says that nothing is left to wait for."""

import asyncio
from datetime import date, timedelta

import pytest
from airflow.triggers.base import TaskSuccessEvent

from include.core import ledger, warehouse
from include.core.domain import load_object
from include.core.ledger import Passage, Stage
from include.modelops import waiting
from include.modelops.waiting import ScoringIsFree, WaitForDecisions
from tests.warehouse.chain import RUN

DAY, DAY_BEFORE = date(2020, 3, 4), date(2020, 3, 3)


def record(stage: Stage, detail: dict) -> None:
    with warehouse.transaction() as cursor:
        ledger.record(cursor, DAY_BEFORE, stage, RUN, detail=detail)


async def first_event(trigger: ScoringIsFree):
    return await anext(trigger.run())


def test_a_day_with_nothing_before_it_goes_on_at_once(toy_warehouse):
    assert isinstance(asyncio.run(asyncio.wait_for(first_event(ScoringIsFree(str(DAY))), 10)), TaskSuccessEvent)


@pytest.mark.parametrize("trains", [False, True], ids=["without a training", "with a training"])
def test_the_wait_ends_when_the_day_before_is_monitored_and_decided_and_not_earlier(toy_warehouse, monkeypatch, trains):
    monkeypatch.setattr(waiting, "SECONDS_BETWEEN_LOOKS", 0.05)
    record(Stage.CHECKED, {"by": Passage.CHAIN})

    async def observe():
        event = asyncio.ensure_future(first_event(ScoringIsFree(str(DAY))))
        await asyncio.sleep(0.3)
        seen = [event.done()]
        record(Stage.MONITORED, {"retrain": trains})
        if trains:
            await asyncio.sleep(0.3)
            seen.append(event.done())
            record(Stage.DECIDED, {})
        return seen, await asyncio.wait_for(event, 10)

    too_early, event = asyncio.run(observe())
    assert not any(too_early)
    assert isinstance(event, TaskSuccessEvent)


def test_the_wait_needs_no_worker_and_has_the_deadline_of_the_domain():
    wait = WaitForDecisions(task_id="wait_for_decisions", deadline=timedelta(minutes=2))
    assert wait.start_from_trigger
    assert wait.start_trigger_args.timeout == timedelta(minutes=2)
    assert wait.start_trigger_args.trigger_kwargs == {"day": "{{ dag_run.partition_key }}"}


def test_the_triggerer_can_make_the_trigger_from_what_is_stored():
    wait = WaitForDecisions(task_id="wait_for_decisions", deadline=timedelta(minutes=2))
    path, arguments = ScoringIsFree("2020-03-04").serialize()
    assert path == wait.start_trigger_args.trigger_cls
    module, _, name = path.rpartition(".")
    assert load_object(f"{module}:{name}")(**arguments).serialize() == (path, arguments)


def test_a_day_knows_how_many_days_stand_before_it_and_a_lost_warehouse_is_waited_for(toy_warehouse, monkeypatch):
    assert waiting.pending_before(DAY) is None
    record(Stage.CHECKED, {"by": Passage.CHAIN})
    assert waiting.pending_before(DAY).days_ahead == 1
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", '{"conn_type": "postgres", "host": "/nowhere", "login": "nobody"}')
    assert "cannot be reached" in waiting.pending_before(DAY).what
