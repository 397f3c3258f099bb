"""The model card: facts and decisions in, Markdown and a page out."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from math import nan

import pytest

from include.core.domain import Candidate
from include.flights.domain import domain as flights
from include.modelops import card, card_text, figures
from include.modelops.snapshot import Snapshot, cut
from tests.toy_domain.domain import domain as toy

DAYS = {"flights": date(2013, 4, 30), "toy": date(2020, 3, 5)}
MEASURES = {"cost": 0.5, "roc_auc": 0.75, "ece": 0.0625}
INTERVALS = {"cost": (0.4, 0.6), "roc_auc": (0.7, 0.8), "ece": (0.05, 0.075)}
SLICES = [{"slice": "where", "group": "a|b", "rows": 1234, "cost": 0.5, "rate": 0.25, "predicted": 0.125}]
CURVE = [
    {"predicted": 0.125, "observed": 0.25, "rows": 4321},
    {"predicted": 0.875, "observed": 0.5, "rows": 7},
]
PROMOTED = card.Decided(
    date(2013, 4, 30), "promoted", "ask_a_person", "Ada", "looks fine", ("it is cheaper", "no slice"), date(2013, 5, 1)
)
REJECTED = card.Decided(date(2013, 4, 30), "rejected", "reject", "gate", "", ("too few rows",), None)
both_domains = pytest.mark.parametrize("domain", [flights, toy], ids=lambda domain: domain.name)


def measured(name, **changed):
    return {
        "candidate": name,
        "measures": MEASURES,
        "intervals": INTERVALS,
        "slices": SLICES,
        "curve": CURVE,
    } | changed


def facts(domain=toy, candidate=None, validated=None, **changed):
    as_of = DAYS[domain.name]
    known = {
        "as_of": as_of,
        "table": "ml.snapshot",
        "data_hash": "0123456789abcdef",
        "rows": 98765,
        "windows": cut(domain, as_of),
        "features": domain.feature_versions(),
        "airflow_run": "manual__2013-05-01",
        "code_version": "a58f471bf00d",
        "mlflow_run": "8a7be11d",
    }
    return card.gather(
        domain,
        candidate or domain.candidates[-1],
        Snapshot(**{**known, **changed}),
        [measured(one.name) for one in domain.candidates] if validated is None else validated,
        fitted_rows=54321,
        gate_rows=12345,
    )


def write(*args, decisions=(), **changed):
    return card.render(facts(*args, **changed), decisions)


def section(text, heading):
    """The text below a heading of the second level."""
    _, *found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))[heading]


# Facts


@both_domains
def test_facts_come_back_from_their_text_as_they_were(domain):
    known = facts(domain)
    assert card.Facts.from_json(known.to_json()) == known
    assert card.render(card.Facts.from_json(known.to_json()), ()) == card.render(known, ())


def test_facts_of_a_release_that_told_more_can_still_be_read():
    known = facts()
    assert card.Facts.from_json(known.to_json().replace("{", '{"more": 1,', 1)) == known


def test_a_model_without_calibration_has_seen_all_days_before_the_gate_window():
    known = facts(flights, candidate=replace(flights.candidates[0], calibration=None))
    assert (known.fitted, known.calibrated) == (["2013-01-01", "2013-04-14"], None)
    assert known.seen == (date(2013, 1, 1), date(2013, 4, 14))


def test_a_model_with_calibration_is_calibrated_on_the_last_days_before_the_gate_window():
    known = facts(flights, candidate=replace(flights.candidates[0], calibration="sigmoid"))
    assert (known.fitted, known.calibrated) == (["2013-01-01", "2013-03-17"], ["2013-03-18", "2013-04-14"])
    assert known.seen == (date(2013, 1, 1), date(2013, 4, 14))


# The text


@both_domains
def test_every_section_is_there_once_with_the_decisions_near_the_top(domain):
    text = write(domain)
    found = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert found == [
        "Purpose",
        "Decision history",
        "Decision and costs",
        "Measures on the validation window",
        "Calibration",
        "Slices",
        "Data and windows",
        "What the gate asks",
        "Limits",
        "Lineage",
        f"{len(domain.features)} features",
    ]
    assert text.startswith(f"# {domain.name}: {domain.candidates[-1].name}, trained as of {DAYS[domain.name]}\n")


@both_domains
def test_every_feature_stands_once_under_its_view_with_version_owner_and_meaning(domain):
    text = write(domain)
    _, *found = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    found = dict(zip(found[::2], found[1::2], strict=True))
    assert list(found) == [view.name for view in domain.views]
    for view in domain.views:
        head, *features = found[view.name].strip().split("\n- ")
        assert head.strip() == f"Version {view.version}, of {view.owner}."
        assert features == [f"`{feature.name}`: {feature.meaning}" for feature in view.features]
    for feature in domain.features:
        assert text.count(f"- `{feature.name}`: ") == 1


@both_domains
def test_it_says_what_is_predicted_by_which_model(domain):
    found = section(write(domain), "Purpose")
    candidate = domain.candidates[-1]
    for told in (
        domain.view(domain.unit).description,
        domain.view("labels").description,
        domain.view("labels").features[0].meaning,
        domain.view("labels").version,
        candidate.title,
        f"`{candidate.build}`",
    ):
        assert told in found


def test_it_gives_the_costs_of_the_four_cases_and_the_threshold_that_follows():
    found = section(write(), "Decision and costs")
    assert "| what a decision costs | label true | label false |" in found
    assert "| acted | 0 | 1 (false alarm) |" in found
    assert "| not acted | 3 (miss) | 0 |" in found
    assert "from the probability **0.25** on, that is 1 / (1 + 3) (Elkan 2001" in found


def test_it_gives_the_windows_with_their_days_in_the_order_of_time():
    found = section(write(flights), "Data and windows").splitlines()
    rows = [line for line in found if line.startswith("| ")][2:]
    assert [row.split(" | ")[:4] for row in rows] == [
        ["| fit", "2013-01-01", "2013-03-03", "62"],
        ["| calibration", "2013-03-04", "2013-03-31", "28"],
        ["| validation", "2013-04-01", "2013-04-14", "14"],
        ["| gate", "2013-04-15", "2013-04-28", "14"],
    ]
    assert "54,321 rows of 104 days. The gate window has 12,345 rows, the snapshot 98,765." in "\n".join(found)


def test_it_gives_the_measures_of_every_candidate_with_intervals_and_marks_the_chosen_one():
    validated = [
        measured("logistic_regression"),
        measured("gradient_boosting", measures=MEASURES | {"cost": 0.4, "roc_auc": nan}, intervals={}),
    ]
    found = section(
        write(flights, candidate=flights.candidate("gradient_boosting"), validated=validated),
        "Measures on the validation window",
    )
    assert (
        "| candidate | cost per row | ROC-AUC | expected calibration error |\n| --- | ---: | ---: | ---: |\n" in found
    )
    row = "| 0.5000 (0.400 to 0.600) | 0.7500 (0.700 to 0.800) | 0.0625 (0.050 to 0.075) |"
    row = row.replace(" to ", f"{card_text.NO_BREAK}to{card_text.NO_BREAK}")
    assert f"| logistic_regression {row}" in found
    assert "| **gradient_boosting** | 0.4000 | nan | 0.0625 |" in found
    assert f"- gradient_boosting: {flights.candidate('gradient_boosting').title}" in found


def test_it_names_the_candidates_that_could_not_be_measured():
    chosen, *others = flights.candidates
    found = section(
        write(flights, candidate=chosen, validated=[measured(chosen.name)]), "Measures on the validation window"
    )
    assert f"Not measured, see the logs of the Airflow run: {', '.join(one.name for one in others)}." in found
    assert "Not measured" not in write(flights)


def test_it_gives_the_calibration_and_the_slices_of_the_chosen_candidate():
    other = measured("other", curve=[{"predicted": 0.3, "observed": 0.3, "rows": 1}], slices=[])
    text = write(toy, validated=[other, measured(toy.candidates[0].name)])
    assert section(text, "Calibration").strip().endswith("| 0.125 | 0.250 | 4,321 |\n| 0.875 | 0.500 | 7 |")
    assert section(text, "Slices").strip().endswith("| where | a\\|b | 1,234 | 0.500 | 0.125 | 0.250 |")
    assert "This domain looks at no slices." in write(toy, validated=[measured(toy.candidates[0].name, slices=[])])


def test_it_gives_what_the_gate_asks():
    found = section(write(flights), "What the gate asks")
    for line in (
        "| rows, at least | 5,000 |",
        "| ROC-AUC, at least | 0.58 |",
        "| days since the last one it was fitted on, at most | 30 |",
        "| worse than the champion, at most | ROC-AUC 0.02, average precision 0.03, Brier score 0.01,"
        " expected calibration error 0.03 |",
    ):
        assert line in found
    assert set(facts(flights).gate) == set(card_text.ASKED)


@both_domains
def test_it_gives_what_the_version_came_from(domain):
    found = section(write(domain), "Lineage")
    for told in ("`0123456789abcdef`", "`a58f471bf00d`", "`train_model`, `manual__2013-05-01`", "`8a7be11d`"):
        assert found.count(told) == 1
    assert f"| drops | {domain.first_day} to {DAYS[domain.name]} |" in found
    for name, version in domain.feature_versions().items():
        assert f"| view {name} | version `{version}` |" in found


@pytest.mark.parametrize(
    ("domain", "limit", "holds"),
    [
        (flights, "- The gate window was neither fitted on nor chosen by;", True),
        (flights, "- The cheapest of ", True),
        (toy, "- The cheapest of", False),
        (flights, "- A label counts if it had landed by the drop of 2013-04-30.", True),
        (flights, "- The last 2 days up to then are left out:", True),
        (flights, "- Features look back over up to 28 drops, and the first 27 days had fewer.", True),
        (toy, "- Features look back over up to 3 drops, and the first 2 days had fewer.", True),
        (flights, "- The days from 2013-01-01 to 2013-04-14 are less than a year:", True),
        (toy, "- It learnt from no label of", False),
    ],
)
def test_it_says_what_the_model_cannot_know(domain, limit, holds):
    assert (limit in section(write(domain), "Limits")) is holds


def test_it_says_which_days_were_kept_for_calibration():
    text = write(flights, candidate=replace(flights.candidates[0], calibration="sigmoid"))
    assert "- It learnt from no label of 2013-03-18 to 2013-04-14 but how to calibrate" in section(text, "Limits")
    assert "fitted on the days 2013-01-01 to 2013-03-17 and calibrated on the days 2013-03-18 to 2013-04-14" in text


def test_a_model_that_has_seen_a_whole_year_has_seen_every_season():
    windows = replace(cut(flights, DAYS["flights"]), validation=(date(2013, 12, 18), date(2013, 12, 31)))
    assert "less than a year" not in write(flights, windows=windows)
    windows = replace(windows, validation=(date(2013, 12, 17), date(2013, 12, 30)))
    assert "less than a year" in write(flights, windows=windows)


def test_it_tells_every_decision_with_who_why_and_since_when():
    found = section(write(decisions=[REJECTED, PROMOTED]), "Decision history").strip()
    assert found == (
        "- 2013-04-30: **rejected**, by gate (route `reject`).\n  - too few rows\n"
        '- 2013-04-30: **promoted**, from 2013-05-01 on, by Ada (route `ask_a_person`). "looks fine"\n'
        "  - it is cheaper\n  - no slice"
    )
    assert "Nothing is decided about this version yet." in write()


def test_the_same_values_give_the_same_card():
    assert write(flights, decisions=[PROMOTED]) == write(flights, decisions=[PROMOTED])


# What others wrote

EVIL = '<script>alert("1")</script> ![x](https://evil.example/x.png) [y](javascript:z) | `a` **b** &lt; \\ _c_\n# d'


class Seen(HTMLParser):
    """The tags, the text and the addresses of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.addresses = set(), "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data):
        self.text += data


