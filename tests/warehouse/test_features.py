"""Feature views: what they hold, from which drops, and nothing in them that was not known on the day."""

import shutil
from dataclasses import replace
from datetime import date, timedelta

import pytest

from include.core.domain import days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import feature_build, feature_store
from include.modelops.snapshot import drop, keep_rows, table_of
from tests.toy_domain import feed
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, build, clear_features, execute, feature_checksums, ingest, rows, value, vouch

FIRST, LAST = domain.first_day, domain.last_day
DAYS = days_between(FIRST, LAST)


@pytest.fixture
def checked(toy_warehouse):
    """A warehouse in which every drop is ingested and vouched for."""
    ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, LAST)


def test_features_are_what_the_feed_says_they_should_be(checked):
    build(domain, FIRST, LAST)
    found = rows("select as_of, ward, long_share_3d from features.ward_history")
    shares = {(day, ward): share for day, ward, share in found}
    for day in DAYS:
        drops = [row for read in days_between(max(FIRST, day - timedelta(days=2)), day) for row in feed.rows_of(read)]
        for ward in ("north", "south"):
            long = [row[4] >= 30 for row in drops if row[1] == ward and row[4] != ""]
            assert shares[day, ward] == (pytest.approx(sum(long) / len(long)) if long else None)
    assert value("select count(*) from features.visits_due") == len(DAYS) * len(feed.VISITORS)


@pytest.mark.parametrize("as_of", [date(2020, 2, 26), date(2020, 2, 28), date(2020, 3, 4)])
@pytest.mark.parametrize(
    "damage",
    [
        "delete from raw.visits where as_of > %s",
        "update raw.visits set minutes = 500, age = 1 where as_of > %s and minutes is not null",
        "update raw.visits set ward = 'elsewhere' where as_of > %s",
    ],
    ids=["deleted", "falsified", "moved"],
)
def test_what_came_after_the_day_changes_no_feature_of_it(checked, as_of, damage):
    build(domain, FIRST, as_of)
    before = feature_checksums(domain)
    assert execute(damage, (as_of,)) > 0
    clear_features(domain)
    build(domain, FIRST, as_of)
    assert feature_checksums(domain) == before


def test_what_came_on_the_day_does_change_its_features(checked):
    """The test above can fail: features do follow the drops that they may read."""
    build(domain, FIRST, LAST)
    before = feature_checksums(domain)
    execute("update raw.visits set minutes = 500 where as_of = %s and minutes is not null", (LAST,))
    build(domain, FIRST, LAST)
    assert feature_checksums(domain) != before


@pytest.mark.parametrize("state", ["loaded", "failed", None], ids=["unchecked", "failed", "missing"])
@pytest.mark.parametrize("back", [0, 1, 2])
def test_a_day_of_the_lookback_that_nobody_vouches_for_is_refused_and_named(checked, state, back):
    as_of, bad = date(2020, 3, 4), date(2020, 3, 4) - timedelta(days=back)
    if state:
        execute("update quality.partitions set state = %s where as_of = %s", (state, bad))
    else:
        execute("delete from quality.partitions where as_of = %s", (bad,))
    with pytest.raises(NotReadyError, match=f"not checked: {bad} of visits .*--from-date {bad}"):
        build(domain, as_of)
    assert value("select count(*) from features.visits_due") == 0


def test_a_day_before_the_lookback_is_not_asked_for(checked):
    execute("update quality.partitions set state = 'failed' where as_of = '2020-03-01'")
    build(domain, date(2020, 3, 4))


def test_a_waived_day_counts_as_checked(checked):
    execute("update quality.partitions set state = 'waived' where as_of = '2020-03-03'")
    counts = build(domain, date(2020, 3, 4))
    assert (counts["visits_due"], counts["ward_history"]) == (8, 2)


