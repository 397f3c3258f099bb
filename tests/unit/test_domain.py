"""The contract: what a domain declares, and errors that name what to change."""

import re
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from include.core.domain import (
    Candidate,
    Column,
    Costs,
    Domain,
    Monitoring,
    Retraining,
    Slice,
    Windows,
    days_between,
    load_object,
)
from include.core.errors import DomainError
from include.flights.domain import domain as flights
from tests.toy_domain.domain import domain as toy


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
    with pytest.raises(DomainError, match="no feature view 'ward_histories'; there are ") as error:
        toy.view("ward_histories")
    assert set(str(error.value).split("there are ")[1].split(", ")) == {view.name for view in toy.built_views}


def changed(tmp_path: Path, file: str, old: str, new: str) -> Domain:
    """The toy domain with one file of its sql/ changed."""
    folder = tmp_path / "domain"
    shutil.copytree(toy.folder, folder)
    path = folder / "sql" / f"{file}.sql"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return replace(toy, folder=folder)


VISITOR = "-- entity: visitor text, who comes\n"
LABEL = "-- feature: label boolean, 30 minutes or more\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("event_day date", "day date"),
        (VISITOR, ""),
        (VISITOR, f"{VISITOR}-- entity: ward text, where\n"),
        ("feature: label", "feature: is_long"),
        ("label boolean", "label integer"),
        (LABEL, f"{LABEL}-- feature: minutes integer, how long\n"),
    ],
)
def test_labels_are_keyed_by_their_day_and_the_unit_and_have_one_feature(tmp_path, old, new):
    with pytest.raises(
        DomainError,
        match=r"labels\.sql must be keyed by event_day, visitor and have the one feature 'label boolean'",
    ):
        changed(tmp_path, "labels/labels", old, new)


@pytest.mark.parametrize("names", [[], ["outcomes"], ["labels", "outcomes"]], ids=["none", "another", "two"])
def test_there_is_one_file_of_labels(tmp_path, names):
    shutil.copytree(toy.folder, tmp_path / "domain")
    file = tmp_path / "domain" / "sql" / "labels" / "labels.sql"
    text = file.read_text()
    file.unlink()
    for name in names:
        file.with_stem(name).write_text(text)
    with pytest.raises(DomainError, match=r"toy needs the one file sql/labels/labels\.sql, and no other beside it"):
        replace(toy, folder=tmp_path / "domain")


@pytest.mark.parametrize("name", ["as_of", "entity_id", "label"])
def test_a_feature_that_has_the_name_of_a_key_of_the_matrix_is_refused(tmp_path, name):
    with pytest.raises(DomainError, match=name):
        changed(tmp_path, "features/ward_history", "feature: long_share_3d", f"feature: {name}")


def test_two_views_may_not_have_a_feature_of_the_same_name(tmp_path):
    with pytest.raises(DomainError, match="more than one feature is called age"):
        changed(tmp_path, "features/ward_history", "feature: long_share_3d", "feature: age")


def test_a_view_that_is_keyed_by_what_the_unit_lacks_is_refused(tmp_path):
    with pytest.raises(DomainError, match=r"view ward_history is keyed by \['wing'\], which visits_due does not have"):
        changed(tmp_path, "features/ward_history", "entity: ward", "entity: wing")


@pytest.mark.parametrize(
    ("file", "old", "new", "reach"),
    [
        ("features/ward_history", "lookback: 3", "lookback: 4", 4),
        ("tallies/ward_tally", "lookback: 1", "lookback: 2", 4),
        ("labels/labels", "lookback: 1", "lookback: 4", 4),
    ],
)
def test_the_reach_of_a_domain_is_that_of_its_farthest_view_and_asks_for_retention(tmp_path, file, old, new, reach):
    assert toy.reach == 3
    domain = changed(tmp_path, file, old, new)
    assert domain.reach == reach
    with pytest.raises(DomainError, match=f"features and labels read {reach + toy.label_days}"):
        replace(domain, retention=reach + toy.label_days - 1)


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


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: Candidate("Trees", "a:b"), "candidate 'Trees'"),
        (lambda: Candidate("trees", "a:b", calibration="platt"), "has the calibration 'platt'; there are .*sigmoid"),
        (lambda: Candidate("trees", "a:b", compute="Large!"), "compute class 'Large!'"),
        (lambda: replace(toy.windows, calibration=0), "at least one day"),
        (lambda: replace(toy.gate, margins={"auc": 0.1}), "not for auc"),
        (lambda: replace(toy.gate, confidence=1.0), "confidence is 1"),
        (lambda: replace(toy, candidates=toy.candidates * 2), "more than one candidate"),
        (lambda: replace(toy, slices=toy.slices * 2), "more than one slice is called ward"),
        (lambda: replace(toy, slices=(Slice("age", "age"),)), "age is none; there are"),
        (lambda: Retraining(cadence=0, without_champion=7, pause=0), "at least one day apart"),
        (lambda: Monitoring(window=7, min_days=8, max_ece=0.1), "at most its window"),
        (lambda: Monitoring(window=7, min_days=1, max_ece=0.1), "at least 2 days"),
        (lambda: Monitoring(window=7, min_days=2, max_ece=0.1, confidence=1.0), "between 0.5 and 1"),
        (lambda: Monitoring(window=7, min_days=2, max_ece=0.1, alerts_per_month=0), "at least 1"),
        (lambda: Windows(min_fit=28, calibration=1, validation=1, gate=1, max_fit=27), "max_fit is below min_fit"),
    ],
)
def test_models_gate_and_slices_that_cannot_work_are_refused_in_words(build, told):
    with pytest.raises(DomainError, match=told):
        build()


def test_a_candidate_is_titled_by_its_family_and_parameters():
    trees = Candidate("trees", "somewhere.models:boosted", {"depth": 3, "rate": 0.1})
    assert trees.title == "boosted depth=3 rate=0.1 sigmoid"
    assert Candidate("plain", "somewhere.models:linear", calibration=None).title == "linear"
    both = Candidate("both", "a:blend", {"linear": {"C": 1}, "trees": {"depth": 3}}, calibration=None)
    assert both.title == "blend linear.C=1 trees.depth=3"


def test_a_candidate_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(DomainError, match="no candidate 'forest'; there are logistic_regression"):
        toy.candidate("forest")


def test_the_first_training_takes_all_four_windows():
    assert toy.windows.days == 5
