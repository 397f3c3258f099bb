"""Decide whether to ask for a training. No Airflow, no database: what is known in, answer out."""

from dataclasses import dataclass

from include.core.domain import Retraining, Windows


@dataclass(frozen=True)
class Answer:
    """Whether to retrain, and why or why not."""

    retrain: bool
    reason: str


def decide(
    *, has_champion: bool, days_since_request: int | None, matured_days: int, windows: Windows, policy: Retraining
) -> Answer:
    """Ask when the cadence is due, or when there is no champion and enough matured days to fit one.

    days_since_request is None when no training was ever asked for; matured_days counts days with features and labels.
    """
    needed = windows.days
    if matured_days < needed:
        return Answer(False, f"{matured_days} matured days; a training takes {needed}")
    wait = policy.cadence if has_champion else policy.without_champion
    if days_since_request is None:
        return Answer(True, "no training was asked for yet")
    if days_since_request >= wait:
        why = "the cadence is due" if has_champion else "there is still no champion"
        return Answer(True, f"{why}: {days_since_request} days since the last training was asked for")
    return Answer(False, f"{days_since_request} of {wait} days since the last training was asked for")