def evil_facts():
    return replace(
        facts(),
        unit_meaning=EVIL,
        label_meaning=EVIL,
        label_description=EVIL,
        airflow_run=EVIL,
        code_version=EVIL,
        candidate={"name": "n", "title": EVIL, "build": EVIL, "params": {EVIL: EVIL}, "calibration": None},
        validated=[measured(EVIL, slices=[SLICES[0] | {"slice": EVIL, "group": EVIL}]), measured("n")],
        titles={EVIL: EVIL},
        failed=[EVIL],
        features={"view": {"version": "v", "owner": EVIL, "features": [["f", EVIL]]}},
    )


def test_what_a_domain_or_a_person_wrote_is_shown_as_it_was_written():
    decided = replace(PROMOTED, decided_by=EVIL, comment=EVIL, reasons=(EVIL,), outcome=EVIL)
    page = card.html(card.render(evil_facts(), [decided]), {})
    seen = Seen(page)
    assert not seen.tags & {"script", "img", "a", "iframe"}
    assert seen.addresses == []
    assert seen.text.count(" ".join(EVIL.split())) >= 12


def test_a_bar_does_not_tear_a_table():
    text = card.render(evil_facts(), ())
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    page = card.html(text, {})
    for table in re.findall(r"<table>.*?</table>", page, flags=re.DOTALL):
        assert len({len(re.findall("<t[hd]", row)) for row in table.split("<tr>")[1:]}) == 1


