"""What came of a replay, in numbers: how well it ranked, how far it was off, what it cost, and how often it asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from include.modelops import evaluation, gate, retraining
from include.modelops.backtest import Backtest, Replay

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Result:
    """A policy in numbers: means over the months, cost per row, how often it trained, asked a person, changed the model
    and alerted.

    `harm_since` to `harm_until` is the worst stretch of the year by calibration, looking back, None when none was worse
    than allowed; `days_to_detection` are those from its first day to the first alert about harm or drift in it, None
    when there was none.
    """

    policy: str
    roc_auc: float
    ece: float
    cost: float
    trainings: int
    questions: int
    promotions: int
    alerts: int
    harm_since: date | None
    harm_until: date | None
    days_to_detection: int | None


def result(backtest: Backtest, replay: Replay) -> Result:
    """What came of a replay, over all of its days whose labels came."""
    import numpy as np

    Served = tuple[np.ndarray, np.ndarray]
    served: list[Served] = []
    by_month: dict[tuple[int, int], list[Served]] = {}
    for day, version in replay.champions.items():
        found = backtest.rows.known((day, day), date.max)
        served.append((found, version.probabilities[found]))
        by_month.setdefault((day.year, day.month), []).append(served[-1])
    months = [_measures(backtest, parts) for parts in by_month.values()]
    stretch = worst_stretch(list(_excess(backtest, replay)), backtest.domain.monitoring.min_days)
    days = list(replay.champions)
    since, until = (days[stretch[0]], days[stretch[1]]) if stretch else (None, None)
    heard = [
        (day - since).days
        for day, alert in replay.alerts
        if since
        and until
        and since <= day <= until + timedelta(days=backtest.domain.label_days)
        and alert.kind in (retraining.HARM, retraining.DRIFT)
    ]
    return Result(
        replay.policy.name,
        float(np.mean([month["roc_auc"] for month in months])),
        float(np.mean([month["ece"] for month in months])),
        _measures(backtest, served)["cost"],
        len(replay.trainings),
        sum(route == gate.Route.ASK for route in replay.trainings.values()),
        sum(route != gate.Route.REJECT for route in replay.trainings.values()),
        len(replay.alerts),
        since,
        until,
        min(heard, default=None),
    )


def trailing(backtest: Backtest, replay: Replay) -> Iterator[tuple[date, float, float]]:
    """Of each day from the first full window on: calibration error and cost per row over the window that it ends."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for day, version in replay.champions.items():
        found = backtest.rows.known((day, day), date.max)
        parts.append((found, version.probabilities[found]))
        if len(parts) >= backtest.domain.monitoring.window and len(found):
            measures = _measures(backtest, parts[-backtest.domain.monitoring.window :])
            yield day, measures["ece"], measures["cost"]


def _measures(backtest: Backtest, parts: Sequence[tuple["np.ndarray", "np.ndarray"]]) -> dict[str, float]:
    import numpy as np

    found, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
    return evaluation.measures(backtest.rows.labels[found], probabilities, backtest.domain.costs)


def _excess(backtest: Backtest, replay: Replay) -> Iterator[float]:
    """By how many rows each day's predictions were further off than is allowed, in the mean."""
    allowed = backtest.domain.monitoring.max_ece
    for day, version in replay.champions.items():
        found = backtest.rows.known((day, day), date.max)
        gap = float((backtest.rows.labels[found] - version.probabilities[found]).sum())
        yield gap - allowed * len(found)


def worst_stretch(excess: Sequence[float], least: int) -> tuple[int, int] | None:
    """First and last place of the stretch with the largest sum (Kadane's rule); None when it is shorter than `least` or
    sums up to nothing.
    """
    best, found, start, total = 0.0, None, 0, 0.0
    for place, value in enumerate(excess):
        if total <= 0:
            start, total = place, 0.0
        total += value
        if total > best:
            best, found = total, (start, place)
    return found if found and found[1] - found[0] + 1 >= least else None
