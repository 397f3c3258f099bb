"""Promotions and rollbacks that are killed, at every place where that can make a difference, and then done again.

The places are reached without touching our code: a lock that the test holds stops a process inside its transaction, and
a proxy that stops answering stops it at each request to MLflow.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import pytest

from include.core import warehouse
from include.core.domain import days_between
from include.modelops import champion, decisions, rollback, rollback_plan, scoring
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, checksum, rows, value
from tests.warehouse.holding_proxy import HoldingProxy, holding_proxy

FIRST_TRAINING, SECOND_TRAINING = date(2020, 3, 3), date(2020, 3, 5)
FIRST_SCORED, LAST_SCORED = date(2020, 3, 4), date(2020, 3, 8)
YES = {"chosen_options": ["Approve"], "responded_by_user": {"id": "7", "name": "Ada"}}
ROLLBACK_RUN = "manual__rollback"

LOCKS = {
    "before the lock of the champion": "select pg_advisory_xact_lock(hashtextextended('champion', 0))",
    "before the decision": "lock table ml.decisions in share mode",
}
PROMOTION_LOCKS = LOCKS | {"between decision and ledger": "lock table quality.stages in share mode"}
ROLLBACK_LOCKS = LOCKS | {
    "between decision and predictions": "lock table ml.predictions in share mode",
    "between commit and alert": "lock table ml.alerts in share mode",
    "at the end of scoring": "lock table quality.stages in share mode",
}


def compared(challenger: int, before: int | None) -> dict:
    """What `compare` says of a clear winner."""
    return {
        "route": "promote",
        "reasons": ["it is cheaper"],
        "challenger": challenger,
        "champion": before,
        "comparison": {"metrics": {"challenger": {"cost": {"value": 0.5, "low": 0.4, "high": 0.6}}}},
    }


def promote() -> dict | None:
    return decisions.promote(domain, SECOND_TRAINING, compared(2, 1), None, RUN)


def roll_back() -> None:
    """The tasks after the confirmation. The plan is kept from the first try, as Airflow keeps it."""
    done = rollback.roll_back(domain, PLANNED, YES, ROLLBACK_RUN)
    rollback.score_again(domain, done, ROLLBACK_RUN)


PLANNED: dict = {}


@pytest.fixture(scope="module")
def one_champion(trained_template, new_database, mlflow_server) -> str:
    """A warehouse in which version 1 is champion and has scored up to the day of the second training."""
    with pytest.MonkeyPatch.context() as patch:
        use(mlflow_server, patch)
        name = new_database(trained_template)
        decisions.promote(domain, FIRST_TRAINING, compared(1, None), None, RUN)
        scoring.score_day(domain, FIRST_SCORED, RUN)
        scoring.score_day(domain, SECOND_TRAINING, RUN)
    return name


@pytest.fixture(scope="module")
def two_champions(one_champion, new_database, mlflow_server) -> str:
    """A warehouse in which version 2 has followed it, and has scored the days after."""
    with pytest.MonkeyPatch.context() as patch:
        use(mlflow_server, patch)
        name = new_database(one_champion)
        promote()
        for day in days_between(date(2020, 3, 6), LAST_SCORED):
            scoring.score_day(domain, day, RUN)
        PLANNED.update(json.loads(json.dumps(rollback_plan.plan(domain, None, None, "it was bad"))))
    return name


@pytest.fixture
def proxy(registry_server) -> Iterator[HoldingProxy]:
    with holding_proxy(registry_server) as running:
        yield running


def use(tracking_uri: str, patch: pytest.MonkeyPatch) -> None:
    import mlflow

    patch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    mlflow.set_tracking_uri(tracking_uri)


def registered() -> dict:
    """What MLflow says: the aliases, and the beginning of the card of each version with its decisions."""
    import mlflow

    client = mlflow.MlflowClient()
    aliases = dict(client.get_registered_model(domain.name).aliases)
    return {"aliases": aliases, **{f"card {n}": client.get_model_version(domain.name, n).description for n in "12"}}


def begin_anew(template: str, new_database) -> None:
    """A copy of the warehouse, and the aliases and cards that go with it."""
    from include.modelops import card

    new_database(template)
    champion.follow(domain)
    for version in (1, 2):
        card.publish(domain, version)


def everything() -> dict:
    tables = {table: checksum(*table.split(".")) for table in ("ml.decisions", "ml.predictions", "quality.stages")}
    return {
        **tables,
        "alerts": rows("select as_of, kind, subject, message from ml.alerts order by 1, 2, 3"),
        **registered(),
    }


def begin(work: Callable[[], object], tracking_uri: str) -> int:
    """Run `work` in a process of its own, which finds MLflow under this address."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import mlflow

            os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
            mlflow.set_tracking_uri(tracking_uri)
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def kill(child: int) -> None:
    """SIGKILL, to a process that has not come to its end."""
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def somebody_waits() -> bool:
    return value(
        "select count(*) from pg_locks join pg_stat_activity using (pid)"
        " where not granted and datname = current_database()"
    )


