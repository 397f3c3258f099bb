"""Tell whether a champion does harm, from its matured days. No Airflow, no database: sums in, signals out.

Harm is a calibration error, or a cost, that surely lies beyond what the domain allows. How sure is told by a bootstrap
of whole days, so one storm, of which the next sample may have none, is no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from include.core.domain import Costs, Monitoring
from include.modelops import bootstrap

if TYPE_CHECKING:
    import numpy as np


class Name(StrEnum):
    """What is looked at."""

    CALIBRATION = "calibration"
    COST = "cost"
    LABELS = "labels"


class State(StrEnum):
    """What is known of it. `UNKNOWN`: too little has matured to tell."""

    HEALTHY = "healthy"
    HARM = "harm"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class MaturedDay:
    """A day whose labels are final, as sums over its rows.

    `gaps` are probability less label (0 or 1) in each of ten bins of probability, `predicted` is the sum of
    probabilities, `cost` of what the decisions cost.
    """

    as_of: date
    rows: int
    positives: int
    predicted: float
    gaps: tuple[float, ...]
    cost: float


@dataclass(frozen=True)
class Signal:
    """A judgement about `days` matured days: `value`, its interval and what is allowed, where there is such a number.

    `since` is the day from which on it probably is so; only harm has one.
    """

    name: Name
    state: State
    days: int
    message: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    allowed: float | None = None
    since: date | None = None


def signals(days: Sequence[MaturedDay], costs: Costs, limits: Monitoring) -> tuple[Signal, Signal]:
    """Calibration and cost over `days`, the champion's last matured ones in order of time."""
    if len(days) < limits.min_days:
        told = f"{len(days)} matured days of this champion; it takes {limits.min_days} to tell"
        return (
            Signal(Name.CALIBRATION, State.UNKNOWN, len(days), told, allowed=limits.max_ece),
            Signal(Name.COST, State.UNKNOWN, len(days), told, allowed=limits.max_cost),
        )
    return _calibration(days, limits), _cost(days, costs, limits)


def _calibration(days: Sequence[MaturedDay], limits: Monitoring) -> Signal:
    """Expected calibration error over ten bins of equal width (Guo et al. 2017), of all days together."""
    import numpy as np

    rows, gaps = np.array([day.rows for day in days], float), np.array([day.gaps for day in days])
    weights = _weights(len(days), limits)
    drawn = np.abs(weights @ gaps).sum(axis=1) / (weights @ rows)
    value = float(np.abs(gaps.sum(axis=0)).sum() / rows.sum())
    low, high = bootstrap.interval(value, drawn, len(days), limits.confidence, (0.0, 1.0))
    predicted, seen = (sum(getattr(day, name) for day in days) / rows.sum() for name in ("predicted", "positives"))
    told = (
        f"calibration error {value:.3f} over {len(days)} matured days ({low:.3f} to {high:.3f}); {limits.max_ece:g} is"
        f" allowed. {predicted:.1%} were predicted, {seen:.1%} happened"
    )
    # The error of the mean alone, for it has a sign and so tells when it began.
    side = np.sign(gaps.sum()) or 1.0
    excess = side * gaps.sum(axis=1) - limits.max_ece * rows
    return _judged(Name.CALIBRATION, days, (value, low, high, limits.max_ece), told, excess)


def _cost(days: Sequence[MaturedDay], costs: Costs, limits: Monitoring) -> Signal:
    """Cost per row, as a share of what acting on every row or on none would have cost, whichever is less."""
    import numpy as np

    rows, positives, spent = (
        np.array([getattr(day, name) for day in days], float) for name in ("rows", "positives", "cost")
    )
    value = float(_share(spent.sum(), rows.sum(), positives.sum(), costs))
    if np.isnan(value):
        told = f"over {len(days)} matured days one decision for all rows would have cost nothing, so there is no share"
        return Signal(Name.COST, State.UNKNOWN, len(days), told, allowed=limits.max_cost)
    weights = _weights(len(days), limits)
    drawn = _share(weights @ spent, weights @ rows, weights @ positives, costs)
    largest = float(max(value, np.nanmax(drawn, initial=0.0)))
    low, high = bootstrap.interval(value, drawn, len(days), limits.confidence, (0.0, largest))
    told = (
        f"cost per row {spent.sum() / rows.sum():.3f} over {len(days)} matured days, {value:.2f} of what it costs"
        f" without a model ({low:.2f} to {high:.2f}); {limits.max_cost:g} is allowed"
    )
    act = costs.false_alarm * (rows - positives).sum() < costs.missed * positives.sum()
    alike = costs.false_alarm * (rows - positives) if act else costs.missed * positives
    return _judged(Name.COST, days, (value, low, high, limits.max_cost), told, spent - limits.max_cost * alike)


def _share(spent: "np.ndarray", rows: "np.ndarray", positives: "np.ndarray", costs: Costs) -> "np.ndarray":
    """`spent` over the cost without a model; where that costs nothing, 0 for nothing spent and else no number."""
    import numpy as np

    alike = np.minimum(costs.false_alarm * (rows - positives), costs.missed * positives)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(alike > 0, spent / alike, np.where(spent > 0, np.nan, 0.0))


def _weights(days: int, limits: Monitoring) -> "np.ndarray":
    return bootstrap.draw_days(days, limits.bootstraps)


def _judged(
    name: Name,
    days: Sequence[MaturedDay],
    numbers: tuple[float, float, float, float],
    told: str,
    excess: "np.ndarray",
) -> Signal:
    value, low, high, allowed = numbers
    harm = low > allowed
    since = days[began(excess.tolist())].as_of if harm else None
    return Signal(name, State.HARM if harm else State.HEALTHY, len(days), told, value, low, high, allowed, since)


def began(excess: Sequence[float]) -> int:
    """The place from which on the sum of `excess` to the end is largest: where a shift that lasts most likely began.

    That is the estimate that goes with cumulated sums (Page 1954, Continuous inspection schemes).
    """
    best, place, total = float("-inf"), len(excess) - 1, 0.0
    for index in range(len(excess) - 1, -1, -1):
        total += excess[index]
        if total > best:
            best, place = total, index
    return place
