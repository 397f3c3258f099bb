"""The registry of models: versions in MLflow, and in the warehouse what daily scoring needs to know of them.

Every version is registered once per snapshot: a retry finds what an interrupted try had registered.
"""

import hashlib
import json
import os
import tempfile
import warnings
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Candidate, Domain
from include.core.ledger import NotReadyError
from include.modelops import card as model_card

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor

FINGERPRINT = "fingerprint"
MODEL_FILE = "model.skops"
MODEL_REQUIREMENTS = ("numpy", "pandas", "scikit-learn", "skops")


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
    """What a version was made from: the snapshot, the views' versions and the candidates. Hex, 64 characters."""
    made_from = {
        "data": data_hash,
        "views": {view.name: view.version for view in domain.views},
        "candidates": [[c.name, c.build, dict(c.params)] for c in domain.candidates],
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def register(
    domain: Domain,
    candidate: Candidate,
    model: Any,
    features: "pd.DataFrame",
    *,
    trained_as_of: date,
    fitted: tuple[date, date],
    data_hash: str,
    measured: dict[str, dict[str, float]],
    profile: dict[str, dict[str, Any]],
    card: str,
    airflow_run: str,
) -> int:
    """Log the fitted model, register it, give it the alias `challenger` and write it to the warehouse.

    `measured` holds the measures of every candidate on the validation window, `profile` the reference shares and
    edges of every feature. `card` is kept beside the model and is the version's description, as far as there is room;
    a description that is there stays. Returns the version's number; a second call with the same fingerprint returns
    the first's.
    """
    import mlflow

    print_of_version = fingerprint(domain, data_hash)
    client = mlflow.MlflowClient()
    version = _find(client, domain.name, print_of_version)
    if version is None:
        mlflow.set_experiment(domain.name)
        with mlflow.start_run(run_name=f"{trained_as_of} {candidate.name}", tags={"airflow_run": airflow_run}):
            mlflow.log_params({"candidate": candidate.name, **candidate.params})
            mlflow.log_params({"fitted_from": fitted[0], "fitted_through": fitted[1], "data_hash": data_hash})
            for name, numbers in measured.items():
                mlflow.log_metrics({f"validation_{measure}_{name}": value for measure, value in numbers.items()})
            mlflow.log_text(card, model_card.FILE)
            with warnings.catch_warnings():
                # skops looks at every loaded module for the home of a type, and wakes Airflow's deprecations.
                warnings.simplefilter("ignore")
                logged = mlflow.sklearn.log_model(
                    model,
                    name="model",
                    serialization_format="skops",
                    skops_trusted_types=list(candidate.trusted_types),
                    input_example=features.head(3),
                    pip_requirements=[f"{name}=={metadata.version(name)}" for name in MODEL_REQUIREMENTS],
                )
        version = mlflow.register_model(logged.model_uri, domain.name, tags={FINGERPRINT: print_of_version})
    if not version.description:
        client.update_model_version(domain.name, version.version, model_card.shortened(card))
    client.set_registered_model_alias(domain.name, "challenger", version.version)
    number = int(version.version)
    _keep(domain, number, candidate, version, trained_as_of, fitted, data_hash, profile)
    return number


def load(domain: Domain, version: ModelVersion) -> Any:
    """The estimator of a version, from the local copy of its file, which is fetched from MLflow when absent.

    The file's hash must be the one that was registered, and it may hold no type but those the candidate declares:
    both are checked before anything of it is loaded.
    """
    from skops import io

    file = model_cache() / f"{version.artifact_sha256}.skops"
    if not file.exists():
        import mlflow

        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            fetched = Path(mlflow.artifacts.download_artifacts(version.artifact_path, dst_path=folder))
            fetched.rename(file)
    if _sha256(file) != version.artifact_sha256:
        file.unlink()
        raise ValueError(
            f"The file of version {version.version} of {domain.name} is not the one that was registered."
            " The copy was removed; clear the task to fetch it again, and look into MLflow if this repeats."
        )
    return io.load(file, trusted=list(domain.candidate(version.candidate).trusted_types))


def model_cache() -> Path:
    """The folder for local copies of model files: FLIGHTLINE_CACHE, else one of this user's in the system's own."""
    folder = Path(os.environ.get("FLIGHTLINE_CACHE") or Path(tempfile.gettempdir()) / f"flightline-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def read_version(cursor: "Cursor", number: int) -> ModelVersion:
    """The version with this number; a NotReadyError says when there is none."""
    cursor.execute(warehouse.statement("modelops/read_version"), {"version": number})
    row = cursor.fetchone()
    if row is None:
        raise NotReadyError(f"Version {number} is not in ml.models. Run train_model for its day again.")
    return ModelVersion(*row)


def champion_on(cursor: "Cursor", as_of: date) -> ModelVersion | None:
    """The champion that was effective on `as_of`, or None when there was none yet."""
    cursor.execute(warehouse.statement("modelops/champion_on"), {"as_of": as_of})
    row = cursor.fetchone()
    return None if row is None else read_version(cursor, row[0])


def challenger_of(cursor: "Cursor", as_of: date) -> ModelVersion:
    """The last version trained for `as_of`; a NotReadyError says when there is none."""
    cursor.execute(warehouse.statement("modelops/challenger_of"), {"as_of": as_of})
    row = cursor.fetchone()
    if row is None:
        raise NotReadyError(f"No model was trained for {as_of}. Trigger train_model with that partition key.")
    return read_version(cursor, row[0])


def set_champion(domain: Domain, number: int) -> None:
    """Move the alias `champion` to a version and keep the one it leaves as `previous`. Safe to repeat."""
    import mlflow

    client = mlflow.MlflowClient()
    aliases = client.get_registered_model(domain.name).aliases
    former = aliases.get("champion")
    if former is not None and int(former) != number:
        client.set_registered_model_alias(domain.name, "previous", former)
    client.set_registered_model_alias(domain.name, "champion", str(number))


def _find(client: Any, name: str, print_of_version: str) -> Any:
    found = client.search_model_versions(f"name = '{name}' and tags.`{FINGERPRINT}` = '{print_of_version}'")
    return min(found, key=lambda version: int(version.version)) if found else None


def _keep(
    domain: Domain,
    number: int,
    candidate: Candidate,
    version: Any,
    trained_as_of: date,
    fitted: tuple[date, date],
    data_hash: str,
    profile: dict[str, dict[str, Any]],
) -> None:
    """Write the version and its reference profile to the warehouse, replacing what an earlier try wrote."""
    import mlflow

    artifact_path = f"models:/{domain.name}/{number}/{MODEL_FILE}"
    with tempfile.TemporaryDirectory(dir=model_cache()) as folder:
        file = Path(mlflow.artifacts.download_artifacts(artifact_path, dst_path=folder))
        sha256 = _sha256(file)
        file.rename(model_cache() / f"{sha256}.skops")
    with warehouse.transaction() as cursor:
        cursor.execute(
            warehouse.statement("modelops/record_model"),
            {
                "model_version": number,
                "trained_as_of": trained_as_of,
                "candidate": candidate.name,
                "artifact_path": artifact_path,
                "artifact_sha256": sha256,
                "mlflow_run_id": version.run_id,
                "fitted_from": fitted[0],
                "fitted_through": fitted[1],
                "data_hash": data_hash,
                "features": json.dumps({view.name: view.version for view in domain.views}),
                "threshold": domain.costs.threshold,
            },
        )
        cursor.execute("delete from ml.reference_profiles where model_version = %s", (number,))
        cursor.execute("delete from ml.reference_edges where model_version = %s", (number,))
        warehouse.copy_rows(
            cursor,
            "ml",
            "reference_profiles",
            ("model_version", "feature", "bin", "share"),
            (
                (number, feature, name, share)
                for feature, known in profile.items()
                for name, share in known["shares"].items()
            ),
        )
        warehouse.copy_rows(
            cursor,
            "ml",
            "reference_edges",
            ("model_version", "feature", "edges"),
            (
                (number, feature, "{" + ",".join(map(repr, known["edges"])) + "}")
                for feature, known in profile.items()
                if known["edges"] is not None
            ),
        )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