# The page


def test_the_page_needs_nothing_but_itself_and_shows_the_picture_below_its_heading():
    picture = figures.calibration_svg(CURVE)
    page = card.html(write(flights), {"Calibration": picture})
    seen = Seen(page)
    assert seen.addresses == []
    assert not seen.tags & {"script", "link", "img"}
    assert "url(" not in page
    assert "@import" not in page
    assert page.count(f"<h2>Calibration</h2>\n<figure>{picture}</figure>") == 1
    assert page.startswith("<!doctype html>")
    assert f"<title>flights: {flights.candidates[-1].name}, trained as of 2013-04-30</title>" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_html_in_the_text_is_shown_as_text():
    seen = Seen(card.html("# t\n\n<script>x</script> and <img src=y>\n", {}))
    assert not seen.tags & {"script", "img"}
    assert "<script>x</script> and <img src=y>" in seen.text


def test_every_table_of_the_text_is_a_table_of_the_page():
    text = write(flights)
    page = card.html(text, {})
    assert page.count("<table>") == len(re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE))
    assert page.count('<div class="table"><table>') == page.count("</table></div>")


# The description


@pytest.mark.parametrize("longest", [400, 1000, 2500])
def test_a_card_that_is_too_long_is_cut_at_a_line_and_says_where_the_rest_is(longest):
    text = write(flights)
    found = card_text.shortened(text, longest)
    kept, _, rest = found.partition("\n\nThe rest is in ")
    assert rest == "`model_card.md` of the run.\n"
    assert longest - 250 < len(found) <= longest
    assert set(kept.splitlines()) <= set(text.splitlines())
    assert text.startswith(kept)


