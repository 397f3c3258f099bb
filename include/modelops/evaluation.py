"""Measures of a binary classifier. No Airflow, no database: labels and probabilities in, numbers out.

Every function takes `labels` (bool, n) and `probabilities` (float, n, in 0 to 1).
"""

from typing import TYPE_CHECKING

from include.core.domain import Costs

if TYPE_CHECKING:
    import numpy as np

CALIBRATION_BINS = 10


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


def row_costs(labels: "np.ndarray", probabilities: "np.ndarray", costs: Costs) -> "np.ndarray":
    """What each decision at the cost-optimal threshold cost, shape (n,)."""
    import numpy as np

    acted = probabilities >= costs.threshold
    return np.where(acted & ~labels, costs.false_alarm, 0.0) + np.where(~acted & labels, costs.missed, 0.0)


def expected_calibration_error(labels: "np.ndarray", probabilities: "np.ndarray") -> float:
    """Mean gap between predicted and seen rate over ten bins of equal width, weighted by rows (Guo et al. 2017)."""
    import numpy as np

    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=probabilities - labels, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))
