"""Measure a challenger and a champion on the same rows. No Airflow, no database: arrays in, numbers out.

Nothing that was measured elsewhere is used. Both models share the draws of days, so a difference between them is free
of what a day did to both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from include.core.domain import Costs, Gate
from include.modelops import bootstrap, evaluation

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Rows:
    """The rows that both models are measured on: `days` (dates), `labels` (bool), and for each slice the group of
    every row (str). All of shape (n,).
    """

    days: "np.ndarray"
    labels: "np.ndarray"
    slices: Mapping[str, "np.ndarray"]


@dataclass(frozen=True)
class Contender:
    """A model: its version, the last day that it was fitted on, and its probability for every row, shape (n,).

    `trouble` says in words why it could not be scored; then there are no probabilities.
    """

    version: int
    fitted_through: date
    probabilities: "np.ndarray | None"
    trouble: str = ""


def measure(
    rows: Rows, challenger: Contender, champion: Contender | None, gate: Gate, costs: Costs
) -> tuple[dict[str, Any], str]:
    """Both models on the same rows, and why there is no champion among them, in words.

    Returns {"rows", "days", "first", "last", "metrics", "slices"}, all JSON. "metrics" has "challenger", "champion"
    and "difference" (challenger - champion), each as {measure: {"value", "low", "high"}}, or None for what cannot be
    measured. "slices" are the groups of at least `min_slice_rows` rows, as {"slice", "group", "rows", "days",
    "challenger", "champion", "low", "high"}: the cost per row of both, and the interval of the difference.
    """
    import numpy as np

    days = np.asarray(rows.days, "datetime64[D]")
    known, day_of_row = np.unique(days, return_inverse=True)
    found: dict[str, Any] = {
        "rows": len(days),
        "days": len(known),
        "first": str(known[0]) if len(known) else None,
        "last": str(known[-1]) if len(known) else None,
        "metrics": {"challenger": None, "champion": None, "difference": None},
        "slices": [],
    }
    trouble = trouble_of(champion, len(days)) if champion else ""
    one_class = not len(days) or rows.labels.all() or not rows.labels.any()
    if one_class or trouble_of(challenger, len(days)):
        return found, trouble
    models = {"challenger": challenger.probabilities}
    if champion and not trouble:
        models["champion"] = champion.probabilities
    # In one order, whatever the order they came in: a sum of floats depends on it in its last digits.
    order = np.lexsort((*models.values(), rows.labels, days))  # type: ignore[arg-type]
    labels, day_of_row = rows.labels[order], day_of_row[order]
    scored = {role: probabilities[order] for role, probabilities in models.items()}  # type: ignore[index]
    weights = bootstrap.draw_days(len(known), gate.bootstraps)
    values = {role: evaluation.measures(labels, scored[role], costs) for role in scored}
    drawn = {role: evaluation.resampled(labels, scored[role], day_of_row, weights, costs) for role in scored}
    if "champion" in scored:
        mine, theirs = (values[role] for role in models)
        values["difference"] = {name: mine[name] - theirs[name] for name in mine}
        drawn["difference"] = {name: drawn["challenger"][name] - drawn["champion"][name] for name in mine}
    for role, by_measure in values.items():
        found["metrics"][role] = {
            name: _told(role, value, drawn[role][name], len(known), gate.confidence, evaluation.largest(name, costs))
            for name, value in by_measure.items()
        }
    slices = {name: group_of_row[order] for name, group_of_row in rows.slices.items()}
    spent = {role: evaluation.row_costs(labels, scored[role], costs) for role in scored}
    found["slices"] = _slices(slices, spent, day_of_row, weights, gate, evaluation.largest("cost", costs))
    return found, trouble


def trouble_of(model: Contender, rows: int) -> str:
    """Why a model cannot be measured, in words; empty when it can. Raises ValueError for a wrong number of rows."""
    if model.probabilities is None or model.trouble:
        return model.trouble or "it was not scored"
    if len(model.probabilities) != rows:
        raise ValueError(f"version {model.version} has {len(model.probabilities)} probabilities for {rows} rows")
    # Written so that a NaN is wrong too.
    wrong = int((~((model.probabilities >= 0) & (model.probabilities <= 1))).sum())
    return f"{wrong} of its {rows} probabilities are missing or not between 0 and 1" if wrong else ""


def slice_confidence(slices: int, gate: Gate) -> float:
    """The confidence for each of so many slices, so that all hold together with the gate's (Bonferroni)."""
    return 1 - (1 - gate.confidence) / max(slices, 1)


def _slices(
    slices: Mapping[str, "np.ndarray"],
    spent: Mapping[str, "np.ndarray"],
    day_of_row: "np.ndarray",
    weights: "np.ndarray",
    gate: Gate,
    limit: float,
) -> list[dict[str, Any]]:
    import numpy as np

    groups = [
        (name, str(group), group_of_row == group)
        for name, group_of_row in slices.items()
        for group in np.unique(group_of_row)
    ]
    groups = [(name, group, inside) for name, group, inside in groups if inside.sum() >= gate.min_slice_rows]
    found = []
    for name, group, inside in groups:
        day = day_of_row[inside]
        means = {role: float(values[inside].mean()) for role, values in spent.items()}
        entry: dict[str, Any] = {"slice": name, "group": group, "rows": int(inside.sum()), "days": len(np.unique(day))}
        entry |= {"challenger": means["challenger"], "champion": means.get("champion"), "low": None, "high": None}
        if "champion" in spent:
            days = weights.shape[1]
            extra = bootstrap.day_sums((spent["challenger"] - spent["champion"])[inside], day, days)
            with np.errstate(invalid="ignore"):
                drawn = (weights @ extra) / (weights @ np.bincount(day, minlength=days))
            told = _told(
                "difference",
                means["challenger"] - means["champion"],
                drawn,
                entry["days"],
                slice_confidence(len(groups), gate),
                limit,
            )
            entry |= {"low": told["low"], "high": told["high"]}
        found.append(entry)
    return found


def _told(
    role: str, value: float, drawn: "np.ndarray", days: int, confidence: float, largest: float
) -> dict[str, float]:
    limits = (-largest if role == "difference" else 0.0, largest)
    low, high = bootstrap.interval(value, drawn, days, confidence, limits)
    return {"value": value, "low": low, "high": high}
