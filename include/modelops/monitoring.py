"""Measure a day: drift of its inputs and scores, performance where labels have matured, and whether to retrain.

A day's performance is looked at on each of the drops in which its labels still arrive, and every look is kept.
It is provisional until the domain's coverage is reached.
"""

from datetime import date, timedelta
from typing import Any

from include.core import ledger, warehouse
from include.core.domain import EVENT_DAY, Domain
from include.core.ledger import Stage
from include.dataops import feature_store
from include.modelops import champion, drift, retraining


def measure_day(domain: Domain, as_of: date, run_id: str) -> retraining.Answer:
    """Write drift and performance as known at the drop of `as_of`, and the ledger's row with the answer."""
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "monitoring", as_of)
        warehouse.join_by_hash(cursor)
        _replace_drift(cursor, domain, as_of)
        _replace_performance(cursor, domain, as_of)
        answer = _ask_for_training(cursor, domain, as_of)
        detail = {"retrain": answer.retrain, "reason": answer.reason}
        ledger.record(cursor, as_of, Stage.MONITORED, run_id, detail=detail)
    return answer


def _replace_drift(cursor: Any, domain: Domain, as_of: date) -> None:
    """Distances between the day's shares per bin and the champion's, for every feature and for the scores."""
    cursor.execute("delete from ml.drift where as_of = %s", (as_of,))
    now = champion.change_on(cursor, as_of)
    if now is None:
        return
    cursor.execute(_scored_rows(domain), {"start": as_of, "end": as_of, "as_of": as_of, "version": now.version})
    cursor.execute(warehouse.statement("modelops/shares"), {"version": now.version})
    seen: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for feature, name, expected, actual in cursor.fetchall():
        reference, today = seen.setdefault(feature, ({}, {}))
        reference[name], today[name] = expected, actual
    warehouse.copy_rows(
        cursor,
        "ml",
        "drift",
        ("as_of", "model_version", "feature", "psi", "js_distance"),
        (
            (
                as_of,
                now.version,
                feature,
                drift.population_stability_index(reference, today),
                drift.jensen_shannon_distance(reference, today),
            )
            for feature, (reference, today) in sorted(seen.items())
        ),
    )


def _scored_rows(domain: Domain) -> Any:
    """A temporary table of the day's features beside the champion's probability."""
    from psycopg2 import sql

    return sql.SQL(
        "create temporary table scored_rows on commit drop as"
        " select features.*, predictions.probability from ({}) as features"
        " join ml.predictions using (as_of, entity_id)"
        " where predictions.as_of = %(as_of)s and predictions.model_version = %(version)s"
    ).format(feature_store.statement(domain, labels=False))


def _replace_performance(cursor: Any, domain: Domain, as_of: date) -> None:
    """Measures of every scored day whose labels still arrive, over the labels that landed by `as_of`."""
    from psycopg2 import sql

    days = {"start": as_of - timedelta(days=domain.label_days), "end": as_of - timedelta(days=1), "known_at": as_of}
    cursor.execute(
        sql.SQL(
            "create temporary table landed_labels on commit drop as"
            " select {} as as_of, {} as entity_id, label, landed from ({}) as labels"
        ).format(
            sql.Identifier(EVENT_DAY), feature_store.entity_id(domain, "labels"), feature_store.landed_labels(domain)
        ),
        days,
    )
    cursor.execute("delete from ml.performance where known_at = %s", (as_of,))
    cursor.execute(
        warehouse.statement("modelops/performance"),
        {
            **days,
            "false_alarm": domain.costs.false_alarm,
            "missed": domain.costs.missed,
            "min_coverage": domain.min_coverage,
        },
    )


def _ask_for_training(cursor: Any, domain: Domain, as_of: date) -> retraining.Answer:
    cursor.execute(
        warehouse.statement("modelops/retraining_facts"),
        {"as_of": as_of, "last_matured": as_of - timedelta(days=domain.label_days), "unit": domain.unit},
    )
    days_since_request, matured_days = cursor.fetchone()
    return retraining.decide(
        has_champion=champion.change_on(cursor, as_of) is not None,
        days_since_request=days_since_request,
        matured_days=matured_days,
        windows=domain.windows,
        policy=domain.retraining,
    )