def test_many_bad_days_are_told_in_a_few_words(checked):
    execute("update quality.partitions set state = 'failed'")
    with pytest.raises(NotReadyError, match="and 6 more"):
        build(domain, FIRST, LAST)


def test_days_outside_the_calendar_are_not_built(checked):
    with pytest.raises(DomainError, match="calendar of toy"):
        build(domain, LAST, LAST + timedelta(days=1))


def test_building_one_view_leaves_the_others_as_they_are(checked):
    build(domain, FIRST, LAST)
    execute("update features.visits_due set age = age + 1")
    before = feature_checksums(domain)
    execute("update features.ward_history set long_share_3d = 9")
    feature_build.build(domain, ["ward_history"], FIRST, LAST, RUN)
    assert feature_checksums(domain) == before


def test_a_label_counts_only_once_it_has_landed(checked):
    build(domain, FIRST, LAST)
    day = next(day for day in DAYS if feed.is_late(feed.LATE, day))
    for wait, labelled in ((0, 0), (1, 7), (2, 8)):
        keys, features = feature_store.training_set(domain, day, day, known_at=day + timedelta(days=wait)).frames()
        assert len(keys) == len(features) == labelled
    by_visitor = dict(zip(keys["entity_id"], keys["label"], strict=True))
    assert by_visitor == {f"v{n}": feed.minutes(n, day) >= 30 for n in feed.VISITORS}


def test_the_rows_for_training_are_the_rows_for_scoring_with_a_label(checked):
    build(domain, FIRST, LAST)
    span = FIRST, FIRST + timedelta(days=5)
    keys, features = feature_store.training_set(domain, *span, labels=False).frames()
    labelled_keys, labelled = feature_store.training_set(domain, *span, known_at=LAST).frames()
    assert labelled_keys[["as_of", "entity_id"]].equals(keys)
    assert labelled.equals(features)
    assert list(features) == [feature.name for feature in domain.features]
    assert features.dtypes.astype(str).to_dict() == {"ward": "object", "age": "float64", "long_share_3d": "float64"}


def test_the_same_snapshot_has_the_same_hash_and_a_changed_row_another(checked):
    build(domain, FIRST, LAST)
    as_of = date(2020, 3, 5)
    first = keep_rows(domain, as_of, RUN)
    assert keep_rows(domain, as_of, RUN) == first
    execute("update features.visits_due set age = age + 1 where as_of = '2020-03-03' and visitor = 'v1'")
    assert keep_rows(domain, as_of, RUN) != first
    drop(as_of, RUN)
    drop(as_of, RUN)
    assert value("select to_regclass(%s) is null", (f"ml.{table_of(as_of, RUN)}",))


def test_nothing_that_landed_after_the_training_day_is_in_its_snapshot(checked):
    build(domain, FIRST, LAST)
    as_of = date(2020, 3, 4)
    before = keep_rows(domain, as_of, RUN)
    execute("update raw.visits set minutes = 500 where as_of > %s and minutes is not null", (as_of,))
    build(domain, FIRST, LAST)
    assert keep_rows(domain, as_of, RUN) == before
    execute("update raw.visits set minutes = 500 where as_of = '2020-03-03' and minutes is not null")
    build(domain, FIRST, LAST)
    assert keep_rows(domain, as_of, RUN) != before


def test_a_view_that_gives_rows_of_other_days_is_refused_by_name_and_nothing_of_it_is_kept(checked, tmp_path):
    folder = tmp_path / "domain"
    shutil.copytree(domain.folder, folder)
    file = folder / "sql" / "features" / "ward_history.sql"
    file.write_text(file.read_text().replace("select due.as_of, due.ward,", "select due.as_of + 1 as as_of, due.ward,"))
    with pytest.raises(DomainError, match=r"ward_history\.sql gives 2 rows of days outside 2020-03-04 to 2020-03-04"):
        build(replace(domain, folder=folder), date(2020, 3, 4))
    assert value("select count(*) from features.ward_history") == 0
