"""Who is champion on which day, from the rows of `ml.decisions` alone."""

import threading
from datetime import date, timedelta

import psycopg2
import pytest

from include.core import ledger, warehouse
from include.core.ledger import Stage
from include.modelops import champion
from include.modelops.champion import PROMOTED, REJECTED, ROLLED_BACK, Decision
from tests.warehouse.chain import RUN, rows
from tests.warehouse.models import add_model


def day(number: int) -> date:
    return date(2020, 3, number)


@pytest.fixture(autouse=True)
def versions(toy_template, new_database):
    """A warehouse in which versions 1 to 4 are registered and nothing is decided."""
    new_database(toy_template)
    for version in range(1, 5):
        add_model(version)


def decide(as_of: int, version: int, outcome: str, effective: int | None, instead_of=None, run_id: str = RUN) -> None:
    route = {PROMOTED: "promote", REJECTED: "reject", ROLLED_BACK: "roll_back"}[outcome]
    with warehouse.transaction() as cursor:
        champion.record(
            cursor,
            Decision(
                as_of=day(as_of),
                challenger=version,
                champion=instead_of,
                route=route,
                outcome=outcome,
                decided_by="gate",
                reasons=["for a test"],
                metrics={},
                effective_from=effective and day(effective),
                comment="",
                run_id=run_id,
            ),
        )


def promoted(as_of: int, version: int, effective: int) -> None:
    decide(as_of, version, PROMOTED, effective)


def rolled_back(as_of: int, version: int, instead_of: int, since: int) -> None:
    decide(as_of, version, ROLLED_BACK, since, instead_of, run_id=f"{as_of} {instead_of} {version} {since}")


def scored_through(last: int) -> None:
    with warehouse.transaction() as cursor:
        for number in range(1, last + 1):
            ledger.record(cursor, day(number), Stage.SCORED, RUN)


def champions(first: int, last: int) -> list[int | None]:
    """The version that is champion of each day."""
    with warehouse.transaction() as cursor:
        found = [champion.on(cursor, day(number)) for number in range(first, last + 1)]
    return [version and version.version for version in found]


def known() -> list[champion.Change]:
    with warehouse.transaction() as cursor:
        return champion.changes(cursor)


def today() -> date | None:
    with warehouse.transaction() as cursor:
        return champion.today(cursor, champion.changes(cursor))


def test_before_the_first_promotion_there_is_no_champion():
    decide(1, 1, REJECTED, None)
    assert champions(1, 9) == [None] * 9
    assert (known(), champion.before(known()), today()) == ([], None, None)


def test_a_champion_counts_from_its_first_day_until_that_of_the_next():
    promoted(2, 1, 3)
    promoted(5, 2, 6)
    assert champions(1, 8) == [None, None, 1, 1, 1, 2, 2, 2]
    assert champion.before(known()) == 1


def test_the_order_of_recording_does_not_matter_for_decisions_of_different_days():
    promoted(5, 2, 6)
    promoted(2, 1, 3)
    assert champions(1, 8) == [None, None, 1, 1, 1, 2, 2, 2]


def test_a_rollback_changes_the_days_from_since_on_and_no_others():
    promoted(2, 1, 3)
    promoted(5, 2, 6)
    rolled_back(8, 1, 2, since=7)
    assert champions(3, 10) == [1, 1, 1, 2, 1, 1, 1, 1]


def test_a_rollback_from_before_two_promotions_undoes_both():
    promoted(2, 1, 3)
    promoted(4, 2, 5)
    promoted(6, 3, 7)
    rolled_back(8, 1, 3, since=5)
    assert champions(3, 10) == [1] * 8
    assert known()[-1].version == 1


def test_a_promotion_after_a_rollback_counts_from_its_own_day():
    promoted(2, 1, 3)
    promoted(5, 2, 6)
    rolled_back(8, 1, 2, since=6)
    promoted(8, 3, 9)
    assert champions(5, 10) == [1, 1, 1, 1, 3, 3]
    assert champion.before(known()) == 1


