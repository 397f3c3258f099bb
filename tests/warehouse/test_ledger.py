"""The ledger: what scoring has to wait for, and what a second passage over a day leaves in it."""

from datetime import date

import pytest

from include.core import ledger, warehouse
from include.core.ledger import Passage, Stage
from tests.warehouse.chain import RUN, rows

DAY = date(2020, 3, 4)
BEFORE, EARLIER = date(2020, 3, 3), date(2020, 3, 1)
CHAIN, BACKFILL = {"by": Passage.CHAIN}, {"by": Passage.BACKFILL}
ASKED, NOT_ASKED = {"retrain": True}, {"retrain": False}


def record(*entries):
    with warehouse.transaction() as cursor:
        for day, stage, state, detail in entries:
            ledger.record(cursor, day, stage, RUN, state=state, detail=detail)


def pending() -> str | None:
    with warehouse.transaction() as cursor:
        return ledger.undecided_before(cursor, DAY)


CHECKED = (BEFORE, Stage.CHECKED, "done", CHAIN)
MONITORED = (BEFORE, Stage.MONITORED, "done", NOT_ASKED)
ASKED_BEFORE = (BEFORE, Stage.MONITORED, "done", ASKED)
ASKED_EARLIER = (EARLIER, Stage.MONITORED, "done", ASKED)


@pytest.mark.parametrize(
    ("entries", "waits_for"),
    [
        ([], None),
        ([CHECKED], "2020-03-03 is not monitored yet"),
        ([CHECKED, MONITORED], None),
        ([(BEFORE, Stage.CHECKED, "done", BACKFILL)], None),
        ([(BEFORE, Stage.CHECKED, "failed", CHAIN)], None),
        ([(BEFORE, Stage.INGESTED, "done", CHAIN)], None),
        ([(EARLIER, Stage.CHECKED, "done", CHAIN)], None),
        ([(DAY, Stage.CHECKED, "done", CHAIN)], None),
        ([CHECKED, ASKED_BEFORE], "2020-03-03 asked for a training that is not decided yet"),
        ([ASKED_EARLIER], "2020-03-01 asked for a training that is not decided yet"),
        ([CHECKED, ASKED_EARLIER], "2020-03-01 asked for a training that is not decided yet"),
        ([(DAY, Stage.MONITORED, "done", ASKED)], None),
        *(
            ([CHECKED, ASKED_BEFORE, (BEFORE, Stage.DECIDED, state, None)], None)
            for state in ("promoted", "rejected", "asked", "failed")
        ),
        ([ASKED_EARLIER, (BEFORE, Stage.DECIDED, "promoted", None)], "2020-03-01 asked for a training"),
    ],
)
def test_scoring_waits_for_the_day_before_and_for_every_training_asked_for_earlier(toy_warehouse, entries, waits_for):
    record(*entries)
    found = pending()
    assert (found is None) if waits_for is None else found.startswith(waits_for)


def test_a_day_of_the_chain_stays_one_when_a_backfill_passes_over_it(toy_warehouse):
    record(CHECKED, (BEFORE, Stage.CHECKED, "done", BACKFILL))
    assert rows("select state, detail from quality.stages") == [("done", {"by": "chain"})]


def test_a_day_of_a_backfill_becomes_one_of_the_chain_when_the_chain_reaches_it(toy_warehouse):
    record((BEFORE, Stage.CHECKED, "failed", BACKFILL), CHECKED)
    assert rows("select state, detail from quality.stages") == [("done", {"by": "chain"})]


def test_a_stage_that_is_done_again_has_one_row_with_its_last_state(toy_warehouse):
    record((BEFORE, Stage.SCORED, "no_champion", {"rows": 0}), (BEFORE, Stage.SCORED, "done", {"rows": 8}))
    assert rows("select state, detail from quality.stages") == [("done", {"rows": 8})]
