"""The model card: values in, Markdown out."""

import re
from dataclasses import replace
from datetime import date
from math import nan

import pytest

from include.core.domain import Candidate
from include.flights.domain import domain as flights
from include.modelops import card, training
from tests.toy_domain.domain import domain as toy

DAYS = {"flights": date(2013, 3, 31), "toy": date(2020, 3, 5)}
MEASURES = {"cost": 0.5, "roc_auc": 0.75, "ece": 0.0625}
both_domains = pytest.mark.parametrize("domain", [flights, toy], ids=lambda domain: domain.name)


def write(domain, **changed):
    as_of = DAYS[domain.name]
    values = {
        "trained_as_of": as_of,
        "windows": training.cut(domain, as_of),
        "fitted_rows": 54321,
        "gate_rows": 12345,
        "data_hash": "0123456789abcdef",
        "measured": {candidate.name: MEASURES for candidate in domain.candidates},
        "airflow_run": "manual__2013-04-01",
    }
    return card.write(domain, changed.pop("candidate", domain.candidates[-1]), **{**values, **changed})


def sections(text):
    """The text below each heading of a view."""
    _, *found = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


@both_domains
def test_every_feature_stands_once_under_its_view_with_version_owner_and_meaning(domain):
    text = write(domain)
    found = sections(text)
    assert list(found) == [view.name for view in domain.views]
    for view in domain.views:
        head, *features = found[view.name].strip().split("\n- ")
        assert head.strip() == f"Version {view.version}, of {view.owner}."
        assert features == [f"`{feature.name}`: {feature.meaning}" for feature in view.features]
    assert f"## {len(domain.features)} features" in text
    for feature in domain.features:
        assert text.count(f"- `{feature.name}`: ") == 1


@both_domains
def test_it_says_what_is_predicted_from_what_and_how_it_is_decided(domain):
    text = write(domain)
    assert text.startswith(f"# {domain.name}: {domain.candidates[-1].name}, trained as of {DAYS[domain.name]}\n")
    for told in (
        domain.view(domain.unit).description,
        domain.view("labels").description,
        domain.view("labels").features[0].meaning,
        domain.view("labels").version,
        "act from 0.25 on; false alarm costs 1, miss 3",
        domain.candidates[-1].build,
        "`0123456789abcdef`: 54,321 rows fitted on, 12,345 in the gate window",
        "`manual__2013-04-01`",
    ):
        assert text.count(told) == 1


def test_it_gives_the_windows_with_their_days():
    text = write(flights)
    for line in (
        "| fit | 2013-01-01 | 2013-03-01 | 60 | to fit |",
        "| validation | 2013-03-02 | 2013-03-15 | 14 | to choose a candidate, then to fit |",
        "| gate | 2013-03-16 | 2013-03-29 | 14 | by `deploy_model`, to decide |",
    ):
        assert line in text.splitlines()


def test_it_gives_the_parameters_of_the_candidate():
    text = write(toy, candidate=Candidate("other", "a.b:c", {"C": 2.5, "without": ["age"]}))
    assert 'a.b:c` {"C": 2.5, "without": ["age"]} |' in text


def test_it_gives_the_measures_of_every_candidate_and_marks_the_chosen_one():
    measured = {"logistic_regression": MEASURES, "gradient_boosting": {"cost": 0.4, "roc_auc": nan, "ece": 0.1}}
    text = write(flights, measured=measured)
    assert "| candidate | cost | roc_auc | ece |\n| --- | --- | --- | --- |\n" in text
    assert "| logistic_regression | 0.5000 | 0.7500 | 0.0625 |" in text
    assert "| **gradient_boosting** | 0.4000 | nan | 0.1000 |" in text


@pytest.mark.parametrize(
    ("domain", "limit", "holds"),
    [
        (flights, "- The gate window was neither fitted on nor chosen by;", True),
        (flights, "- The cheapest of 2 was chosen by them,", True),
        (toy, "- The cheapest of", False),
        (flights, "- A label counts if it had landed by the drop of 2013-03-31.", True),
        (flights, "- The last 2 days up to then are left out:", True),
        (flights, "- Features look back over up to 28 drops, and the first 27 days had fewer.", True),
        (toy, "- Features look back over up to 3 drops, and the first 2 days had fewer.", True),
        (flights, "- The days from 2013-01-01 to 2013-03-15 are less than a year:", True),
    ],
)
def test_it_says_what_the_model_cannot_know(domain, limit, holds):
    assert (limit in write(domain)) is holds


def test_a_model_that_has_seen_a_whole_year_has_seen_every_season():
    windows = replace(training.cut(flights, date(2013, 3, 31)), validation=(date(2013, 12, 18), date(2013, 12, 31)))
    assert "less than a year" not in write(flights, windows=windows)
    windows = replace(windows, validation=(date(2013, 12, 17), date(2013, 12, 30)))
    assert "less than a year" in write(flights, windows=windows)


def test_a_bar_in_a_cell_does_not_tear_the_table():
    text = write(toy, airflow_run="a|b", candidate=Candidate("one|two", "a.b:c"), measured={"one|two": MEASURES})
    assert "| Airflow run | `train_model`, `a\\|b` |" in text
    assert "| **one\\|two** | 0.5000 | 0.7500 | 0.0625 |" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_the_same_values_give_the_same_card():
    assert write(flights) == write(flights)


@both_domains
def test_a_card_that_fits_is_its_own_description(domain):
    text = write(domain)
    assert len(text) <= card.LONGEST_DESCRIPTION
    assert card.shortened(text) == text


@pytest.mark.parametrize("longest", [400, 1000, 2500])
def test_a_card_that_is_too_long_is_cut_at_a_line_and_says_where_the_rest_is(longest):
    text = write(flights)
    found = card.shortened(text, longest)
    kept, _, rest = found.partition("\n\nThe rest is in ")
    assert rest == "`model_card.md` of the run.\n"
    assert longest - 250 < len(found) <= longest
    assert set(kept.splitlines()) <= set(text.splitlines())
    assert text.startswith(kept)