def test_two_rollbacks_of_one_day_count_in_the_order_they_were_recorded():
    promoted(2, 1, 3)
    promoted(5, 2, 6)
    rolled_back(8, 1, 2, since=6)
    rolled_back(8, 2, 1, since=6)
    assert champions(5, 8) == [1, 2, 2, 2]
    rolled_back(8, 1, 2, since=7)
    assert champions(5, 8) == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("rollbacks", "expected"),
    [
        ([], 2),
        ([(2, 3)], 1),
        ([(1, 3)], 2),
        ([(2, 3), (1, 2)], None),
        ([(2, 3), (3, 2)], 1),
        ([(2, 3), (1, 2), (3, 1)], None),
    ],
    ids=str,
)
def test_what_to_go_back_to_is_the_last_champion_that_was_not_rolled_back_itself(rollbacks, expected):
    """Of 1, 2, 3 promoted in this order, and of rollbacks as (to, from)."""
    for number in (1, 2, 3):
        promoted(number, number, number + 1)
    for to, instead_of in rollbacks:
        rolled_back(8, to, instead_of, since=4)
    assert champion.before(known()) == expected


def test_a_version_that_was_promoted_again_is_one_to_go_back_to():
    promoted(1, 1, 2)
    promoted(2, 2, 3)
    rolled_back(3, 1, 2, since=3)
    promoted(4, 2, 5)
    promoted(5, 3, 6)
    assert champion.before(known()) == 2


def test_the_first_decision_about_a_challenger_stands():
    decide(1, 1, REJECTED, None)
    promoted(1, 1, 2)
    assert rows("select outcome from ml.decisions") == [("rejected",)]
    with warehouse.transaction() as cursor:
        assert champion.standing(cursor, day(1), 1) == ("rejected", "gate", None)
        assert champion.standing(cursor, day(1), 2) is None


def test_a_decision_needs_a_model_that_was_registered():
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        promoted(1, 5, 2)
    add_model(5)
    promoted(1, 5, 2)
    assert champions(2, 2) == [5]


def test_a_rollback_is_no_decision_about_a_challenger_and_one_run_makes_one():
    promoted(1, 1, 2)
    promoted(2, 2, 3)
    for _ in range(2):
        rolled_back(2, 1, 2, since=3)
    assert len(known()) == 3
    with warehouse.transaction() as cursor:
        assert champion.standing(cursor, day(2), 1) is None


def test_a_change_is_decided_on_the_last_scored_day():
    promoted(1, 1, 2)
    scored_through(6)
    assert today() == day(6)


def test_a_change_before_the_last_one_takes_effect_is_ordered_after_it():
    promoted(1, 1, 2)
    scored_through(4)
    promoted(7, 2, 8)
    assert today() == day(7)
    rolled_back(today().day, 1, 2, since=8)
    assert champions(4, 10) == [1] * 7


def started(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def waits_for_a_lock() -> bool:
    return rows("select count(*) from pg_locks where not granted and locktype = 'advisory'") != [(0,)]


def wait_until(true, seconds: float = 10) -> None:
    """Wait until `true()` holds."""
    tick = threading.Event()
    for _ in range(int(seconds * 50)):
        if true():
            return
        tick.wait(0.02)
    raise AssertionError("it never came true")


def test_a_change_waits_for_a_scoring_that_is_writing_and_sees_the_day_it_wrote():
    promoted(1, 1, 2)
    scored_through(4)
    seen = []

    def change() -> None:
        with warehouse.transaction() as cursor:
            champion.lock(cursor)
            seen.append(champion.last_scored(cursor))

    with warehouse.transaction() as scoring:
        warehouse.lock_shared(scoring, champion.LOCK)
        changing = started(change)
        wait_until(waits_for_a_lock)
        ledger.record(scoring, day(5), Stage.SCORED, RUN)
        assert seen == []
    changing.join(10)
    assert seen == [day(5)]


def test_a_scoring_that_comes_while_the_champion_changes_waits_and_sees_the_new_one():
    promoted(1, 1, 2)
    scored_through(4)
    seen = []

    def score() -> None:
        with warehouse.transaction() as cursor:
            warehouse.lock_shared(cursor, champion.LOCK)
            version = champion.on(cursor, day(5))
            seen.append(version and version.version)

    with warehouse.transaction() as cursor:
        champion.lock(cursor)
        scoring = started(score)
        wait_until(waits_for_a_lock)
        champion.record(
            cursor,
            Decision(day(4), 2, 1, "promote", PROMOTED, "gate", [], {}, day(4) + timedelta(days=1), "", RUN),
        )
        assert seen == []
    scoring.join(10)
    assert seen == [2]


def test_two_days_are_scored_at_once():
    with warehouse.transaction() as first, warehouse.transaction() as second:
        warehouse.lock_shared(first, champion.LOCK)
        warehouse.lock_shared(second, champion.LOCK)
