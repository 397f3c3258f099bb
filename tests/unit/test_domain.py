"""The contract: what a header says, what changes a version, and errors that name what to change."""

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from include.core.domain import Column, Costs, DomainError, FeatureView, days_between, load_object
from include.flights.domain import domain as flights
from tests.toy_domain.domain import domain as toy

VIEW = """\
-- One row per ward and as-of day: how long visits took.
-- owner: reception
-- lookback: 3
-- entity: ward text, where
-- feature: long_share double precision, share of long visits
select as_of, ward, long_share from visits where as_of between %(start)s and %(end)s
"""


def read(folder: Path, text: str) -> FeatureView:
    file = folder / "ward_history.sql"
    file.write_text(text)
    return FeatureView.read(file)


def test_a_view_is_described_by_the_header_of_its_file(tmp_path):
    view = read(tmp_path, VIEW)
    assert (view.name, view.owner, view.lookback) == ("ward_history", "reception", 3)
    assert view.description == "One row per ward and as-of day: how long visits took."
    assert [(c.name, c.type, c.meaning) for c in view.entity] == [("ward", "text", "where")]
    assert [(c.name, c.type) for c in view.features] == [("long_share", "double precision")]


@pytest.mark.parametrize(
    ("line", "instead", "named"),
    [
        ("-- owner: reception\n", "", "owner"),
        ("-- lookback: 3\n", "", "lookback"),
        ("-- One row per ward", "-- Rows per ward", "One row per"),
        ("-- entity: ward text, where", "-- entity: ward text", "ward text"),
        ("share double precision, share", "share", "name type, meaning"),
    ],
)
def test_a_header_that_lacks_something_is_refused_by_the_name_of_what_it_lacks(tmp_path, line, instead, named):
    with pytest.raises(DomainError, match=re.escape(named)) as error:
        read(tmp_path, VIEW.replace(line, instead))
    assert "ward_history.sql" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("how long visits took", "another description"),
        ("owner: reception", "owner: somebody else"),
        ("share of long visits", "another meaning"),
        ("select as_of,", "-- a remark\nselect   as_of,\n   "),
        ("from visits where", "from visits -- a remark\nwhere"),
    ],
)
def test_a_comment_or_spacing_leaves_the_version_as_it_is(tmp_path, old, new):
    assert read(tmp_path, VIEW.replace(old, new)).version == read(tmp_path, VIEW).version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from visits", "from other_visits"),
        ("lookback: 3", "lookback: 4"),
        ("long_share double precision", "long_share real"),
        ("feature: long_share", "feature: other_share"),
        ("entity: ward text", "entity: ward varchar"),
    ],
)
def test_what_decides_the_values_changes_the_version(tmp_path, old, new):
    assert read(tmp_path, VIEW.replace(old, new)).version != read(tmp_path, VIEW).version


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Toy"}, "Toy"),
        ({"first_day": date(2020, 3, 5)}, "first_day"),
        ({"last_day": date(2020, 3, 1)}, "last_day"),
        ({"costs": Costs(false_alarm=0.0, missed=3.0)}, "costs"),
        ({"unit": "visits_gone"}, "visits_gone.sql"),
        ({"unit": "ward_history"}, "visitor"),
    ],
)
def test_a_domain_that_cannot_work_says_what_to_change(change, named):
    with pytest.raises(DomainError, match=named):
        replace(toy, **change)


def test_an_unknown_time_zone_is_refused_when_the_domain_is_built():
    with pytest.raises(KeyError, match="Atlantis"):
        replace(toy, timezone="Atlantis/Main")


@pytest.mark.parametrize("domain", [toy, flights], ids=lambda domain: domain.name)
def test_the_view_of_the_unit_comes_first_and_the_others_by_name(domain):
    names = [view.name for view in domain.views]
    assert names == [domain.unit, *sorted(set(names) - {domain.unit})]


@pytest.mark.parametrize("domain", [toy, flights], ids=lambda domain: domain.name)
def test_no_two_features_share_a_name_and_each_can_be_computed_by_its_file(domain):
    names = [feature.name for feature in domain.features]
    assert len(names) == len(set(names))
    for view in domain.views:
        assert all(re.search(rf"\b{feature.name}\b", view.sql.split("select", 1)[1]) for feature in view.features)


