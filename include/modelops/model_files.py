"""The files of models: in skops format, fetched once, checked before anything of them is loaded. No pickle is read.

A file may hold the types that skops trusts, those that the domain lists, and those of calibration. What it holds is
read from its description of itself; to build it is the last step, from the very bytes that were checked.
"""

import hashlib
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from include.core.domain import Domain
from include.core.errors import DomainError

# What calibration adds to a model: it is done here, for every candidate that asks for it.
CALIBRATORS = ("sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration")

GONE = "RESOURCE_DOES_NOT_EXIST"


def trusted_types(domain: Domain) -> tuple[str, ...]:
    """Every type that a model file of the domain may hold beyond those that skops trusts."""
    return (*domain.trusted_types, *CALIBRATORS)


def model_cache() -> Path:
    """The folder for local copies of model files: FLIGHTLINE_CACHE, else one of this user's in the system's own."""
    folder = Path(os.environ.get("FLIGHTLINE_CACHE") or Path(tempfile.gettempdir()) / f"flightline-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def fetch(artifact_path: str, sha256: str, what: str) -> bytes:
    """The content of the file with this hash, from the local copy or else from MLflow; `what` names it in errors.

    A copy appears whole or not at all, however many processes fetch it at once. A DomainError says that it is gone, a
    ValueError that it is another file: then the copy is removed, and the next call fetches it anew.
    """
    copy = _copy_of(sha256)
    try:
        content = copy.read_bytes()
    except FileNotFoundError:
        content = _download(artifact_path, copy, what)
    if hashlib.sha256(content).hexdigest() != sha256:
        copy.unlink(missing_ok=True)
        raise ValueError(
            f"{what} is not the one that was registered."
            " The copy was removed; clear the task to fetch it again, and look into MLflow if this repeats."
        )
    return content


def fetch_new(artifact_path: str) -> str:
    """The hash of a file that was just registered, of which a local copy is made."""
    with tempfile.TemporaryDirectory(dir=model_cache()) as folder:
        file = _into(folder, artifact_path)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(_copy_of(sha256))
    return sha256


def read(domain: Domain, content: bytes, what: str) -> Any:
    """The estimator that a file holds. A DomainError, before anything is loaded, for what is no model file or holds a
    type which is not listed; `what` names the file in it.
    """
    from skops import io

    # skops looks at every loaded module for the home of a type, and wakes Airflow's deprecations.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _refuse_foreign(domain, content, what)
        return io.loads(content, trusted=list(trusted_types(domain)))


def _refuse_foreign(domain: Domain, content: bytes, what: str) -> None:
    from skops import io

    try:
        found = io.get_untrusted_types(data=content)
    except Exception as error:  # whatever a file that is something else makes of zip, JSON and skops
        told = " ".join(str(error).split())[:200]
        raise DomainError(
            f"{what} is no model in skops format ({type(error).__name__}: {told}), and nothing of it was loaded."
            " Train again: a file in another format, like a pickle, is never read."
        ) from error
    if foreign := sorted(set(found) - set(trusted_types(domain))):
        raise DomainError(
            f"{what} holds types that {domain.name} does not trust, and nothing of it was loaded:"
            f" {', '.join(foreign)}. If you know them all and they can do no harm, add them to trusted_types of the"
            " domain; else find out where the file is from, and train again."
        )


def load_file(domain: Domain, file: Path) -> Any:
    """The estimator in a file at hand, checked as `read` does."""
    return read(domain, file.read_bytes(), f"The file {file.name}")


def _download(artifact_path: str, copy: Path, what: str) -> bytes:
    with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
        try:
            file = _into(folder, artifact_path)
        except Exception as error:
            if not _says_gone(error):
                raise
            raise DomainError(
                f"{what} is gone: MLflow has no {artifact_path} any more. Restore it there, or train again."
            ) from error
        content = file.read_bytes()
        file.rename(copy)
    return content


def _into(folder: str, artifact_path: str) -> Path:
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(artifact_path, dst_path=folder))


def _copy_of(sha256: str) -> Path:
    return model_cache() / f"{sha256}.skops"


def _says_gone(error: Exception) -> bool:
    """Whether MLflow or its store answered that there is no such version or file, rather than not at all."""
    return getattr(error, "error_code", "") == GONE or re.search(rf"{GONE}|NoSuchKey|\b404\b", str(error)) is not None
