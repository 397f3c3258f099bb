"""The text of a model card: what a version predicts, what it was made from, how good it was, and what it cannot know.

Values in, Markdown out (after Mitchell et al. 2019, Model Cards for Model Reporting). What people and domains wrote
is shown as they wrote it: no mark-up in it counts, no link, no picture.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.modelops.card_facts import Facts
from include.modelops.evaluation import NAMES

FILE = "model_card.md"
PAGE_FILE = "model_card.html"
# What MLflow's registry has room for as a description, in characters.
LONGEST_DESCRIPTION = 5000
CALIBRATION = "Calibration"
NO_BREAK = "\N{NO-BREAK SPACE}"
USED = {
    "fit": "to fit the candidates",
    "calibration": "to calibrate the candidates that ask for it; the others are fitted on it too",
    "validation": "to measure the candidates and choose one",
    "gate": "by `deploy_model`, to decide; nothing was fitted or chosen on it",
}
ASKED = {
    "min_rows": "rows, at least",
    "min_days": "days, at least",
    "min_roc_auc": "ROC-AUC, at least",
    "max_roc_auc": "ROC-AUC, at most: more is a leak rather than skill",
    "max_ece": "expected calibration error, at most",
    "max_age": "days since the last one it was fitted on, at most",
    "margins": "worse than the champion, at most",
    "slice_margin": "cost per row of a slice above the champion's, at most",
    "min_slice_rows": "rows that make a slice count",
    "confidence": "confidence of the intervals",
    "bootstraps": "bootstraps of whole days",
}


@dataclass(frozen=True)
class Decided:
    """A decision about the version: on which day, what, through which route, by whom, why, and what it changed.

    `comment` is what a person wrote, `effective_from` the first day that it counts for, None when nothing changed.
    """

    as_of: date
    outcome: str
    route: str
    decided_by: str
    comment: str
    reasons: Sequence[str]
    effective_from: date | None


def title(facts: Facts) -> str:
    """The first line of the card, the same for as long as the version lives."""
    return f"# {facts.domain}: {facts.candidate['name']}, trained as of {facts.trained_as_of}"


def render(facts: Facts, decisions: Sequence[Decided]) -> str:
    """The card in Markdown. `decisions` are those about the version so far, the first one first."""
    parts = (
        title(facts),
        "## Purpose",
        *_purpose(facts),
        "## Decision history",
        "\n".join(map(_decided, decisions)) or "Nothing is decided about this version yet.",
        "## Decision and costs",
        *_costs(facts),
        "## Measures on the validation window",
        *_measures(facts),
        f"## {CALIBRATION}",
        *_calibration(facts),
        "## Slices",
        *_slices(facts),
        "## Data and windows",
        *_windows(facts),
        "## What the gate asks",
        _table(
            ("", ""), ((ASKED.get(name, _code(name)), _told(facts.gate[name])) for name in _in_order(facts.gate, ASKED))
        ),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(facts)),
        "## Lineage",
        _lineage(facts),
        f"## {sum(len(view['features']) for view in facts.features.values())} features",
        *(_features(name, view) for name, view in facts.features.items()),
    )
    return "\n\n".join(parts) + "\n"


def shortened(text: str, longest: int = LONGEST_DESCRIPTION) -> str:
    """The text, or as many whole lines of it as there is room for, and where the rest is."""
    rest = f"\n\nThe rest is in `{FILE}` of the run.\n"
    return text if len(text) <= longest else text[: text.rindex("\n", 0, longest - len(rest) + 1)].rstrip() + rest


def _purpose(facts: Facts) -> Iterable[str]:
    yield f"The probability that the label is true: {_plain(facts.label_meaning)}."
    yield _table(
        ("", ""),
        (
            ("scored", f"{_code(facts.unit)}: {_plain(facts.unit_meaning)}"),
            ("label", f"version {facts.label_version}: {_plain(facts.label_description)}"),
            ("model", f"**{_plain(facts.candidate['title'])}**{'' if facts.calibrated else ', not calibrated'}"),
            ("made by", f"{_code(facts.candidate['build'])} {_code(json.dumps(facts.candidate['params']))}"),
        ),
    )


def _decided(decision: Decided) -> str:
    since = f", from {decision.effective_from} on" if decision.effective_from else ""
    told = f"- {decision.as_of}: **{_plain(decision.outcome)}**{since}, by {_plain(decision.decided_by)}"
    told += f" (route {_code(decision.route)})."
    if decision.comment.strip():
        told += f' "{_plain(decision.comment)}"'
    return told + "".join(f"\n  - {_plain(reason)}" for reason in decision.reasons)


def _costs(facts: Facts) -> Iterable[str]:
    false_alarm, missed, threshold = (facts.costs[name] for name in ("false_alarm", "missed", "threshold"))
    yield _table(
        ("what a decision costs", "label true", "label false"),
        (("acted", "0", f"{false_alarm:g} (false alarm)"), ("not acted", f"{missed:g} (miss)", "0")),
        "lrr",
    )
    yield (
        f"To act is cheaper from the probability **{threshold:.4g}** on, that is {false_alarm:g} / ({false_alarm:g} +"
        f" {missed:g}) (Elkan 2001, The Foundations of Cost-Sensitive Learning, equation 2)."
    )


def _measures(facts: Facts) -> Iterable[str]:
    """One row a candidate, the chosen one in bold, and below what could not be measured."""
    names = _in_order(dict.fromkeys(name for one in facts.validated for name in one["measures"]), NAMES)
    lines = []
    for one in facts.validated:
        name = one["candidate"]
        told = _plain(name) if name != facts.candidate["name"] else f"**{_plain(name)}**"
        spread = one.get("intervals") or {}
        lines.append((told, *(_measured(one["measures"].get(of), spread.get(of)) for of in names)))
    yield _table(("candidate", *(NAMES.get(name, _plain(name)) for name in names)), lines, "l" + "r" * len(names))
    yield "In brackets the interval of 95 %, by a bootstrap of whole days. The chosen candidate is in bold."
    yield "\n".join(
        f"- {_plain(one['candidate'])}: {_plain(facts.titles.get(one['candidate'], ''))}" for one in facts.validated
    )
    if facts.failed:
        yield f"Not measured, see the logs of the Airflow run: {', '.join(map(_plain, facts.failed))}."


def _calibration(facts: Facts) -> Iterable[str]:
    yield f"On the validation window; `{PAGE_FILE}` of the run shows it as a picture too."
    yield _table(
        ("mean predicted", "observed share", "rows"),
        (
            (f"{one['predicted']:.3f}", f"{one['observed']:.3f}", f"{one['rows']:,.0f}")
            for one in facts.chosen.get("curve", ())
        ),
        "rrr",
    )


def _slices(facts: Facts) -> Iterable[str]:
    if not (slices := facts.chosen.get("slices")):
        yield "This domain looks at no slices."
        return
    yield _table(
        ("slice", "group", "rows", "cost per row", "mean predicted", "observed share"),
        (
            (
                _plain(one["slice"]),
                _plain(one["group"]),
                f"{one['rows']:,}",
                *(f"{one[name]:.3f}" for name in ("cost", "predicted", "rate")),
            )
            for one in slices
        ),
        "llrrrr",
    )


def _windows(facts: Facts) -> Iterable[str]:
    yield _table(
        ("window", "first", "last", "days", "used"),
        ((name, *_days(facts.windows[name]), USED.get(name, "")) for name in _in_order(facts.windows, USED)),
        "lllrl",
    )
    seen, days = facts.seen, "the days {} to {}".format
    fitted = f"The registered model is fitted on {days(*facts.fitted)}"
    if facts.calibrated:
        fitted += f" and calibrated on {days(*facts.calibrated)}"
    yield (
        f"{fitted}: {facts.rows['fitted']:,} rows of {(seen[1] - seen[0]).days + 1} days. The gate window has"
        f" {facts.rows['gate']:,} rows, the snapshot {facts.rows['snapshot']:,}."
    )


def _limits(facts: Facts) -> Iterable[str]:
    """What follows from how it was made."""
    first, last = facts.seen
    yield "The gate window was neither fitted on nor chosen by; the measures there are in `ml.decisions`."
    yield "The measures above are of a fit without the validation window; the registered model has seen that one too."
    if len(facts.validated) > 1:
        yield f"The cheapest of {len(facts.validated)} was chosen by them, so they flatter it a little."
    yield "The intervals tell how days differ among those of the window, not how another season would."
    if facts.calibrated:
        yield (
            f"It learnt from no label of {facts.calibrated[0]} to {facts.calibrated[1]} but how to calibrate: what"
            " changed then, it has not learnt to rank by."
        )
    yield f"A label counts if it had landed by the drop of {facts.trained_as_of}."
    yield f"The last {facts.label_days} days up to then are left out: their labels were still on their way."
    if facts.reach > 1:
        yield f"Features look back over up to {facts.reach} drops, and the first {facts.reach - 1} days had fewer."
    if (last - first).days + 1 < 365:
        yield f"The days from {first} to {last} are less than a year: some seasons it has never seen."
    yield "The threshold is right for these costs, and as far as the probabilities are calibrated."


def _lineage(facts: Facts) -> str:
    return _table(
        ("", ""),
        (
            ("data hash", _code(facts.data_hash)),
            ("drops", f"{facts.drops[0]} to {facts.drops[1]}"),
            *((f"view {name}", f"version {_code(view['version'])}") for name, view in facts.features.items()),
            ("code", _code(facts.code_version)),
            ("Python", facts.python),
            ("Airflow run", f"`train_model`, {_code(facts.airflow_run)}"),
            ("MLflow run", _code(facts.mlflow_run)),
        ),
    )


def _features(name: str, view: dict[str, Any]) -> str:
    """A view's version and owner, and what each of its features means."""
    meanings = (f"- `{feature}`: {_plain(meaning)}" for feature, meaning in view["features"])
    return "\n".join((f"### {name}", "", f"Version {view['version']}, of {_plain(view['owner'])}.", "", *meanings))


