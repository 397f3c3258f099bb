"""Write how far a scored day lies from the rows that the champion was fitted on: counted in SQL, then compared."""

from datetime import date
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Domain
from include.dataops import feature_store
from include.modelops import drift

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composable

    from include.core.feature_view import Feature

COLUMNS = ("as_of", "model_version", "feature", "psi", "js_distance", "missing", "missing_then", "unseen")


def replace(cursor: "Cursor", domain: Domain, as_of: date, version: int | None) -> dict[str, float]:
    """Replace the day's rows of `ml.drift`; returns the population stability index of every feature.

    `version` is the champion whose reference counts and whose scores are looked at; without one there is nothing.
    """
    cursor.execute("delete from ml.drift where as_of = %s", (as_of,))
    if version is None:
        return {}
    cursor.execute(_scored_rows(domain), {"start": as_of, "end": as_of, "as_of": as_of, "version": version})
    cursor.execute(warehouse.statement("modelops/shares"), {"version": version})
    shares: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for feature, name, expected, actual in cursor.fetchall():
        reference, today = shares.setdefault(feature, ({}, {}))
        reference[name], today[name] = expected, actual
    cursor.execute(warehouse.statement("modelops/unseen"), {"version": version})
    unseen = dict(cursor.fetchall())
    rows = {
        feature: (
            drift.population_stability_index(reference, today),
            drift.jensen_shannon_distance(reference, today),
            today.get(drift.MISSING, 0.0),
            reference.get(drift.MISSING, 0.0),
            unseen.get(feature),
        )
        for feature, (reference, today) in sorted(shares.items())
    }
    kept = ((as_of, version, feature, *row) for feature, row in rows.items())
    warehouse.copy_rows(cursor, "ml", "drift", COLUMNS, kept)
    return {feature: psi for feature, (psi, *_) in rows.items() if feature != "probability"}


def _scored_rows(domain: Domain) -> "Composable":
    """A temporary table of the day's features beside the champion's probability."""
    from psycopg2 import sql

    return sql.SQL(
        "create temporary table scored_rows on commit drop as"
        " select features.as_of, features.entity_id, {}, predictions.probability from ({}) as features"
        " join ml.predictions using (as_of, entity_id)"
        " where predictions.as_of = %(as_of)s and predictions.model_version = %(version)s"
    ).format(
        sql.SQL(", ").join(map(_as_number, domain.features)),
        feature_store.statement(domain, labels=False, ordered=False),
    )


def _as_number(feature: "Feature") -> "Composable":
    """A feature as estimators take it: a boolean as 0 or 1, a day as its number since 1970, texts and numbers as is."""
    from psycopg2 import sql

    forms = {"boolean": "{}::integer as {}", "date": "{} - date '1970-01-01' as {}"}
    form = sql.SQL(forms.get(feature.type, "{} as {}"))
    return form.format(sql.Identifier("features", feature.name), sql.Identifier(feature.name))
