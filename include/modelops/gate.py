"""Decide what happens to a challenger. No Airflow, no database: numbers in, route out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from include.core.domain import Gate

SEED = 20130101


class Route(StrEnum):
    """Where a challenger can go. Each value is also a task id in deploy_model."""

    PROMOTE = "promote"
    ASK = "ask_a_person"
    REJECT = "reject"


@dataclass(frozen=True)
class Scorecard:
    """What one model did on the rows of the gate window: measures over all rows, and the cost of each day.

    `day_costs` are sums over the rows of a day, `day_rows` their numbers, both in the order of the days.
    """

    roc_auc: float
    ece: float
    day_costs: Sequence[float]
    day_rows: Sequence[int]

    @property
    def cost(self) -> float:
        """The mean cost of a row."""
        return sum(self.day_costs) / sum(self.day_rows)


@dataclass(frozen=True)
class Decision:
    """A route and its reasons in words."""

    route: Route
    reasons: tuple[str, ...]


def choose_route(challenger: Scorecard, champion: Scorecard | None, gate: Gate) -> Decision:
    """Promote a clear winner, ask about a near tie, reject the rest.

    With no champion yet the absolute floors are enough: there is nothing to regress from.
    """
    broken = _broken_floors(challenger, gate)
    if broken:
        return Decision(Route.REJECT, tuple(broken))
    if champion is None:
        return Decision(Route.PROMOTE, ("it reaches every floor, and there is no champion to compare with",))
    if list(challenger.day_rows) != list(champion.day_rows):
        return Decision(Route.REJECT, ("the two models were not measured on the same rows",))
    low, high = bootstrap_difference(challenger, champion, gate)
    told = (
        f"cost per row {challenger.cost:.4f} against {champion.cost:.4f} of the champion;"
        f" the difference lies between {low:+.4f} and {high:+.4f} ({gate.confidence:.0%} of day bootstraps)"
    )
    if high < 0:
        return Decision(Route.PROMOTE, (f"it is cheaper beyond doubt: {told}",))
    if challenger.cost < champion.cost:
        return Decision(Route.ASK, (f"it is cheaper, but that may be chance: {told}",))
    return Decision(Route.REJECT, (f"it is not cheaper: {told}",))


def bootstrap_difference(challenger: Scorecard, champion: Scorecard, gate: Gate) -> tuple[float, float]:
    """The interval of (challenger - champion) cost per row, resampling whole days (Efron & Tibshirani 1993, ch. 13).

    Days are drawn, not rows: the rows of one day share what befell that day, so they are not independent.
    """
    import numpy as np

    differences = np.asarray(challenger.day_costs, float) - np.asarray(champion.day_costs, float)
    rows = np.asarray(challenger.day_rows, float)
    drawn = np.random.default_rng(SEED).integers(0, len(rows), size=(gate.bootstraps, len(rows)))
    means = differences[drawn].sum(axis=1) / rows[drawn].sum(axis=1)
    tail = (1 - gate.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _broken_floors(card: Scorecard, gate: Gate) -> list[str]:
    """Every absolute floor that the challenger misses. Written so that a NaN breaks it too."""
    broken = []
    if not sum(card.day_rows) >= gate.min_rows:
        broken.append(f"{sum(card.day_rows)} labelled rows in the gate window; it takes {gate.min_rows}")
    if not len(card.day_rows) >= gate.min_days:
        broken.append(f"{len(card.day_rows)} days in the gate window; it takes {gate.min_days}")
    if not card.roc_auc >= gate.min_roc_auc:
        broken.append(f"ROC-AUC {card.roc_auc:.3f}; it takes {gate.min_roc_auc}")
    if not card.ece <= gate.max_ece:
        broken.append(f"expected calibration error {card.ece:.3f}; at most {gate.max_ece} is allowed")
    return broken
