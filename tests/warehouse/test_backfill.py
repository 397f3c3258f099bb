"""A backfill takes up where it stopped, checks what has no verdict, and announces its last day."""

from datetime import date

import pytest

from include.core import ledger, warehouse
from include.core.ledger import Passage
from include.dataops import backfill, landing, quality
from include.dataops.quality import FailedChecksError
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import RUN, feature_checksums, prepare, rows, value

CHUNK = {"start": "2020-02-26", "end": "2020-03-01"}
FIRST, LAST = date(2020, 2, 26), date(2020, 3, 1)


def run(chunk: dict[str, str], views: list[str] | None = None) -> dict[str, int]:
    checked = backfill.check_unchecked(domain, backfill.ingest_missing(domain, chunk, RUN), RUN)
    return backfill.build_chunk(domain, checked, views or [], RUN)


def test_a_backfill_gives_the_features_of_the_daily_chain(toy_warehouse):
    assert run(CHUNK) == {"visits_due": 40, "ward_history": 10}
    by_backfill = feature_checksums(domain)
    prepare(domain, FIRST, LAST)
    assert feature_checksums(domain) == by_backfill


def test_a_backfill_loads_only_what_is_missing(toy_warehouse):
    landing.load_source(domain, domain.sources[0], date(2020, 2, 28), date(2020, 2, 28), "earlier")
    run(CHUNK)
    kept = dict(rows("select as_of, run_id from quality.partitions"))
    assert kept[date(2020, 2, 28)] == "earlier"
    assert [kept[day] for day in sorted(kept)].count(RUN) == 4


def test_a_backfill_that_is_repeated_changes_nothing_and_checks_nothing_again(toy_warehouse):
    run(CHUNK)
    features, seen = feature_checksums(domain), rows("select recorded_at from quality.check_results")
    run(CHUNK)
    assert feature_checksums(domain) == features
    assert rows("select recorded_at from quality.check_results") == seen


def test_a_bad_day_of_the_range_halts_the_backfill_until_it_is_corrected(toy_warehouse):
    file = toy_warehouse / "2020-02-28" / "visits.csv"
    file.write_text(as_csv(rows_of(date(2020, 2, 28))[:3]))
    with pytest.raises(FailedChecksError, match="2020-02-28"):
        run(CHUNK)
    assert value("select count(*) from features.visits_due") == 0
    file.write_text(as_csv(rows_of(date(2020, 2, 28))))
    landing.load_source(domain, domain.sources[0], date(2020, 2, 28), date(2020, 2, 28), RUN)
    assert run(CHUNK)["visits_due"] == 40


def test_a_day_that_was_only_backfilled_is_not_waited_for_and_an_announced_one_is(toy_warehouse):
    run(CHUNK)
    with warehouse.transaction() as cursor:
        assert ledger.undecided_before(cursor, date(2020, 3, 2)) is None
    backfill.announce("2020-03-01", RUN)
    with warehouse.transaction() as cursor:
        assert ledger.undecided_before(cursor, date(2020, 3, 2)) == "2020-03-01 is not monitored yet"
        assert ledger.undecided_before(cursor, date(2020, 3, 1)) is None


def test_only_the_named_views_are_built(toy_warehouse):
    assert run(CHUNK, ["ward_history"]) == {"ward_history": 10}
    assert value("select count(*) from features.visits_due") == 0


def test_a_verdict_of_the_chain_is_kept_when_a_backfill_passes_over_it(toy_warehouse):
    landing.load_source(domain, domain.sources[0], FIRST, LAST, RUN)
    quality.check_days(domain, LAST, LAST, RUN, Passage.CHAIN)
    run(CHUNK)
    found = dict(rows("select as_of, detail ->> 'by' from quality.stages where stage = 'checked'"))
    assert found[LAST] == "chain"
    assert found[FIRST] == "backfill"
