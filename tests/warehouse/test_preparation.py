"""What stands before the first drop, made again and again."""

from datetime import date

from include.core.feature_view import Kind
from include.dataops import preparation
from tests.toy_domain.domain import domain
from tests.warehouse.chain import checksum, feature_checksums, prepare, rows

DATA = (
    ("raw", "visits"),
    ("quality", "partitions"),
    ("quality", "stages"),
    ("features", "partitions"),
    ("features", "statistics"),
)


def test_preparing_again_keeps_all_data(toy_warehouse):
    prepare(domain, date(2020, 2, 26), date(2020, 3, 1))
    before = [checksum(*table) for table in DATA], feature_checksums(domain)
    preparation.create_tables(domain)
    assert ([checksum(*table) for table in DATA], feature_checksums(domain)) == before


def test_the_registry_says_what_each_view_is_and_which_version_it_has(toy_warehouse):
    found = rows("select view, kind, version, owner, description, entity, features, lookback from features.registry")
    assert found == [
        (
            view.name,
            view.kind,
            view.version,
            view.owner,
            view.description,
            [column.name for column in view.entity],
            {feature.name: feature.meaning for feature in view.features},
            view.lookback,
        )
        for view in domain.built_views
    ]
    assert {kind for _, kind, *_ in found} == set(Kind)


def test_the_feed_fills_in_what_is_missing_and_leaves_the_rest(toy_warehouse):
    gone, corrected = (toy_warehouse / day / "visits.csv" for day in ("2020-02-27", "2020-02-28"))
    gone.unlink()
    corrected.write_text("corrected")
    assert preparation.write_sample_drops(domain) == 1
    assert gone.exists()
    assert corrected.read_text() == "corrected"
    assert preparation.write_sample_drops(domain) == 0