def _in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names in the order of those that are known, the others after them."""
    place = {name: number for number, name in enumerate(known)}
    return sorted(names, key=lambda name: place.get(name, len(place)))


def _days(window: Sequence[str]) -> tuple[str, str, str]:
    first, last = map(date.fromisoformat, window)
    return window[0], window[1], str((last - first).days + 1)


def _measured(value: float | None, between: Sequence[float] | None) -> str:
    """A measure and its interval, which breaks into two lines but no more."""
    if value is None:
        return ""
    return f"{value:.4f}" + (f" ({between[0]:.3f}{NO_BREAK}to{NO_BREAK}{between[1]:.3f})" if between else "")


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{NAMES.get(name, _plain(name))} {one:g}" for name, one in value.items()) or "no margins"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _plain(text: str) -> str:
    """Text of others on one line, in which nothing is mark-up."""
    return re.sub(r"([\\`*\[\]<>|&~]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(str(text).split()))


def _code(text: str) -> str:
    """Text as code, on one line; a bar in it would tear a table, and a backtick would end it."""
    one_line = " ".join(str(text).split())
    return f"`{one_line.replace('|', chr(92) + '|')}`" if one_line and "`" not in one_line else _plain(one_line)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table; `align` has l or r for every column."""
    ruler = ["---:" if side == "r" else "---" for side in align.ljust(len(head), "l")]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ruler, *rows))
