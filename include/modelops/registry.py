"""The registry of models: versions in MLflow, and in the warehouse what daily scoring needs to know of them.

Every version is registered once per snapshot: a retry finds what an interrupted try had registered.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib import metadata
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Candidate, Domain
from include.core.ledger import NotReadyError
from include.modelops import card, model_files
from include.modelops.model_files import load_file, model_cache, trusted_types

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor

__all__ = [
    "ModelVersion",
    "challenger_of",
    "find",
    "fingerprint",
    "load",
    "load_file",
    "model_cache",
    "read_version",
    "register",
    "trusted_types",
]

FINGERPRINT = "fingerprint"
MODEL_FILE = "model.skops"
CHALLENGER = "challenger"
# What a prediction depends on. MLflow adds itself, and the version of Python.
MODEL_REQUIREMENTS = ("numpy", "pandas", "scikit-learn", "scipy", "skops")
EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class ModelVersion:
    """A registered model, as the warehouse knows it."""

    version: int
    candidate: str
    artifact_path: str
    artifact_sha256: str
    fitted_through: date
    threshold: float


def fingerprint(domain: Domain, data_hash: str) -> str:
    """What a version was made from: the snapshot, and how its candidates are made, compared and chosen. Hex, 64
    characters.
    """
    made_from = {
        "data": data_hash,
        "views": domain.feature_versions(),
        "candidates": [[c.name, c.build, dict(c.params), c.calibration] for c in domain.candidates],
        "windows": asdict(domain.windows),
        "costs": asdict(domain.costs),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def find(domain: Domain, data_hash: str) -> int | None:
    """The version that was made from this snapshot, once it is whole: everything that `register` does is done."""
    number = _registered(domain, fingerprint(domain, data_hash))
    if number is not None:
        with warehouse.transaction() as cursor:
            cursor.execute(warehouse.statement("modelops/read_version"), {"version": number})
            return None if cursor.fetchone() is None else number
    return None


def register(
    domain: Domain,
    candidate: Candidate,
    model: Any,
    features: "pd.DataFrame",
    *,
    facts: card.Facts,
    profile: dict[str, dict[str, Any]],
    mlflow_run: str,
) -> int:
    """Log the fitted model into the run of its training, register it, give it the alias `challenger`, write its card,
    and at last write it to the warehouse, where it counts as whole. Returns the version's number.

    The run is not active in this process, and runs on afterwards. `features` are rows that the model takes, of which
    the first become the example; `profile` holds the reference shares and edges of every feature. Breaking off anywhere
    and calling it again ends as if it had never broken off: one version for a fingerprint, the first one.
    """
    import mlflow

    made_from = fingerprint(domain, facts.data_hash)
    number = _registered(domain, made_from)
    client = mlflow.MlflowClient()
    if number is None:
        client.log_text(mlflow_run, facts.to_json(), card.FACTS_FILE)
        with _active(mlflow_run):
            logged = _log_model(domain, model, features)
        number = int(mlflow.register_model(logged, domain.name, tags={FINGERPRINT: made_from}).version)
    client.set_registered_model_alias(domain.name, CHALLENGER, str(number))
    card.publish(domain, number)
    run_id = client.get_model_version(domain.name, str(number)).run_id or mlflow_run
    _keep(domain, number, candidate, facts, profile, run_id)
    return number


def load(domain: Domain, version: ModelVersion) -> Any:
    """The estimator of a version, from the local copy of its file, which is fetched from MLflow when absent.

    A ValueError says that the file is not the one that was registered, a DomainError that it is gone, that it is no
    model file, or that it holds types which the domain does not trust: all before anything of it is loaded.
    """
    what = f"The file of version {version.version} of {domain.name}"
    content = model_files.fetch(version.artifact_path, version.artifact_sha256, what)
    return model_files.read(domain, content, what)


def read_version(cursor: "Cursor", number: int) -> ModelVersion:
    """The version with this number; a NotReadyError says when there is none."""
    cursor.execute(warehouse.statement("modelops/read_version"), {"version": number})
    row = cursor.fetchone()
    if row is None:
        raise NotReadyError(f"Version {number} is not in ml.models. Run train_model for its day again.")
    return ModelVersion(*row)


def challenger_of(cursor: "Cursor", as_of: date) -> ModelVersion:
    """The last version trained for `as_of`; a NotReadyError says when there is none."""
    cursor.execute(warehouse.statement("modelops/challenger_of"), {"as_of": as_of})
    row = cursor.fetchone()
    if row is None:
        raise NotReadyError(f"No model was trained for {as_of}. Trigger train_model with that partition key.")
    return read_version(cursor, row[0])


def _registered(domain: Domain, made_from: str) -> int | None:
    """The version in MLflow with this fingerprint, or None; of several the first."""
    import mlflow

    wanted = f"name = '{domain.name}' and tags.`{FINGERPRINT}` = '{made_from}'"
    return min((int(one.version) for one in mlflow.MlflowClient().search_model_versions(wanted)), default=None)


@contextmanager
def _active(run: str) -> Iterator[None]:
    """Makes a run the active one of this block, which leaves it running."""
    import mlflow

    mlflow.start_run(run_id=run)
    try:
        yield
    finally:
        mlflow.end_run("RUNNING")


def _log_model(domain: Domain, model: Any, features: "pd.DataFrame") -> str:
    """Log the model into the active run, with what it takes and gives; returns its URI."""
    import mlflow
    from mlflow.models import infer_signature

    example = features.head(EXAMPLE_ROWS)
    with warnings.catch_warnings():
        # skops looks at every loaded module for the home of a type, and wakes Airflow's deprecations.
        warnings.simplefilter("ignore")
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(trusted_types(domain)),
            pyfunc_predict_fn="predict_proba",
            signature=infer_signature(example, model.predict_proba(example)),
            input_example=example,
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in MODEL_REQUIREMENTS],
        )
    return str(logged.model_uri)


def _keep(
    domain: Domain,
    number: int,
    candidate: Candidate,
    facts: card.Facts,
    profile: dict[str, dict[str, Any]],
    run_id: str,
) -> None:
    """Write the version and its reference profile to the warehouse, replacing what an earlier try wrote."""
    artifact_path = f"models:/{domain.name}/{number}/{MODEL_FILE}"
    sha256 = model_files.fetch_new(artifact_path)
    fitted_from, fitted_through = facts.seen
    with warehouse.transaction() as cursor:
        cursor.execute(
            warehouse.statement("modelops/record_model"),
            {
                "model_version": number,
                "trained_as_of": date.fromisoformat(facts.trained_as_of),
                "candidate": candidate.name,
                "artifact_path": artifact_path,
                "artifact_sha256": sha256,
                "mlflow_run_id": run_id,
                "fitted_from": fitted_from,
                "fitted_through": fitted_through,
                "data_hash": facts.data_hash,
                "features": json.dumps(domain.feature_versions()),
                "threshold": domain.costs.threshold,
            },
        )
        keep_profile(cursor, number, profile)


def keep_profile(cursor: "Cursor", number: int, profile: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the reference of a version, see `drift.profile`, in place of the one that it had."""
    from psycopg2 import sql

    for table in ("reference_profiles", "reference_edges", "reference_categories"):
        cursor.execute(sql.SQL("delete from ml.{} where model_version = %s").format(sql.Identifier(table)), (number,))
    shares = [(number, of, name, share) for of, known in profile.items() for name, share in known["shares"].items()]
    edges = [
        (number, of, "{" + ",".join(map(repr, known["edges"])) + "}")
        for of, known in profile.items()
        if known["edges"] is not None
    ]
    categories = [(number, of, category) for of, known in profile.items() for category in known["categories"] or ()]
    for table, columns, rows in (
        ("reference_profiles", ("bin", "share"), shares),
        ("reference_edges", ("edges",), edges),
        ("reference_categories", ("category",), categories),
    ):
        warehouse.copy_rows(cursor, "ml", table, ("model_version", "feature", *columns), rows)
