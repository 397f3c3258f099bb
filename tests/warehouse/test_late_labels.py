"""Labels that do not come for days: no figure is final, people hear of it once, and nothing of it stays."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from include.core.domain import days_between
from include.dataops import feature_store
from include.modelops import monitoring
from tests.toy_domain import feed
from tests.toy_domain.domain import domain as toy
from tests.warehouse.chain import RUN, build, checksum, execute, ingest, rows, vouch
from tests.warehouse.models import add_model

FIRST, LAST = date(2020, 3, 1), date(2020, 3, 16)
# No label comes with these drops; the one after them brings them all.
WITHHELD = days_between(date(2020, 3, 5), date(2020, 3, 9))
DELIVERED = WITHHELD[-1] + timedelta(days=1)
domain = replace(toy, last_day=LAST)


def write_drops(landing: Path, withheld: list[date]) -> None:
    """The drops of the feed, with the outcomes of some held back until the next."""
    held: list[list[object]] = []
    for day in days_between(domain.first_day, LAST):
        found = feed.rows_of(day)
        due = [row for row in found if row[3] == day]
        outcomes = held + [row for row in found if row[3] != day]
        held = outcomes if day in withheld else []
        folder = landing / day.isoformat()
        folder.mkdir(exist_ok=True)
        (folder / "visits.csv").write_text(feed.as_csv([*due, *([] if day in withheld else outcomes)]))


def live_through(landing: Path, withheld: list[date]) -> None:
    """Ingest, build and monitor every day, with the same predictions whatever the labels do to the features."""
    write_drops(landing, withheld)
    ingest(domain, domain.first_day, LAST)
    vouch(domain, domain.first_day, LAST)
    build(domain, domain.first_day, LAST)
    add_model(1)
    execute(
        "insert into ml.decisions (as_of, challenger_version, route, outcome, decided_by, reasons, metrics,"
        " effective_from) values (%s, 1, 'promote', 'promoted', 'gate', '{}', '{}', %s)",
        (FIRST - timedelta(days=1), FIRST),
    )
    execute(
        "insert into ml.predictions (as_of, entity_id, model_version, probability, decision, features_version)"
        " select as_of, visitor, 1, age / 100.0, age > 25, %s from features.visits_due where as_of >= %s",
        (feature_store.features_version(domain), FIRST),
    )
    for day in days_between(FIRST, LAST):
        monitoring.monitor(domain, day, RUN)


FINAL = """
select distinct on (as_of, slice, slice_group)
    as_of, slice, slice_group, predictions, matured, positives, predicted, roc_auc, average_precision, brier, ece, cost
from ml.performance
where not provisional and window_days = 1
order by as_of, slice, slice_group, known_at desc
"""


@pytest.fixture
def undisturbed(toy_warehouse, toy_template, new_database):
    """The final figures of every day when nothing is late."""
    live_through(toy_warehouse, [])
    assert rows("select * from ml.alerts") == []
    found = rows(FINAL)
    assert {row[0] for row in found} >= set(days_between(FIRST, LAST - timedelta(days=2)))
    new_database(toy_template)
    return found


def test_labels_that_come_after_days_restate_the_figures_to_those_of_an_undisturbed_run(undisturbed, toy_warehouse):
    live_through(toy_warehouse, WITHHELD)
    early = "select count(*) from ml.performance where known_at = any(%s) and as_of >= %s and not provisional"
    # What the drop before brought is final; of what came after it nothing is.
    assert rows(early, (WITHHELD, WITHHELD[0] - timedelta(days=1))) == [(0,)]
    assert rows(FINAL) == undisturbed
    (restated,) = rows(
        "select array_agg(known_at order by known_at), array_agg(provisional order by known_at) from ml.performance"
        " where as_of = %s and window_days = 1 and slice = ''",
        (WITHHELD[0],),
    )
    assert restated[0][-1] == DELIVERED
    assert restated[1] == [True] * (len(restated[1]) - 1) + [False]


def test_an_outage_alerts_once_and_says_since_when(undisturbed, toy_warehouse):
    live_through(toy_warehouse, WITHHELD)
    ((as_of, kind, since, message, next_step),) = rows("select as_of, kind, since, message, next_step from ml.alerts")
    assert kind == "label_outage"
    assert WITHHELD[0] <= as_of <= WITHHELD[2]
    assert since < as_of
    assert "have come" in message
    assert "follow by themselves" in next_step
    states = dict(rows("select as_of, state from ml.judgements where signal = 'labels'"))
    assert states[WITHHELD[-1]] == "harm"
    assert states[DELIVERED + timedelta(days=1)] == "healthy"


def test_a_day_that_was_not_monitored_is_caught_up_by_the_next(toy_warehouse):
    live_through(toy_warehouse, [])
    execute(
        "insert into quality.stages (as_of, stage, state, detail, run_id) select as_of, 'scored', state, detail,"
        " run_id from quality.stages where stage = 'monitored'"
    )
    tables = ("performance", "judgements", "drift")
    whole = [checksum("ml", table) for table in tables]
    missed = [LAST - timedelta(days=3), LAST - timedelta(days=2)]
    execute("delete from ml.performance where known_at = any(%s)", (missed,))
    execute("delete from ml.judgements where as_of = any(%s)", (missed,))
    execute("delete from quality.stages where stage = 'monitored' and as_of = any(%s)", (missed,))
    monitoring.monitor(domain, LAST, RUN)
    assert [checksum("ml", table) for table in tables] == whole
    assert rows("select count(*) from quality.stages where stage = 'monitored' and as_of = any(%s)", (missed,)) == [
        (2,)
    ]
