"""Train on a frozen snapshot: cut it by time, fit the candidates, pick the cheapest, fit it again on all it may see.

    first day ......... fit ......... | validation | gate | labels still on their way | as-of day

Candidates are fitted on `fit` and compared on `validation`; the winner is fitted again on both. The gate window is
never fitted or selected on. Nothing later than the as-of day's drop is in the snapshot.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import Candidate, Domain
from include.core.ledger import NotReadyError
from include.dataops import feature_store
from include.dataops.feature_store import TrainingSet
from include.modelops import card, drift, evaluation, registry

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Identifier


@dataclass(frozen=True)
class Cut:
    """The windows of one training, as first and last as-of day, both included."""

    fit: tuple[date, date]
    validation: tuple[date, date]
    gate: tuple[date, date]


def cut(domain: Domain, as_of: date) -> Cut:
    """The windows of a training asked for on `as_of`; a NotReadyError says from which day on it is possible."""
    windows = domain.windows
    last = as_of - timedelta(days=domain.label_days)
    gate = last - timedelta(days=windows.gate - 1)
    validation = gate - timedelta(days=windows.validation)
    if (validation - domain.first_day).days < windows.min_fit:
        first_possible = domain.first_day + timedelta(
            days=windows.min_fit + windows.validation + windows.gate + domain.label_days - 1
        )
        raise NotReadyError(
            f"The days before {as_of} are too few to fit, validate and gate a model."
            f" The first training is possible on {first_possible}."
        )
    day = timedelta(days=1)
    return Cut((domain.first_day, validation - day), (validation, gate - day), (gate, last))


def freeze_snapshot(domain: Domain, as_of: date) -> str:
    """Keep the rows of all three windows, with the labels that had landed by `as_of`; returns their hash.

    The hash names the data: the same rows, features and candidates give the same hash anywhere.
    """
    from psycopg2 import sql

    windows = cut(domain, as_of)
    bound = feature_store.bounds(domain, windows.fit[0], windows.gate[1], as_of)
    with warehouse.transaction() as cursor:
        feature_store.one_moment(cursor)
        feature_store.require_fresh(cursor, domain, bound, labels=True)
        warehouse.join_by_hash(cursor)
        cursor.execute(sql.SQL("drop table if exists {}").format(_snapshot(as_of)))
        cursor.execute(
            sql.SQL("create table {} as {}").format(_snapshot(as_of), feature_store.statement(domain, labels=True)),
            bound,
        )
        snapshot = _read(cursor, domain, as_of, (windows.fit[0], windows.gate[1]))
    if not snapshot.rows.num_rows:
        raise NotReadyError(f"No labelled rows before {as_of}. Run backfill_features for the days before it.")
    return snapshot.data_hash


def drop_snapshot(as_of: date) -> None:
    """Remove the snapshot; nothing happens when there is none."""
    from psycopg2 import sql

    with warehouse.transaction() as cursor:
        cursor.execute(sql.SQL("drop table if exists {}").format(_snapshot(as_of)))


def read_window(domain: Domain, as_of: date, window: tuple[date, date]) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """The snapshot's rows of one window, as keys (as_of, entity_id, label) and features."""
    with warehouse.transaction() as cursor:
        return _read(cursor, domain, as_of, window).frames()


def validate_candidate(domain: Domain, name: str, as_of: date) -> dict[str, float]:
    """Fit the candidate called `name` on the fit window and measure it on the validation window."""
    candidate = domain.candidate(name)
    windows = cut(domain, as_of)
    keys, features = read_window(domain, as_of, windows.fit)
    model = candidate.estimator().fit(features, keys["label"].to_numpy())
    keys, features = read_window(domain, as_of, windows.validation)
    return evaluation.measures(keys["label"].to_numpy(), model.predict_proba(features)[:, 1], domain.costs)


def register_challenger(
    domain: Domain, as_of: date, data_hash: str, measured: dict[str, dict[str, float]], airflow_run: str
) -> int:
    """Pick the winner, fit it on the fit and validation windows, and register it; returns its version.

    The reference profile for drift is made of the rows it was fitted on, and of its scores on the gate window: scores
    on rows that a model was fitted on are too sure of themselves.
    """
    windows = cut(domain, as_of)
    candidate = pick(domain, measured)
    fitted = (windows.fit[0], windows.validation[1])
    keys, features = read_window(domain, as_of, fitted)
    model = candidate.estimator().fit(features, keys["label"].to_numpy())
    _, unseen = read_window(domain, as_of, windows.gate)
    return registry.register(
        domain,
        candidate,
        model,
        features,
        trained_as_of=as_of,
        fitted=fitted,
        data_hash=data_hash,
        measured=measured,
        profile=drift.profile(domain, features, model.predict_proba(unseen)[:, 1]),
        card=card.write(
            domain,
            candidate,
            trained_as_of=as_of,
            windows=windows,
            fitted_rows=len(features),
            gate_rows=len(unseen),
            data_hash=data_hash,
            measured=measured,
            airflow_run=airflow_run,
        ),
        airflow_run=airflow_run,
    )


def pick(domain: Domain, measured: dict[str, dict[str, float]]) -> Candidate:
    """The candidate with the lowest cost on the validation window; of equals, the one declared first."""
    return min(domain.candidates, key=lambda candidate: measured[candidate.name]["cost"])


def _read(cursor: "Cursor", domain: Domain, as_of: date, window: tuple[date, date]) -> TrainingSet:
    """The snapshot's rows of these days, as the feature store gives them."""
    from psycopg2 import sql

    query = sql.SQL("select * from {} where as_of between %(start)s and %(end)s order by as_of, entity_id").format(
        _snapshot(as_of)
    )
    return feature_store.read(cursor, domain, query, {"start": window[0], "end": window[1]}, labels=True)


def _snapshot(as_of: date) -> "Identifier":
    from psycopg2 import sql

    return sql.Identifier("ml", f"snapshot_{as_of:%Y_%m_%d}")
