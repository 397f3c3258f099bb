"""Score one as-of day with the champion that was effective on it, today or in a replay years later."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from include.core import ledger, warehouse
from include.core.domain import Domain
from include.core.ledger import Stage
from include.dataops import feature_store
from include.modelops import registry


def score_day(domain: Domain, as_of: date, run_id: str) -> dict[str, Any]:
    """Replace the champion's predictions of `as_of`; those of any other version are marked superseded.

    Returns {"rows", "model_version"}. While there is no champion nothing is scored, and the ledger says so.
    """
    with warehouse.transaction() as cursor:
        champion = registry.champion_on(cursor, as_of)
        if champion is None:
            outcome: dict[str, Any] = {"rows": 0, "model_version": None}
            ledger.record(cursor, as_of, Stage.SCORED, run_id, state="no_champion", detail=outcome)
            return outcome
    keys, features = feature_store.training_set(domain, as_of, as_of, labels=False).frames()
    probabilities = registry.load(domain, champion).predict_proba(features)[:, 1] if len(features) else []
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "predictions", as_of)
        _replace(cursor, as_of, champion, zip(keys["entity_id"], map(float, probabilities), strict=True))
        outcome = {"rows": len(keys), "model_version": champion.version}
        ledger.record(cursor, as_of, Stage.SCORED, run_id, detail=outcome)
    return outcome


def _replace(cursor: Any, as_of: date, champion: registry.ModelVersion, scored: Iterable[tuple[str, float]]) -> None:
    mine = {"as_of": as_of, "version": champion.version}
    cursor.execute("delete from ml.predictions where as_of = %(as_of)s and model_version = %(version)s", mine)
    cursor.execute("update ml.predictions set superseded = true where as_of = %(as_of)s and not superseded", mine)
    warehouse.copy_rows(
        cursor,
        "ml",
        "predictions",
        ("as_of", "entity_id", "model_version", "probability", "decision"),
        (
            (as_of, entity, champion.version, repr(probability), probability >= champion.threshold)
            for entity, probability in scored
        ),
    )