@contextmanager
def held(statement: str) -> Iterator[None]:
    with warehouse.transaction() as cursor:
        cursor.execute(statement)
        yield


def is_consistent(last_version: int) -> None:
    """One champion, whoever is asked; every scored day has one version that counts: its champion."""
    with warehouse.transaction() as cursor:
        assert registered()["aliases"]["champion"] == str(champion.changes(cursor)[-1].version) == str(last_version)
        champions = {
            day: champion.on(cursor, day).version
            for (day,) in rows("select as_of from quality.stages where stage = 'scored' and state = 'done'")
        }
    current = rows("select distinct as_of, model_version from ml.predictions where not superseded")
    assert sorted(current) == sorted(champions.items())
    assert value("select count(*) from ml.predictions where not superseded") == 8 * len(champions)


def requests_of(work: Callable[[], object], proxy: HoldingProxy, template: str, new_database) -> tuple[int, dict]:
    """How many requests an undisturbed run makes, and what it leaves."""
    begin_anew(template, new_database)
    proxy.begin_anew(None)
    child = begin(work, proxy.address)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return proxy.passed, everything()


@pytest.mark.parametrize("place", PROMOTION_LOCKS)
def test_a_promotion_that_is_killed_before_its_commit_never_was(place, one_champion, new_database, registry_server):
    begin_anew(one_champion, new_database)
    before = everything()
    with held(PROMOTION_LOCKS[place]):
        child = begin(promote, registry_server)
        wait_until(somebody_waits)
        kill(child)
    wait_until(lambda: not somebody_waits())
    assert everything() == before
    assert promote()["version"] == 2
    assert rows("select outcome from ml.decisions where challenger_version = 2") == [("promoted",)]
    is_consistent(2)


def test_a_promotion_that_is_killed_at_any_request_to_mlflow_is_completed_by_its_retry(
    proxy, one_champion, new_database
):
    requests, expected = requests_of(promote, proxy, one_champion, new_database)
    assert requests > 3
    for number in range(requests):
        begin_anew(one_champion, new_database)
        proxy.begin_anew(number)
        child = begin(promote, proxy.address)
        assert proxy.held.wait(30), number
        kill(child)
        assert rows("select outcome from ml.decisions where challenger_version = 2") == [("promoted",)]
        assert promote()["version"] == 2
        assert everything() == expected, number
        is_consistent(2)


@pytest.mark.parametrize("place", ROLLBACK_LOCKS)
def test_a_rollback_that_is_killed_inside_a_transaction_is_completed_by_its_retry(
    place, two_champions, new_database, proxy
):
    _, expected = requests_of(roll_back, proxy, two_champions, new_database)
    begin_anew(two_champions, new_database)
    before = everything()
    with held(ROLLBACK_LOCKS[place]):
        child = begin(roll_back, proxy.address)
        wait_until(somebody_waits)
        kill(child)
    wait_until(lambda: not somebody_waits())
    committed = place in ("between commit and alert", "at the end of scoring")
    assert value("select count(*) from ml.decisions where outcome = 'rolled_back'") == int(committed)
    if not committed:
        assert everything() == before
    roll_back()
    assert everything() == expected
    is_consistent(1)


def test_a_rollback_that_is_killed_at_any_request_to_mlflow_is_completed_by_its_retry(
    proxy, two_champions, new_database
):
    requests, expected = requests_of(roll_back, proxy, two_champions, new_database)
    assert requests > 3
    for number in range(requests):
        begin_anew(two_champions, new_database)
        proxy.begin_anew(number)
        child = begin(roll_back, proxy.address)
        assert proxy.held.wait(30), number
        kill(child)
        assert value("select count(*) from ml.decisions where outcome = 'rolled_back'") == 1
        roll_back()
        assert everything() == expected, number
        is_consistent(1)


def test_scoring_goes_on_while_mlflow_hangs_in_a_promotion(proxy, one_champion, new_database):
    begin_anew(one_champion, new_database)
    proxy.begin_anew(0)
    child = begin(promote, proxy.address)
    assert proxy.held.wait(30)
    assert scoring.score_day(domain, date(2020, 3, 6), RUN)["model_version"] == 2
    kill(child)
