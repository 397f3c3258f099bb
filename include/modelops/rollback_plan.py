"""Plan a rollback: which version comes back, from which day on, what that changes, and whether it can be done.

Everything that can be refused is refused here, before anything is changed and before a person is asked.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Domain
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import feature_store
from include.dataops.feature_registry import intervals
from include.modelops import answers, champion, registry
from include.modelops.champion import Change

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

SHORTEST_REASON = 5


def plan(domain: Domain, version: int | None, since: str | None, reason: str) -> dict[str, Any]:
    """What a rollback would do, for `roll_back` and, as Markdown under "told", for the person who confirms it.

    `version` None is the last champion before the present one that was not itself rolled back; `since` None the day
    from which the present one counts. Changes nothing. A DomainError says why it cannot be done: also a version that
    cannot be loaded, or cannot score the days that there are. NotReadyError when features of those days are missing.
    """
    why = answers.as_text(reason)
    if len(why) < SHORTEST_REASON:
        raise DomainError(f"Say why, in at least {SHORTEST_REASON} characters: the reason stays in ml.decisions.")
    with warehouse.transaction() as cursor:
        known = champion.changes(cursor)
        target = _target(known, version)
        trained_as_of, features = _origin(cursor, target)
        first = _first_day(since, known, target, trained_as_of, champion.today(cursor, known))
        days = champion.scored_since(cursor, first)
        for start, end in intervals(days):
            feature_store.require_fresh(cursor, domain, feature_store.bounds(domain, start, end, None), labels=False)
        cursor.execute(warehouse.statement("modelops/current_predictions"), {"since": first})
        predictions = dict(cursor.fetchall())
        to_load = registry.read_version(cursor, target)
    _try_out(domain, to_load, days[-1:])
    planned = {
        "version": target,
        "champion": known[-1].version,
        "changes": len(known),
        "since": str(first),
        "reason": why,
        "days": len(days),
        "predictions": {str(of): rows for of, rows in predictions.items() if of != target},
    }
    said = _told(planned, days, _changed_views(domain, features))
    return planned | {"reasons": said, "told": "\n\n".join((*said, f"Reason: {' '.join(why.split())}"))}


def _target(known: Sequence[Change], version: int | None) -> int:
    """The version to put back; a DomainError says why there is none, or why it cannot be this one."""
    if not known:
        raise DomainError("There is no champion yet, so there is nothing to go back to.")
    present, were = known[-1].version, sorted({change.version for change in known})
    if version is None and (target := champion.before(known)) is not None:
        return target
    if len(were) == 1 and version in (None, present):
        raise DomainError(f"Version {present} is the only champion there has been: there is nothing to go back to.")
    others = ", ".join(str(number) for number in were if number != present)
    if version is None:
        raise DomainError(f"Every champion before version {present} was rolled back itself. Name one: {others}.")
    if version == present:
        raise DomainError(f"Version {version} is the champion already. Others that were: {others}.")
    if version not in were:
        raise DomainError(f"Version {version} was never champion, so it cannot be put back. Those that were: {others}.")
    return version


def _first_day(since: str | None, known: Sequence[Change], target: int, trained: date, today: date | None) -> date:
    """The day from which the version counts again; a DomainError names the days there are to choose from."""
    earliest = max(min(change.effective_from for change in known), trained + timedelta(days=1))
    latest = (today or earliest) + timedelta(days=1)
    if since is None:
        return max(known[-1].effective_from, earliest)
    try:
        day = date.fromisoformat(since)
    except (TypeError, ValueError):
        raise DomainError(f"since is {since!r}, which is not a day. Write it as YYYY-MM-DD.") from None
    if not earliest <= day <= latest:
        raise DomainError(
            f"Version {target} cannot count from {day} on. Choose a day from {earliest} (before it there was no"
            f" champion, or the version was not trained) to {latest} (the first day that is not scored)."
        )
    return day


def _origin(cursor: "Cursor", version: int) -> tuple[date, dict[str, str]]:
    cursor.execute(warehouse.statement("modelops/model_origin"), {"version": version})
    row = cursor.fetchone()
    if row is None:
        raise NotReadyError(f"Version {version} is not in ml.models. Run train_model for its day again.")
    return row[0], row[1]


def _try_out(domain: Domain, version: registry.ModelVersion, days: Sequence[date]) -> None:
    """Load the version and score a day with it, before anything is changed for it."""
    try:
        model = registry.load(domain, version)
        have = {feature.name for feature in domain.features}
        lost = [name for name in getattr(model, "feature_names_in_", ()) if name not in have]
        if lost:
            raise KeyError(f"the feature store no longer has {', '.join(lost)}")
        for day in days:
            model.predict_proba(feature_store.training_set(domain, day, day, labels=False).frames()[1])
    except Exception as error:  # whatever is wrong with a file, or with a model in these libraries
        import mlflow

        mlflow.MlflowClient().get_registered_model(domain.name)  # when MLflow is away, this says so and is tried again
        reason = " ".join(str(error.args[0] if error.args else error).split())[:500]
        raise DomainError(
            f"Version {version.version} cannot be put back, for it cannot score any more"
            f" ({type(error).__name__}: {reason}). Name another version."
        ) from error


def _changed_views(domain: Domain, features: Mapping[str, str]) -> list[str]:
    now = domain.feature_versions()
    return sorted(view for view in now.keys() | features.keys() if now.get(view) != features.get(view))


def _told(planned: Mapping[str, Any], days: Sequence[date], changed: Sequence[str]) -> list[str]:
    """The plan in sentences."""
    lines = [
        f"Version {planned['version']} becomes champion again from {planned['since']} on, in place of version"
        f" {planned['champion']}.",
    ]
    if days:
        gone = [f"{rows:,} predictions of version {of}" for of, rows in planned["predictions"].items()]
        lines.append(
            f"{len(days)} scored days, {days[0]} to {days[-1]}, are scored again."
            f" Superseded, and kept: {', '.join(gone) or 'nothing'}."
        )
    else:
        lines.append("No day since then is scored, so no prediction changes.")
    if changed:
        lines.append(
            f"Careful: it was fitted on another version than today's of {', '.join(changed)}. It scores, but what it"
            " learnt may not hold."
        )
    else:
        lines.append("Its features are of the versions that it was fitted on.")
    return lines
