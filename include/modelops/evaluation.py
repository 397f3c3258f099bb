"""Measures of a binary classifier, and how sure they are. No Airflow, no database: arrays in, numbers out.

Every function takes `labels` (bool, n) and `probabilities` (float, n, in 0 to 1).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from include.core.domain import Costs, Slice
from include.modelops import bootstrap

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CALIBRATION_BINS = 10

# How people call the measures, in the order in which they are told.
NAMES = {
    "cost": "cost per row",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "ece": "expected calibration error",
}
MORE_IS_BETTER = ("roc_auc", "average_precision")


def measures(labels: "np.ndarray", probabilities: "np.ndarray", costs: Costs) -> dict[str, float]:
    """cost (per row), roc_auc, average_precision, brier and ece. Raises ValueError when only one class is there."""
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    if labels.all() or not labels.any():
        raise ValueError(f"{len(labels)} rows with one class only cannot be evaluated; widen the window")
    return {
        "cost": float(row_costs(labels, probabilities, costs).mean()),
        "roc_auc": float(roc_auc_score(labels, probabilities)),
        "average_precision": float(average_precision_score(labels, probabilities)),
        "brier": float(brier_score_loss(labels, probabilities)),
        "ece": expected_calibration_error(labels, probabilities),
    }


def intervals(
    labels: "np.ndarray",
    probabilities: "np.ndarray",
    days: "np.ndarray",
    costs: Costs,
    *,
    confidence: float = 0.95,
    bootstraps: int = 1000,
) -> dict[str, tuple[float, float]]:
    """Low and high of every measure, by a bootstrap of whole days; `days` (n,) tells the day of each row.

    Raises ValueError when only one class is there. Of a single day the interval is all that is possible.
    """
    import numpy as np

    found = measures(labels, probabilities, costs)
    known, day_of_row = np.unique(days, return_inverse=True)
    drawn = resampled(labels, probabilities, day_of_row, bootstrap.draw_days(len(known), bootstraps), costs)
    return {
        name: bootstrap.interval(value, drawn[name], len(known), confidence, (0.0, largest(name, costs)))
        for name, value in found.items()
    }


def resampled(
    labels: "np.ndarray", probabilities: "np.ndarray", day_of_row: "np.ndarray", weights: "np.ndarray", costs: Costs
) -> dict[str, "np.ndarray"]:
    """Every measure for every draw of days, shape (draws,). `day_of_row` (n,) counts from 0, `weights` (draws, days)
    says how often a day is in a draw. A draw with one class only has NaN where there is no value.
    """
    import numpy as np

    days = weights.shape[1]
    rows = weights @ np.bincount(day_of_row, minlength=days)
    bins = _bins(probabilities)
    gaps = np.bincount(
        day_of_row * CALIBRATION_BINS + bins, weights=probabilities - labels, minlength=days * CALIBRATION_BINS
    )
    roc_auc, average_precision = bootstrap.ranking(labels, probabilities, day_of_row, weights)
    row_values = {"cost": row_costs(labels, probabilities, costs), "brier": (probabilities - labels) ** 2}
    means = {name: weights @ bootstrap.day_sums(values, day_of_row, days) / rows for name, values in row_values.items()}
    return {
        **means,
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "ece": np.abs(weights @ gaps.reshape(days, CALIBRATION_BINS)).sum(axis=1) / rows,
    }


def largest(measure: str, costs: Costs) -> float:
    """The largest value that a measure can have; the least is 0."""
    return max(costs.false_alarm, costs.missed) if measure == "cost" else 1.0


def row_costs(labels: "np.ndarray", probabilities: "np.ndarray", costs: Costs) -> "np.ndarray":
    """What each decision at the cost-optimal threshold cost, shape (n,)."""
    import numpy as np

    acted = probabilities >= costs.threshold
    return np.where(acted & ~labels, costs.false_alarm, 0.0) + np.where(~acted & labels, costs.missed, 0.0)


def expected_calibration_error(labels: "np.ndarray", probabilities: "np.ndarray") -> float:
    """Mean gap between predicted and seen rate over ten bins of equal width, weighted by rows (Guo et al. 2017)."""
    import numpy as np

    return float(np.abs(calibration_gaps(labels, probabilities)).sum() / len(labels))


def calibration_gaps(labels: "np.ndarray", probabilities: "np.ndarray") -> "np.ndarray":
    """The sum of probability less label in each of ten bins of equal width, shape (10,)."""
    import numpy as np

    return np.bincount(_bins(probabilities), weights=probabilities - labels, minlength=CALIBRATION_BINS)


def calibration_curve(labels: "np.ndarray", probabilities: "np.ndarray") -> list[dict[str, float]]:
    """The bins of the calibration error that have rows, from low to high: {"predicted", "observed", "rows"}, that is
    the mean probability, the share of positive labels, and the number of rows.
    """
    bins = _bins(probabilities)
    return [
        {
            "predicted": float(probabilities[bins == number].mean()),
            "observed": float(labels[bins == number].mean()),
            "rows": int((bins == number).sum()),
        }
        for number in range(CALIBRATION_BINS)
        if (bins == number).any()
    ]


def slice_groups(slices: Sequence[Slice], features: "pd.DataFrame") -> dict[str, "np.ndarray"]:
    """The group of every row in every slice, as arrays of str of shape (n,); a row without a value is 'missing'."""
    groups = {}
    for part in slices:
        values = features[part.feature]
        group_of = {value: group for group, members in part.groups.items() for value in members}
        named = values.map(lambda value, known=group_of: known.get(value, "other")) if group_of else values
        groups[part.name] = named.where(values.notna(), "missing").to_numpy(str)
    return groups


def slice_measures(
    labels: "np.ndarray", probabilities: "np.ndarray", slices: Mapping[str, "np.ndarray"], costs: Costs
) -> list[dict[str, Any]]:
    """Every group of every slice, see `slice_groups`: {"slice", "group", "rows", "cost" (per row), "rate" (share of
    positive labels), "predicted" (mean probability)}.
    """
    import numpy as np

    spent = row_costs(labels, probabilities, costs)
    found = []
    for name, group_of_row in slices.items():
        for group in np.unique(group_of_row):
            inside = group_of_row == group
            found.append(
                {
                    "slice": name,
                    "group": str(group),
                    "rows": int(inside.sum()),
                    "cost": float(spent[inside].mean()),
                    "rate": float(labels[inside].mean()),
                    "predicted": float(probabilities[inside].mean()),
                }
            )
    return found


def _bins(probabilities: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