def test_a_view_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(DomainError, match="visits_due, ward_history"):
        toy.view("ward_histories")


@pytest.mark.parametrize(
    ("start", "end", "fits"),
    [
        (date(2020, 2, 26), date(2020, 3, 8), True),
        (date(2020, 2, 25), date(2020, 3, 8), False),
        (date(2020, 2, 26), date(2020, 3, 9), False),
        (date(2020, 3, 2), date(2020, 3, 1), False),
    ],
)
def test_days_outside_the_calendar_are_refused(start, end, fits):
    if fits:
        toy.check_days(start, end)
    else:
        with pytest.raises(DomainError, match="2020-02-26 to 2020-03-08"):
            toy.check_days(start, end)


def test_a_calendar_without_an_end_takes_any_later_day():
    replace(toy, last_day=None).check_days(date(2020, 3, 1), date(2199, 1, 1))


@pytest.mark.parametrize(("false_alarm", "missed", "threshold"), [(1, 3, 0.25), (1, 1, 0.5), (3, 1, 0.75)])
def test_acting_pays_from_the_share_of_the_false_alarm_in_both_costs(false_alarm, missed, threshold):
    assert Costs(false_alarm, missed).threshold == threshold


def test_days_between_include_both_ends_and_the_leap_day():
    assert [day.day for day in days_between(date(2020, 2, 28), date(2020, 3, 1))] == [28, 29, 1]


@pytest.mark.parametrize("domain", [toy, flights], ids=lambda domain: domain.name)
def test_everything_that_a_domain_names_by_path_exists(domain):
    for path in (
        domain.feed,
        *(reference.file for reference in domain.reference),
        *(candidate.build for candidate in domain.candidates),
    ):
        assert callable(load_object(path))
    for source in domain.sources:
        assert (domain.folder / "checks" / f"{source.name}.yml").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "As-Of"}, "lower case"),
        ({"name": "as_of"}, "none of as_of, line"),
        ({"name": "xmin"}, "none of as_of, line"),
        ({"minimum": 2, "maximum": 1}, "above its maximum"),
        ({"name": "_came"}, "lower case"),
        ({"type": "money"}, "there are text, boolean"),
        ({"type": "text", "minimum": 1}, "minimum or maximum does not go with"),
        ({"type": "integer", "days": (0, 0)}, "days does not go with"),
        ({"type": "date", "within_drop": True}, "within_drop does not go with"),
        ({"type": "integer", "choices": ("a",)}, "choices or reference does not go with"),
        ({"type": "text", "reference": "wards"}, "table.column"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused_in_words(change, told):
    with pytest.raises(DomainError, match=re.escape(told)):
        Column(**{"name": "age", "type": "integer", "meaning": "years", **change})


@pytest.mark.parametrize("key", [(), ("minutes",), ("nobody",)], ids=["none", "optional", "unknown"])
def test_the_key_of_a_source_is_made_of_columns_that_every_row_has(key):
    with pytest.raises(DomainError, match="key of source visits"):
        replace(toy.sources[0], key=key)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"retention": 4}, "features and labels read 5"),
        ({"drop_deadline": timedelta(days=1)}, "drop_deadline"),
        ({"drop_deadline": timedelta(0)}, "drop_deadline"),
    ],
)
def test_a_domain_whose_days_do_not_fit_together_is_refused(change, told):
    with pytest.raises(DomainError, match=told):
        replace(toy, **change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sources": toy.sources * 2}, "more than one source is called visits"),
        ({"reference": toy.reference * 2}, "more than one reference is called wards"),
    ],
)
def test_names_that_stand_twice_are_refused(change, told):
    with pytest.raises(DomainError, match=told):
        replace(toy, **change)


def test_a_source_and_a_reference_table_name_each_column_once_and_have_their_key(tmp_path):
    columns = toy.sources[0].columns
    with pytest.raises(DomainError, match="more than one column of source visits is called visitor"):
        replace(toy.sources[0], columns=(*columns, columns[0]))
    with pytest.raises(DomainError, match="key of reference wards"):
        replace(toy.reference[0], key=("nobody",))