@pytest.mark.parametrize("theirs", ["", "Mine.", "Mine.\n" * 200, "x" * 4499, "x" * 4600, "x" * 5000, "\n" * 90])
def test_a_description_keeps_what_a_person_wrote_and_stays_within_what_there_is_room_for(theirs):
    known = facts(flights)
    text = card.render(known, [PROMOTED])
    once = card.described(known, text, theirs)
    assert len(once) <= card_text.LONGEST_DESCRIPTION
    assert once.startswith(theirs.strip())
    assert card.described(known, text, once) == once
    assert ("**promoted**" in once) is (len(theirs) < 4000)


def test_a_description_tells_the_latest_decision_only_once():
    known = facts(flights)
    before = card.described(known, card.render(known, ()), "Mine.")
    after = card.described(known, card.render(known, [PROMOTED]), before)
    assert after == card.described(known, card.render(known, [PROMOTED]), "Mine.")
    assert "Nothing is decided" in before
    assert "Nothing is decided" not in after


def test_a_candidate_that_another_domain_declares_can_have_any_parameters():
    text = write(toy, candidate=Candidate("other", "a.b:c", {"C": 2.5, "without": ("age",)}, calibration=None))
    assert '`a.b:c` `{"C": 2.5, "without": ["age"]}`' in text
