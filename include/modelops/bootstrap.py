"""Resample whole days: how far a measure would move if other days of the same kind had come.

Days are drawn, not rows: the rows of one day share what befell that day, so they are not independent (Efron &
Tibshirani 1993, section 8.3). A draw is how often each day is in it, so every measure is worked out for all draws at
once from sums per day; no row is ever copied.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SEED = 20130101

# Distinct probabilities worked on at a time: with 1,000 draws an array of 8 MB, however many rows there are.
CHUNK = 1_000


def draw_days(days: int, draws: int) -> "np.ndarray":
    """How often each of `days` days is in each draw, shape (draws, days), whole numbers as float. Always the same."""
    import numpy as np

    return np.random.default_rng(SEED).multinomial(days, [1 / days] * days, size=draws).astype(float)


def day_sums(values: "np.ndarray", day_of_row: "np.ndarray", days: int) -> "np.ndarray":
    """The sum of `values` (n,) over the rows of each day, shape (days,). `day_of_row` (n,) counts from 0."""
    import numpy as np

    return np.bincount(day_of_row, weights=values, minlength=days)


def ranking(
    labels: "np.ndarray", probabilities: "np.ndarray", day_of_row: "np.ndarray", weights: "np.ndarray"
) -> tuple["np.ndarray", "np.ndarray"]:
    """ROC-AUC and average precision of every draw, each of shape (draws,); NaN for a draw with one class only.

    `labels` (bool), `probabilities` and `day_of_row` have shape (n,), `weights` (draws, days) holds whole numbers. Both
    are what scikit-learn gives when each row is weighted with its day, equal probabilities included. The ROC-AUC of a
    draw needs only how often positives of one day outrank negatives of another, which is counted once.
    """
    import numpy as np

    days = weights.shape[1]
    order = np.argsort(-probabilities, kind="stable")
    labels, day_of_row, ranked = labels[order], day_of_row[order], probabilities[order]
    # Rows of equal probability share a rank; 0 is the highest.
    rank = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])])
    positives, rows = np.zeros((days, 1)), np.zeros((days, 1))  # of each day, down to the rank reached so far
    outranked, precision = np.zeros((days, days)), np.zeros(len(weights))
    for start in range(0, rank[-1] + 1, CHUNK):
        stop = min(start + CHUNK, rank[-1] + 1)
        part = slice(*np.searchsorted(rank, [start, stop]))
        cell = day_of_row[part] * (stop - start) + rank[part] - start
        shape = (days, stop - start)
        new = np.bincount(cell, weights=labels[part], minlength=shape[0] * shape[1]).reshape(shape)
        new_rows = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
        seen, seen_rows = positives + new.cumsum(axis=1), rows + new_rows.cumsum(axis=1)
        outranked += (seen - new / 2) @ (new_rows - new).T
        steps = new.any(axis=0)
        # A draw that has no row so far has no positive either: 0 of 1 for 0 of 0.
        found = (weights @ seen[:, steps]) / np.maximum(weights @ seen_rows[:, steps], 1)
        precision += (found * (weights @ new[:, steps])).sum(axis=1)
        positives, rows = seen[:, -1:], seen_rows[:, -1:]
    drawn, drawn_rows = (weights @ positives)[:, 0], (weights @ rows)[:, 0]
    with np.errstate(invalid="ignore"):
        roc_auc = ((weights @ outranked) * weights).sum(axis=1) / (drawn * (drawn_rows - drawn))
        average_precision = precision / drawn
    return roc_auc, np.where(drawn < drawn_rows, average_precision, np.nan)


def interval(
    value: float, drawn: "np.ndarray", days: int, confidence: float, limits: tuple[float, float]
) -> tuple[float, float]:
    """The expanded percentile interval of a measure that is `value` on all days and `drawn` (draws,) on the draws.

    Draws without a value are left out. One day says nothing of other days: then it is `limits`, all that is possible.
    The interval always holds `value`: a measure like the calibration error is larger on nearly every draw, as drawing
    adds noise to it.
    """
    import numpy as np

    if days < 2:
        return limits
    tail = expanded_tail(days, confidence)
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return min(float(low), value), max(float(high), value)


def expanded_tail(days: int, confidence: float) -> float:
    """The share of draws to cut off on either side.

    Few days make plain percentiles too narrow: they use the normal distribution where Student's is due, and divide by
    n where n - 1 is due. Cutting Phi(-sqrt(n / (n - 1)) t) instead gives the interval of Student for symmetric data
    (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"); with 14 days it is 1.2 % and not 2.5 %. No draw
    is beyond the best and the worst day, so below about seven days the interval is too narrow whatever is cut off.
    """
    from scipy.special import ndtr, stdtrit

    quantile = stdtrit(days - 1, (1 + confidence) / 2)
    return float(ndtr(-((days / (days - 1)) ** 0.5) * quantile))
