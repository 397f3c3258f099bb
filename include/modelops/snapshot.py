"""The frozen snapshot of a training: which days it takes, their rows as a table of its own, what these were made from.

    first day ...... fit ...... | calibration | validation | gate | labels still on their way | as-of day

Nothing later than the as-of day's drop is in it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Domain
from include.core.ledger import NotReadyError
from include.dataops import feature_store
from include.dataops.feature_store import TrainingSet
from include.modelops import tracking

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Identifier

Window = tuple[date, date]


@dataclass(frozen=True)
class Cut:
    """The windows of one training, as first and last as-of day, both included."""

    fit: Window
    calibration: Window
    validation: Window
    gate: Window


def cut(domain: Domain, as_of: date) -> Cut:
    """The windows of a training asked for on `as_of`; a NotReadyError says from which day on it is possible."""
    windows = domain.windows
    last = as_of - timedelta(days=domain.label_days)
    gate = last - timedelta(days=windows.gate - 1)
    validation = gate - timedelta(days=windows.validation)
    calibration = validation - timedelta(days=windows.calibration)
    if (calibration - domain.first_day).days < windows.min_fit:
        first_possible = domain.first_day + timedelta(days=windows.days + domain.label_days - 1)
        raise NotReadyError(
            f"The days before {as_of} are too few to fit, calibrate, validate and gate a model."
            f" The first training is possible on {first_possible}."
        )
    day = timedelta(days=1)
    first = domain.first_day
    if windows.max_fit is not None:
        first = max(first, calibration - timedelta(days=windows.max_fit))
    return Cut((first, calibration - day), (calibration, validation - day), (validation, gate - day), (gate, last))


@dataclass(frozen=True)
class Snapshot:
    """What a training works on: a table of its own with the rows of all windows, and what they were made from.

    `features` holds the version of every view, `mlflow_run` is the run of this training.
    """

    as_of: date
    table: str
    data_hash: str
    rows: int
    windows: Cut
    features: dict[str, str]
    airflow_run: str
    code_version: str
    mlflow_run: str

    def to_json(self) -> dict[str, Any]:
        """As it goes from task to task."""
        windows = {name: [f"{day}" for day in window] for name, window in asdict(self.windows).items()}
        return {**vars(self), "as_of": f"{self.as_of}", "windows": windows}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Snapshot":
        """As it was before `to_json`."""
        day = date.fromisoformat
        windows = Cut(**{name: (day(first), day(last)) for name, (first, last) in known["windows"].items()})
        return cls(**{**known, "as_of": day(known["as_of"]), "windows": windows})


def freeze(domain: Domain, as_of: date, airflow_run: str) -> Snapshot:
    """Keep the rows of all windows, see `keep_rows`, and open the MLflow run. Repeating it gives the same snapshot."""
    windows = cut(domain, as_of)
    data_hash, rows = keep_rows(domain, as_of, airflow_run)
    features = domain.feature_versions()
    tags = {"data_hash": data_hash} | {f"view.{name}": version for name, version in features.items()}
    run = tracking.open_training(domain, as_of, airflow_run, tags)
    told = {f"{name}_window": f"{first} to {last}" for name, (first, last) in asdict(windows).items()}
    tracking.log(run, params=told, metrics={"snapshot_rows": rows})
    table, code = table_of(as_of, airflow_run), tracking.code_version()
    return Snapshot(as_of, table, data_hash, rows, windows, features, airflow_run, code, run)


def keep_rows(domain: Domain, as_of: date, airflow_run: str) -> tuple[str, int]:
    """Keep the rows of all windows, with the labels that had landed by `as_of`, in a table of the run's own.

    Returns their hash and their number: the same rows give the same hash anywhere.
    """
    from psycopg2 import sql

    windows, table = cut(domain, as_of), _in_ml(table_of(as_of, airflow_run))
    bound = feature_store.bounds(domain, windows.fit[0], windows.gate[1], as_of)
    with warehouse.transaction() as cursor:
        feature_store.one_moment(cursor)
        feature_store.require_fresh(cursor, domain, bound, labels=True)
        warehouse.join_by_hash(cursor)
        cursor.execute(sql.SQL("drop table if exists {}").format(table))
        cursor.execute(
            sql.SQL("create table {} as {}").format(table, feature_store.statement(domain, labels=True)), bound
        )
        kept = _read(cursor, domain, table_of(as_of, airflow_run), (windows.fit[0], windows.gate[1]))
    if not kept.rows.num_rows:
        raise NotReadyError(f"No labelled rows before {as_of}. Run backfill_features for the days before it.")
    return kept.data_hash, kept.rows.num_rows


def drop(as_of: date, airflow_run: str) -> None:
    """Drop the table of a training; nothing happens when there is none."""
    from psycopg2 import sql

    with warehouse.transaction() as cursor:
        cursor.execute(sql.SQL("drop table if exists {}").format(_in_ml(table_of(as_of, airflow_run))))


def read_window(domain: Domain, snapshot: Snapshot, window: Window) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """The snapshot's rows of one window, as keys (as_of, entity_id, label) and features."""
    with warehouse.transaction() as cursor:
        return _read(cursor, domain, snapshot.table, window).frames()


def table_of(as_of: date, airflow_run: str) -> str:
    """The table of a training: two of one day never touch each other's."""
    return f"snapshot_{as_of:%Y_%m_%d}_{hashlib.sha256(airflow_run.encode()).hexdigest()[:8]}"


def _read(cursor: "Cursor", domain: Domain, table: str, window: Window) -> TrainingSet:
    """The snapshot's rows of these days, as the feature store gives them."""
    from psycopg2 import sql

    query = sql.SQL("select * from {} where as_of between %(start)s and %(end)s order by as_of, entity_id").format(
        _in_ml(table)
    )
    return feature_store.read(cursor, domain, query, {"start": window[0], "end": window[1]}, labels=True)


def _in_ml(table: str) -> "Identifier":
    from psycopg2 import sql

    return sql.Identifier("ml", table)
