"""Judge what monitoring saw: what is only shown, what people are told, whether to train. No Airflow, no database.

Drift of single features is shown and starts nothing, unless a domain asks for that. An alert or a training needs harm
or labels that do not come; a training is also asked for by the calendar, and while there is no champion.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from include.core.domain import Costs, Monitoring, Retraining, Windows
from include.modelops import harm
from include.modelops.harm import MaturedDay, Name, Signal, State

# Kinds of alerts that are of monitoring, and share its budget.
HARM, OUTAGE, DRIFT = "harm", "label_outage", "drift"
KINDS = (HARM, OUTAGE, DRIFT)


@dataclass(frozen=True)
class Coverage:
    """The newest scored day whose labels should be complete by now: the share that came, and the share that it takes.

    `late_since` is the first of the days up to it, one after the other, of which too few have come; None if it has
    enough.
    """

    as_of: date
    share: float
    needed: float
    late_since: date | None


@dataclass(frozen=True)
class Told:
    """An alert of monitoring on an earlier day."""

    as_of: date
    kind: str
    subject: str


@dataclass(frozen=True)
class Seen:
    """What monitoring knows on a day.

    `days` are the champion's matured days, in order, those of its window. `drift` is the population stability index of
    every feature. `told` are the alerts of earlier days. `days_since_request` is None when no training was ever asked
    for; `matured_days` counts all days with features and labels.
    """

    as_of: date
    champion: int | None
    days: Sequence[MaturedDay]
    coverage: Coverage | None
    drift: Mapping[str, float]
    told: Sequence[Told]
    days_since_request: int | None
    matured_days: int


@dataclass(frozen=True)
class Answer:
    """Whether to retrain, and why or why not."""

    retrain: bool
    reason: str


@dataclass(frozen=True)
class Alert:
    """What people are told: what was seen, since when, how sure, what to do. Beyond the budget it is not sent."""

    kind: str
    subject: str
    message: str
    since: date | None
    certainty: str
    next_step: str
    within_budget: bool


@dataclass(frozen=True)
class Judgement:
    """The signals of a day, the alerts that it raises, and the answer about a training."""

    signals: tuple[Signal, ...]
    alerts: tuple[Alert, ...]
    answer: Answer


def judge(seen: Seen, costs: Costs, limits: Monitoring, policy: Retraining, windows: Windows) -> Judgement:
    """Everything that follows from what was seen."""
    found = (*harm.signals(seen.days, costs, limits), _labels(seen)) if seen.champion is not None else ()
    answer = decide(seen, found, policy, windows)
    return Judgement(found, tuple(_within_budget(_due(seen, found, answer, limits, policy), seen, limits)), answer)


def decide(seen: Seen, found: Iterable[Signal], policy: Retraining, windows: Windows) -> Answer:
    """Whether a training is due and possible."""
    if seen.matured_days < windows.days:
        return Answer(False, f"{seen.matured_days} matured days; a training takes {windows.days}")
    if seen.champion is None:
        return _decide_without_champion(seen.days_since_request, policy)
    if policy.cadence is not None and seen.days_since_request is None:
        return Answer(True, "no training was asked for yet")
    ago = f"{seen.days_since_request} days since the last training was asked for"
    since = sys.maxsize if seen.days_since_request is None else seen.days_since_request
    if policy.cadence is not None and since >= policy.cadence:
        return Answer(True, f"the cadence is due: {ago}")
    if reasons := "; ".join(_reasons(seen, found, policy)):
        paused = since < policy.pause
        return Answer(not paused, f"{reasons}, but only {ago}; {policy.pause} must pass" if paused else reasons)
    return Answer(
        False,
        "nothing asks for one"
        if policy.cadence is None
        else f"{since} of {policy.cadence} days since the last training was asked for",
    )


def _decide_without_champion(since: int | None, policy: Retraining) -> Answer:
    if since is None:
        return Answer(True, "no training was asked for yet")
    ago = f"{since} days since the last training was asked for"
    if since < policy.without_champion:
        return Answer(False, f"there is no champion, and {ago}; {policy.without_champion} must pass")
    return Answer(True, f"there is still no champion: {ago}")


def _reasons(seen: Seen, found: Iterable[Signal], policy: Retraining) -> Iterator[str]:
    """Why a champion should be replaced before its time."""
    if policy.on_harm:
        for signal in found:
            if signal.name is not Name.LABELS and signal.state is State.HARM:
                yield f"harm by {signal.name}"
    if drifted := _drifted(seen, policy):
        yield f"drift of {len(drifted)} features"


def _drifted(seen: Seen, policy: Retraining) -> list[str]:
    """The features with more drift than the policy asks for, the most drifted first."""
    if policy.on_drift is None:
        return []
    return sorted((name for name, psi in seen.drift.items() if psi > policy.on_drift), key=lambda n: -seen.drift[n])


def _labels(seen: Seen) -> Signal:
    """Whether labels arrive. Without them nothing is known of the champion, which is not the same as no harm."""
    known = seen.coverage
    if known is None:
        return Signal(Name.LABELS, State.UNKNOWN, 0, "no scored day is old enough for its labels to be complete")
    state = State.HEALTHY if known.late_since is None else State.HARM
    told = f"{known.share:.1%} of the labels of {known.as_of} have come; it takes {known.needed:.0%}"
    return Signal(Name.LABELS, state, 1, told, known.share, allowed=known.needed, since=known.late_since)


def _due(
    seen: Seen, found: Iterable[Signal], answer: Answer, limits: Monitoring, policy: Retraining
) -> Iterator[Alert]:
    """The alerts of the day, those that were told lately left out."""
    lately = {(told.kind, told.subject) for told in seen.told if (seen.as_of - told.as_of).days < limits.remind_after}
    for signal in found:
        kind = OUTAGE if signal.name is Name.LABELS else HARM
        if signal.state is State.HARM and (kind, signal.name) not in lately:
            yield _outage(signal) if kind == OUTAGE else _harm(signal, answer, limits)
    drifted = _drifted(seen, policy)
    if drifted and (DRIFT, "features") not in lately:
        worst = ", ".join(f"{name} {seen.drift[name]:.2f}" for name in drifted[:5])
        message = f"the population stability index of {len(drifted)} features is above {policy.on_drift:g}: {worst}"
        step = "Look at the features on the Model board: did the world change, or a source?"
        yield Alert(DRIFT, "features", message, seen.as_of, "one day's rows", step, within_budget=True)


def _harm(signal: Signal, answer: Answer, limits: Monitoring) -> Alert:
    asked = (
        f"A training is asked for ({answer.reason})" if answer.retrain else f"No training is asked for: {answer.reason}"
    )
    return Alert(
        HARM,
        signal.name,
        signal.message,
        signal.since,
        f"{limits.confidence:.0%} interval over {signal.days} whole days, {signal.low:.3f} to {signal.high:.3f}, all of"
        f" it above {signal.allowed:g}",
        f"{asked}. Look at the report with the model in MLflow and at the Model board. If the version is worse than the"
        " one before it, roll it back: trigger rollback_model.",
        within_budget=True,
    )


def _outage(signal: Signal) -> Alert:
    return Alert(
        OUTAGE,
        signal.name,
        f"{signal.message}. Until they come no figure of those days is final, and harm would not be seen",
        signal.since,
        "counted",
        "Ask whoever delivers the outcomes. When a later drop brings them, the figures follow by themselves.",
        within_budget=True,
    )


def _within_budget(alerts: Iterable[Alert], seen: Seen, limits: Monitoring) -> Iterator[Alert]:
    """The same alerts, marked when the month has had its number."""
    month = (seen.as_of.year, seen.as_of.month)
    told = sum((earlier.as_of.year, earlier.as_of.month) == month for earlier in seen.told)
    for number, alert in enumerate(alerts, start=told + 1):
        yield replace(alert, within_budget=number <= limits.alerts_per_month)
