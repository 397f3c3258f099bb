"""Score the challenger and the champion on the gate window, let the gate choose, and tell a person what it saw."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Domain
from include.core.ledger import NotReadyError
from include.dataops import feature_store
from include.modelops import champion, evaluation, gate, registry, snapshot
from include.modelops.evaluation import NAMES
from include.modelops.registry import ModelVersion
from include.modelops.scorecard import Contender, Rows

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor


def compare(domain: Domain, as_of: date) -> dict[str, Any]:
    """Score the challenger of `as_of` and the champion on the gate window and choose a route.

    Returns {"route", "reasons", "challenger", "champion", "comparison"}, all JSON: the versions' numbers, and what
    `scorecard.measure` returns. A champion that cannot be loaded or scored any more is one that nothing can be
    compared with; a challenger like that is an error.
    """
    window = snapshot.cut(domain, as_of).gate
    keys, features = feature_store.training_set(domain, *window, known_at=as_of).frames()
    with warehouse.transaction() as cursor:
        mine = registry.challenger_of(cursor, as_of)
        theirs = _to_replace(cursor, mine)
    rows = Rows(
        keys["as_of"].to_numpy(), keys["label"].to_numpy(bool), evaluation.slice_groups(domain.slices, features)
    )
    decision = gate.choose_route(
        rows,
        _score(domain, mine, features),
        _score_champion(domain, theirs, features) if theirs else None,
        as_of=as_of,
        gate=domain.gate,
        costs=domain.costs,
    )
    return {
        "route": decision.route.value,
        "reasons": list(decision.reasons),
        "challenger": mine.version,
        "champion": theirs.version if theirs else None,
        "comparison": decision.comparison,
    }


def told(compared: Mapping[str, Any]) -> str:
    """What `compare` returned, in Markdown for the one who is asked: the reasons, the measures, and the slices."""
    found = compared["comparison"]
    metrics, theirs = found["metrics"], compared["champion"]
    who = f"the champion is version {theirs}" if theirs is not None else "there is no champion"
    parts = [
        f"Version {compared['challenger']} is the challenger, {who}. Measured on {found['rows']:,} rows of"
        f" {found['days']} days, {found['first']} to {found['last']}; in brackets what other days might have shown.",
        "\n".join(f"- {_one_line(reason)}" for reason in compared["reasons"]),
    ]
    if metrics["challenger"]:
        lines = [
            (
                NAMES[name],
                _number(value, spread=True),
                _number((metrics["champion"] or {}).get(name)),
                _number((metrics["difference"] or {}).get(name), spread=True, signed=True),
            )
            for name, value in metrics["challenger"].items()
        ]
        parts.append(_table(("measure", "challenger", "champion", "difference"), lines))
    if found["slices"]:
        costs_of = [
            (
                f"{part['slice']} {part['group']}",
                f"{part['rows']:,}",
                f"{part['challenger']:.3f}",
                "" if part["champion"] is None else f"{part['champion']:.3f}",
                "" if part["champion"] is None else _number(_difference(part), spread=True, signed=True),
            )
            for part in found["slices"]
        ]
        parts.append(_table(("cost per row of", "rows", "challenger", "champion", "difference"), costs_of))
    return "\n\n".join(parts)


def _to_replace(cursor: "Cursor", mine: ModelVersion) -> ModelVersion | None:
    """The champion that a promotion would replace: the last that was decided on, even if it only takes effect later.

    A promotion of the challenger itself is passed over, so that a repeated comparison is the same comparison.
    """
    others = [change.version for change in champion.changes(cursor) if change.version != mine.version]
    return registry.read_version(cursor, others[-1]) if others else None


def _score(domain: Domain, version: ModelVersion, features: "pd.DataFrame") -> Contender:
    model = registry.load(domain, version)
    return Contender(version.version, version.fitted_through, model.predict_proba(features)[:, 1])


def _score_champion(domain: Domain, version: ModelVersion, features: "pd.DataFrame") -> Contender:
    """The champion, or the champion with its trouble. When MLflow itself is away, that is raised and tried again."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return _score(domain, version, features)
    except (MlflowException, NotReadyError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        mlflow.MlflowClient().get_registered_model(domain.name)
        trouble = f"it cannot be scored any more ({type(error).__name__}: {_one_line(str(error))[:300]})"
        return Contender(version.version, version.fitted_through, None, trouble)


def _difference(part: Mapping[str, Any]) -> dict[str, float]:
    return {"value": part["challenger"] - part["champion"], "low": part["low"], "high": part["high"]}


def _number(measured: Mapping[str, float] | None, *, spread: bool = False, signed: bool = False) -> str:
    """A measure to three digits, with its interval if asked for; nothing for None."""
    if measured is None:
        return ""
    form = "+.3f" if signed else ".3f"
    between = f" ({measured['low']:{form}} to {measured['high']:{form}})" if spread else ""
    return f"{measured['value']:{form}}{between}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table: words to the left, numbers to the right."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(
        "| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in (head, ruler, *lines)
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
