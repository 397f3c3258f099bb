"""The model card of a version: what it predicts, what it was made from, how good it was, and what it cannot know.

No Airflow, no database: values in, Markdown out (after Mitchell et al. 2019, Model Cards for Model Reporting).
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING

from include.core.domain import LABELS, Candidate, Domain
from include.core.feature_view import FeatureView

if TYPE_CHECKING:
    from include.modelops.training import Cut

FILE = "model_card.md"
# What MLflow's registry has room for as a description, in characters.
LONGEST_DESCRIPTION = 5000
Measured = Mapping[str, Mapping[str, float]]


def write(
    domain: Domain,
    candidate: Candidate,
    *,
    trained_as_of: date,
    windows: "Cut",
    fitted_rows: int,
    gate_rows: int,
    data_hash: str,
    measured: Measured,
    airflow_run: str,
) -> str:
    """The card of the model that `candidate` gave, fitted on the fit and validation windows.

    `measured` holds the measures of every candidate on the validation window.
    """
    labels, costs = domain.view(LABELS), domain.costs
    made_from = (
        ("scored", f"`{domain.unit}`: {domain.view(domain.unit).description}"),
        ("label", f"`{LABELS}`, version {labels.version}: {labels.description}"),
        (
            "decision",
            f"act from {costs.threshold:.4g} on; false alarm costs {costs.false_alarm:g}, miss {costs.missed:g}",
        ),
        ("candidate", f"`{candidate.build}` {json.dumps(dict(candidate.params))}"),
        ("data", f"`{data_hash}`: {fitted_rows:,} rows fitted on, {gate_rows:,} in the gate window"),
        ("Airflow run", f"`train_model`, `{airflow_run}`"),
    )
    used = (
        ("fit", *_days(windows.fit), "to fit"),
        ("validation", *_days(windows.validation), "to choose a candidate, then to fit"),
        ("gate", *_days(windows.gate), "by `deploy_model`, to decide"),
    )
    parts = (
        f"# {domain.name}: {candidate.name}, trained as of {trained_as_of}",
        f"The probability that the label is true: {labels.features[0].meaning}.",
        _table(("", ""), made_from),
        _table(("window", "first", "last", "days", "used"), used),
        "## Measures on the validation window",
        _measures(candidate, measured),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(domain, trained_as_of, windows, measured)),
        f"## {len(domain.features)} features",
        *(_features(view) for view in domain.views),
    )
    return "\n\n".join(parts) + "\n"


def shortened(card: str, longest: int = LONGEST_DESCRIPTION) -> str:
    """The card, or as many whole lines of it as there is room for, and where the rest is."""
    rest = f"\n\nThe rest is in `{FILE}` of the run.\n"
    return card if len(card) <= longest else card[: card.rindex("\n", 0, longest - len(rest) + 1)] + rest


def _limits(domain: Domain, trained_as_of: date, windows: "Cut", measured: Measured) -> Iterable[str]:
    """What follows from how it was made."""
    first, last = windows.fit[0], windows.validation[1]
    yield "The gate window was neither fitted on nor chosen by; the measures there are in `ml.decisions`."
    yield "The measures above are of a fit without the validation window; the registered model is fitted on both."
    if len(measured) > 1:
        yield f"The cheapest of {len(measured)} was chosen by them, so they flatter it a little."
    yield f"A label counts if it had landed by the drop of {trained_as_of}."
    yield f"The last {domain.label_days} days up to then are left out: their labels were still on their way."
    if domain.reach > 1:
        yield f"Features look back over up to {domain.reach} drops, and the first {domain.reach - 1} days had fewer."
    if (last - first).days + 1 < 365:
        yield f"The days from {first} to {last} are less than a year: some seasons it has never seen."
    yield "The threshold is right for these costs, and as far as the probabilities are calibrated (`ece`)."


def _measures(candidate: Candidate, measured: Measured) -> str:
    """One row a candidate, the chosen one in bold."""
    names = list(dict.fromkeys(name for numbers in measured.values() for name in numbers))
    return _table(
        ("candidate", *names),
        (
            (f"**{of}**" if of == candidate.name else of, *(f"{numbers[name]:.4f}" for name in names))
            for of, numbers in measured.items()
        ),
    )


def _features(view: FeatureView) -> str:
    """A view's version and owner, and what each of its features means."""
    meanings = (f"- `{feature.name}`: {feature.meaning}" for feature in view.features)
    return "\n".join((f"### {view.name}", "", f"Version {view.version}, of {view.owner}.", "", *meanings))


def _days(window: tuple[date, date]) -> tuple[str, str, str]:
    return str(window[0]), str(window[1]), str((window[1] - window[0]).days + 1)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; a bar in a cell would tear it."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
