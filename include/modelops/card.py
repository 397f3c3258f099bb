"""The model card of a version, in Markdown and HTML beside the model, and as its description in the registry.

It is written when the version is registered and again after every decision about it.
"""

import logging
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Domain
from include.modelops import figures
from include.modelops.card_facts import Facts, gather
from include.modelops.card_page import html
from include.modelops.card_text import CALIBRATION, FILE, LONGEST_DESCRIPTION, PAGE_FILE, Decided, render, shortened
from include.modelops.card_text import title as title_of

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

__all__ = [
    "FACTS_FILE",
    "FILE",
    "PAGE_FILE",
    "Decided",
    "Facts",
    "described",
    "gather",
    "html",
    "publish",
    "render",
    "shortened",
]

# What the card is made of, kept with the logged model's run.
FACTS_FILE = "model_card.json"
_log = logging.getLogger(__name__)


def publish(domain: Domain, version: int) -> None:
    """Write the card of a version anew, with what is decided about it by now. Repeating it changes nothing.

    The version's run gets the files, the registry the description. One at a time, and the last one reads the last
    decision. A version of a release that kept no facts keeps the card that it has.
    """
    import mlflow

    client = mlflow.MlflowClient()
    registered = client.get_model_version(domain.name, str(version))
    run = str(registered.run_id)
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "card", version)
        facts = _facts(run)
        if facts is None:
            _log.warning("Version %s of %s has no %s, so its card stays as it is.", version, domain.name, FACTS_FILE)
            return
        text = render(facts, decisions_about(cursor, version))
        client.log_text(run, text, FILE)
        page = html(text, {CALIBRATION: figures.calibration_svg(facts.chosen.get("curve", ()))})
        client.log_text(run, page, PAGE_FILE)
        client.update_model_version(domain.name, str(version), described(facts, text, registered.description or ""))


def described(facts: Facts, text: str, before: str) -> str:
    """The description of a version: what a person wrote above the card's title stays, the rest is the card anew.

    The card is cut to what there is room for. A person's text that leaves no room for it is left alone.
    """
    theirs, _, _ = before.partition(title_of(facts))
    kept = f"{theirs.rstrip()}\n\n" if theirs.strip() else ""
    room = LONGEST_DESCRIPTION - len(kept)
    return before if room < 500 else kept + shortened(text, room)


def decisions_about(cursor: "Cursor", version: int) -> list[Decided]:
    """What was decided about a version, and the rollbacks in which it had to go; the first one first."""
    cursor.execute(warehouse.statement("modelops/decisions_about"), {"version": version})
    return [Decided(as_of, _told(version, outcome, came, went), *rest) for as_of, outcome, *rest, came, went in cursor]


def _told(version: int, outcome: str, came: int, went: int | None) -> str:
    """The outcome as the version sees it."""
    if outcome != "rolled_back":
        return outcome
    return f"put back in place of version {went}" if version == came else f"rolled back to version {came}"


def _facts(run_id: str) -> Facts | None:
    import mlflow

    if not any(file.path == FACTS_FILE for file in mlflow.MlflowClient().list_artifacts(run_id)):
        return None
    return Facts.from_json(mlflow.artifacts.load_text(f"runs:/{run_id}/{FACTS_FILE}"))
