"""How ingestion waits for a drop and features for earlier days: in the triggerer, up to the domain's deadline."""

import asyncio
import time
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import TaskDeferred

from include.core import waiting
from include.core.defaults import RETRY_POLICY
from include.core.domain import load_object
from include.core.waiting import NothingInTheWay, WaitedTooLongError, WhenReady
from include.dataops import drops, feature_build, landing
from include.dataops.drops import BadDropError
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import RUN, build, check, ingest, rows, value, vouch

DAY = date(2020, 3, 1)
LOOK = "tests.warehouse.test_readiness:missing_toy_drop"
CONTEXT = {"dag_run": SimpleNamespace(partition_key=DAY.isoformat()), "run_id": RUN}


def missing_toy_drop(as_of: date) -> str | None:
    return drops.missing(domain, as_of)


def broken_look(as_of: date) -> str | None:
    raise OSError("the store is away")


def task(within: float = 60) -> WhenReady:
    return WhenReady(
        task_id="stage_drop",
        look=LOOK,
        work=lambda as_of, run_id: landing.stage_drop(domain, as_of, run_id),
        deadline=timedelta(seconds=within),
    )


def file_of(zone, day: date = DAY):
    return zone / day.isoformat() / "visits.csv"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(waiting, "SECONDS_BEFORE_FIRST_LOOK", 0.05)
    monkeypatch.setattr(waiting, "SECONDS_BETWEEN_LOOKS", 0.05)


async def fired(look: str, seconds: float) -> dict:
    event = await anext(NothingInTheWay(look, DAY.isoformat(), time.time() + seconds).run())
    return event.payload


def test_a_drop_that_is_there_is_staged_at_once(toy_warehouse):
    (staged,) = task().execute(CONTEXT)
    assert staged["drops"][0]["lines"] == len(rows_of(DAY))
    assert rows("select * from ml.alerts") == []


def test_a_drop_that_is_missing_gives_the_worker_back_and_raises_an_alert_with_the_path(toy_warehouse):
    file_of(toy_warehouse).unlink()
    with pytest.raises(TaskDeferred) as deferred:
        task().execute(CONTEXT)
    assert deferred.value.method_name == "execute_complete"
    trigger = deferred.value.trigger
    assert trigger.serialize() == (
        "include.core.waiting.NothingInTheWay",
        {"look": LOOK, "day": "2020-03-01", "until": trigger.until},
    )
    assert trigger.until == pytest.approx(time.time() + 60, abs=10)
    assert file_of(toy_warehouse).as_uri() in value("select message from ml.alerts where kind = 'waits'")


def test_the_wait_ends_when_the_drop_arrives_and_not_earlier(toy_warehouse, quick):
    file_of(toy_warehouse).unlink()

    async def observe():
        event = asyncio.ensure_future(fired(LOOK, 30))
        await asyncio.sleep(0.4)
        too_early = event.done()
        file_of(toy_warehouse).write_text(as_csv(rows_of(DAY)))
        return too_early, await asyncio.wait_for(event, 10)

    too_early, event = asyncio.run(observe())
    assert not too_early
    assert event == {"pending": None}
    assert task().execute_complete(CONTEXT, event)[0]["drops"][0]["lines"] == len(rows_of(DAY))


def test_at_the_deadline_the_task_fails_with_the_path_and_is_not_tried_again(toy_warehouse, quick):
    file_of(toy_warehouse).unlink()
    event = asyncio.run(fired(LOOK, 0.3))
    with pytest.raises(WaitedTooLongError, match=r"2020-03-01/visits\.csv") as failed:
        task(0.3).execute_complete(CONTEXT, event)
    assert RETRY_POLICY.evaluate(failed.value, 1, 2).action is RetryAction.FAIL


def test_a_store_that_cannot_be_looked_at_is_waited_for_too(quick):
    event = asyncio.run(fired("tests.warehouse.test_readiness:broken_look", 0.3))
    assert "the store is away" in event["pending"]


def test_where_nobody_is_there_the_wait_is_as_short_as_that_environment_says(monkeypatch):
    assert waiting.wait_within(timedelta(hours=3)) == timedelta(hours=3)
    monkeypatch.setenv("FLIGHTLINE_WAIT_SECONDS", "20")
    assert waiting.wait_within(timedelta(hours=3)) == timedelta(seconds=20)


def test_the_looks_of_the_chain_are_functions_of_the_day_alone():
    for name in ("missing_drop", "unusable_lookback"):
        look = load_object(f"include.dataops.readiness:{name}")
        assert look.__annotations__ == {"as_of": date, "return": str | None}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_any_of_the_formats_ends_the_wait(toy_warehouse, ending):
    file = file_of(toy_warehouse)
    file.rename(file.with_name(f"visits{ending}"))
    assert drops.missing(domain, DAY) is None
    file.with_name(f"visits{ending}").rename(file.with_name("visits.csv.part"))
    assert "visits.csv (or .csv.gz, .parquet)" in drops.missing(domain, DAY)


def test_two_files_for_one_source_are_refused_at_once(toy_warehouse):
    file = file_of(toy_warehouse)
    file.with_name("visits.csv.gz").write_bytes(b"")
    with pytest.raises(BadDropError, match=r"visits\.csv and visits\.csv\.gz"):
        task().execute(CONTEXT)


def test_features_wait_for_exactly_the_days_of_their_lookback(toy_warehouse):
    ingest(domain, domain.first_day, DAY)
    vouch(domain, domain.first_day, date(2020, 2, 27))
    vouch(domain, date(2020, 2, 29), DAY)
    told = feature_build.unusable_lookback(domain, DAY)
    assert "2020-02-28 of visits (loaded)" in told
    assert "--from-date 2020-02-28 --to-date 2020-02-28T23:59:59" in told
    assert feature_build.unusable_lookback(domain, date(2020, 2, 27)) is None
    check(domain, date(2020, 2, 28))
    assert feature_build.unusable_lookback(domain, DAY) is None
    assert build(domain, DAY)["visits_due"] == 8


def test_a_second_file_that_comes_while_the_task_waits_ends_the_wait_and_is_refused(toy_warehouse, quick):
    file = file_of(toy_warehouse)
    file.with_name("visits.csv.gz").write_bytes(b"")
    event = asyncio.run(fired(LOOK, 30))
    with pytest.raises(BadDropError, match="only one of them"):
        task().execute_complete(CONTEXT, event)
