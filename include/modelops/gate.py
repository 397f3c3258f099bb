"""Decide what happens to a challenger. No Airflow, no database: numbers in, route out.

Every look at the challenger has a finding of its own, with a route and a reason; the worst route is the decision. A
challenger that is promoted passed every look.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from include.core.domain import Costs, Gate
from include.modelops.evaluation import MORE_IS_BETTER, NAMES
from include.modelops.scorecard import Contender, Rows, measure, slice_confidence, trouble_of

__all__ = ["Contender", "Decision", "Route", "Rows", "choose_route"]

# Sums of the same costs in another order differ by less than this.
EQUAL = 1e-12


class Route(StrEnum):
    """Where a challenger can go. Each value is also a task id in deploy_model."""

    PROMOTE = "promote"
    ASK = "ask_a_person"
    REJECT = "reject"


# The worst first.
SEVERITY = (Route.REJECT, Route.ASK, Route.PROMOTE)

Finding = tuple[Route, str]


@dataclass(frozen=True)
class Decision:
    """A route, its reasons in words with the deciding ones first, and the numbers, see `scorecard.measure`."""

    route: Route
    reasons: tuple[str, ...]
    comparison: dict[str, Any]


def choose_route(
    rows: Rows, challenger: Contender, champion: Contender | None, *, as_of: date, gate: Gate, costs: Costs
) -> Decision:
    """Promote a challenger that is surely cheaper and no worse otherwise; ask about what is open; reject the rest.

    With no champion the floors are enough, if it is cheaper than to do without a model and treat all rows alike.
    Raises ValueError when a model has not one probability a row.
    """
    comparison, trouble = measure(rows, challenger, champion, gate, costs)
    findings = [*_floors(comparison, challenger, as_of, gate, rows)]
    if comparison["metrics"]["challenger"]:
        findings += _skill(comparison["metrics"]["challenger"], gate)
    if comparison["metrics"]["difference"]:
        findings += _cost(comparison, gate)
        findings += _margins(comparison["metrics"]["difference"], gate)
        findings += _slices(comparison["slices"], gate)
    if champion:
        findings += _champion(champion, trouble, comparison["first"])
    elif comparison["metrics"]["challenger"]:
        findings += _without_model(comparison["metrics"]["challenger"]["cost"]["value"], rows, costs)
    if not findings:
        findings.append((Route.PROMOTE, "it reaches every floor, and there is no champion to compare with"))
    findings.sort(key=lambda finding: SEVERITY.index(finding[0]))
    return Decision(findings[0][0], tuple(reason for _, reason in findings), comparison)


def _floors(
    comparison: dict[str, Any], challenger: Contender, as_of: date, gate: Gate, rows: Rows
) -> Iterator[Finding]:
    """What must hold before anything can be measured. All that is missing is told, not only the first."""
    count, days, age = comparison["rows"], comparison["days"], (as_of - challenger.fitted_through).days
    if trouble := trouble_of(challenger, count):
        yield Route.REJECT, f"it cannot be measured: {trouble}"
    if comparison["first"] and challenger.fitted_through >= date.fromisoformat(comparison["first"]):
        yield (
            Route.REJECT,
            f"it was fitted through {challenger.fitted_through} and so has seen answers of the gate window, which"
            f" begins on {comparison['first']}",
        )
    if count < gate.min_rows:
        yield Route.REJECT, f"{count} labelled rows in the gate window; it takes {gate.min_rows}"
    if days < gate.min_days:
        yield Route.REJECT, f"{days} days in the gate window; it takes {gate.min_days}"
    if rows.labels.all() or not rows.labels.any():
        yield Route.REJECT, f"all {count} labels in the gate window are the same, so no model can be measured on them"
    if age > gate.max_age:
        yield (
            Route.REJECT,
            f"it is stale: it was fitted through {challenger.fitted_through}, {age} days before {as_of};"
            f" at most {gate.max_age} are allowed, train anew",
        )


def _skill(metrics: dict[str, dict[str, float]], gate: Gate) -> Iterator[Finding]:
    """The absolute bounds of the measures, met when they are met exactly."""
    roc_auc, ece = metrics["roc_auc"]["value"], metrics["ece"]["value"]
    if not roc_auc >= gate.min_roc_auc:
        yield Route.REJECT, f"ROC-AUC {roc_auc:.4f}; it takes {gate.min_roc_auc:g}"
    if not ece <= gate.max_ece:
        yield Route.REJECT, f"expected calibration error {ece:.4f}; at most {gate.max_ece:g} is allowed"
    if roc_auc > gate.max_roc_auc:
        yield (
            Route.ASK,
            f"ROC-AUC {roc_auc:.4f} is too good to be true, an honest model reaches at most {gate.max_roc_auc:g}:"
            " look for a feature that knows the answer",
        )


def _cost(comparison: dict[str, Any], gate: Gate) -> Iterator[Finding]:
    """What the change would save, which is why one would make it. As cheap as the champion is no reason to change."""
    metrics = comparison["metrics"]
    value, low, high = (metrics["difference"]["cost"][key] for key in ("value", "low", "high"))
    told = (
        f"cost per row {metrics['challenger']['cost']['value']:.4f} against {metrics['champion']['cost']['value']:.4f}"
        f" of the champion on {comparison['rows']} rows of {comparison['days']} days; the difference lies between"
        f" {low:+.4f} and {high:+.4f} ({gate.confidence:.0%} of day bootstraps)"
    )
    if high < -EQUAL:
        yield Route.PROMOTE, f"it is cheaper beyond doubt: {told}"
    elif value < -EQUAL:
        yield Route.ASK, f"it is cheaper, but that may be chance: {told}"
    else:
        yield Route.REJECT, f"it is not cheaper: {told}"


def _margins(difference: dict[str, dict[str, float]], gate: Gate) -> Iterator[Finding]:
    """Measures other than cost that became worse by more than their margin.

    An interval that only reaches beyond the margin decides nothing. Two weeks give wide intervals: if all of it had to
    lie inside, a challenger that is truly better would fail by the noise of one measure. Its gain in cost is proven
    already; what is looked for here is a loss, which has to be seen to count.
    """
    for name, margin in gate.margins.items():
        value, low, high = (difference[name][key] for key in ("value", "low", "high"))
        if name in MORE_IS_BETTER:
            value, low, high = -value, -high, -low
        told = f"{NAMES[name]} is worse by {value:.4f}, between {low:+.4f} and {high:+.4f}"
        if low > margin:
            yield Route.REJECT, f"{told}: surely more than the {margin:g} that is allowed"
        elif value > margin:
            yield Route.ASK, f"{told}: more than the {margin:g} that is allowed, though that may be chance"


def _slices(slices: list[dict[str, Any]], gate: Gate) -> Iterator[Finding]:
    """Parts of the entities that would pay for the gain of the others: a trade-off that a person has to make.

    A slice counts when it is surely dearer, and by more than its margin as far as can be told. To ask for more, an
    interval beyond the margin, would overlook most of the harm to a small slice.
    """
    confidence = slice_confidence(len(slices), gate)
    for part in slices:
        name = f"{part['slice']} {part['group']}"
        told = (
            f"cost per row {part['challenger']:.4f} against {part['champion']:.4f} of the champion on {part['rows']}"
            f" rows of {part['days']} days, a difference between {part['low']:+.4f} and {part['high']:+.4f}"
            f" ({confidence:.1%} of day bootstraps)"
        )
        if not part["challenger"] - part["champion"] > gate.slice_margin:
            continue
        if part["days"] < gate.min_days:
            few = f"on too few days to decide by (it takes {gate.min_days})"
            yield Route.PROMOTE, f"{name} is dearer, {few}: {told}"
        elif part["low"] > EQUAL:
            yield Route.ASK, f"{name} is worse off by more than {gate.slice_margin:g}: {told}"


def _without_model(cost: float, rows: Rows, costs: Costs) -> Iterator[Finding]:
    """With no champion the challenger replaces one decision for all. A model of chance may pass the floors by luck,
    but it rarely pays.
    """
    alike = min(float((~rows.labels).mean()) * costs.false_alarm, float(rows.labels.mean()) * costs.missed)
    if not cost < alike - EQUAL:
        yield Route.REJECT, f"cost per row {cost:.4f}; without any model, treating all rows alike, it is {alike:.4f}"


def _champion(champion: Contender, trouble: str, first: str | None) -> Iterator[Finding]:
    """What makes the comparison unfair or impossible; the floors still decide.

    A champion that has seen answers of the window looks better than it is. A challenger that beats it all the same
    goes to a person, as the numbers are not what they seem. One that does not is rejected as always: whoever wants
    the change has to prove the gain, and a person would have no other numbers to find it by.
    """
    if trouble:
        yield Route.ASK, f"the champion, version {champion.version}, cannot be compared with: {trouble}"
    if first and champion.fitted_through >= date.fromisoformat(first):
        yield (
            Route.ASK,
            f"the champion, version {champion.version}, was fitted through {champion.fitted_through} and has seen"
            f" answers of the gate window, which begins on {first}: the comparison flatters it; a training for a later"
            " day would tell",
        )
