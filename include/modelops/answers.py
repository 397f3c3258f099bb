"""What a person answered to a human-in-the-loop task, from its XCom. Airflow's API checks little of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOBODY = "nobody, the deadline passed"
LONGEST = 2000


@dataclass(frozen=True)
class Answer:
    """The option that was chosen (None unless it is exactly one), who chose it, and why."""

    chosen: str | None
    by: str
    why: str


def read(xcom: Any) -> Answer:
    """The answer that an XCom holds. What is odd about it is no error: then nothing is chosen, or no reason given.

    An answer without a person is that of the deadline.
    """
    told = xcom if isinstance(xcom, Mapping) else {}
    options, entered, user = (told.get(key) for key in ("chosen_options", "params_input", "responded_by_user"))
    chosen = options[0] if isinstance(options, list) and len(options) == 1 and isinstance(options[0], str) else None
    why = entered.get("reason") if isinstance(entered, Mapping) else None
    return Answer(chosen, _name(user), as_text(why))


def as_text(entered: Any) -> str:
    """What somebody entered as text that a table can hold: at most `LONGEST` characters, none of them a control."""
    if entered is None:
        return ""
    text = entered if isinstance(entered, str) else json.dumps(entered, default=str)
    kept = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t").strip()
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "…"


def _name(user: Any) -> str:
    if not user:
        return NOBODY
    known = user if isinstance(user, Mapping) else {"name": user}
    return as_text(known.get("name") or known.get("id")) or "somebody without a name"
