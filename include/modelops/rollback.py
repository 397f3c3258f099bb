"""Put a former champion back, once a person has confirmed the plan, and score its days again.

Nothing is deleted. The rollback is a decision like a promotion, but it counts for days that are past.
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.alerts import raise_alert
from include.core.domain import Domain
from include.core.errors import DomainError
from include.dataops.feature_registry import intervals
from include.modelops import answers, card, champion, registry, scoring
from include.modelops.champion import ROLLED_BACK

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

ROUTE = "roll_back"
YES, NO = "Approve", "Reject"


def is_confirmed(answer: Any) -> bool:
    """Whether a person said yes, from the XCom of the question."""
    return answers.read(answer).chosen == YES


def roll_back(domain: Domain, planned: Mapping[str, Any], answer: Any, run_id: str) -> dict[str, Any]:
    """Write the rollback and mark what other versions predicted since then superseded, all at once; then let the
    aliases and the model cards follow. Repeating it within its run changes nothing more.

    A DomainError says that the champion has changed since it was planned. Returns what its event says.
    """
    if not is_confirmed(answer):
        raise DomainError("Nobody has confirmed this rollback, and nothing was changed.")
    with warehouse.transaction() as cursor:
        champion.lock(cursor)
        done = _done(cursor, run_id)
        if done is None:
            _write(cursor, planned, answers.read(answer).by, run_id)
            done = _done(cursor, run_id)
    if done is None:
        raise RuntimeError(f"The rollback of {run_id} was not kept.")
    raise_alert(
        date.fromisoformat(done["as_of"]),
        ROLLED_BACK,
        f"version {done['previous']}, {run_id}",
        f"Version {done['version']} is champion again from {done['effective_from']} on, in place of version"
        f" {done['previous']}, confirmed by {done['decided_by']}: {planned['reason']}",
    )
    champion.follow(domain)
    for version in (done["version"], done["previous"]):
        card.publish(domain, version)
    return done


def score_again(domain: Domain, done: Mapping[str, Any], run_id: str) -> dict[str, int]:
    """Score the days that were scored before and are the restored version's now; returns {"days", "rows"}.

    Days that a later decision has given to another version are left to that.
    """
    with warehouse.transaction() as cursor:
        known = champion.changes(cursor)
        days = [
            day
            for day in champion.scored_since(cursor, date.fromisoformat(done["effective_from"]))
            if (change := champion.counting(known, day)) and change.version == done["version"]
        ]
        version = registry.read_version(cursor, done["version"])
    scored = {
        day: rows
        for start, end in intervals(days)
        for day, rows in scoring.score_days(domain, start, end, version, run_id).items()
    }
    return {"days": len(scored), "rows": sum(scored.values())}


def _write(cursor: "Cursor", planned: Mapping[str, Any], confirmed_by: str, run_id: str) -> None:
    known = champion.changes(cursor)
    if (len(known), known[-1].version if known else None) != (planned["changes"], planned["champion"]):
        raise DomainError("The champion has changed since this rollback was planned. Trigger rollback_model again.")
    today, since = champion.today(cursor, known), date.fromisoformat(planned["since"])
    champion.record(
        cursor,
        champion.Decision(
            as_of=today or since,
            challenger=planned["version"],
            champion=planned["champion"],
            route=ROUTE,
            outcome=ROLLED_BACK,
            decided_by=confirmed_by,
            reasons=planned["reasons"],
            metrics={name: planned[name] for name in ("days", "predictions")},
            effective_from=since,
            comment=planned["reason"],
            run_id=run_id,
        ),
    )
    cursor.execute(warehouse.statement("modelops/supersede_others"), {"since": since, "version": planned["version"]})


def _done(cursor: "Cursor", run_id: str) -> dict[str, Any] | None:
    """The rollback that the run has made, as its event tells it."""
    cursor.execute(warehouse.statement("modelops/rollback_of_run"), {"run_id": run_id})
    row = cursor.fetchone()
    if row is None:
        return None
    as_of, version, previous, effective_from, decided_by = row
    return {
        "as_of": str(as_of),
        "version": version,
        "previous": previous,
        "effective_from": str(effective_from),
        "decided_by": decided_by,
    }
