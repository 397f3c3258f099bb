"""The MLflow runs of a training: one for the training, and one below it for each candidate.

A run is found again by its tags and its title, so a retry goes on with the one that an interrupted try had opened. What
was made from something else gets a run of its own: parameters of a run cannot be changed.
"""

import hashlib
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.domain import Candidate, Domain
from include.modelops import registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING = "training"
PARENT = "mlflow.parentRunId"
CANDIDATE = "candidate"
# What goes from task to task lies here, and is removed with the snapshot.
BETWEEN_TASKS = "between_tasks"
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
_INCLUDE = Path(__file__).parent.parent


def open_training(domain: Domain, as_of: date, airflow_run: str, tags: Mapping[str, str]) -> str:
    """The id of the MLflow run of a training, which is opened unless an earlier try did so on the same data and code.

    `tags` say what the training is made from.
    """
    made_from = {**tags, TRAINING: _name(as_of, airflow_run), "code_version": code_version()}
    run = _open(domain, f"{as_of}", made_from, {"airflow_run": airflow_run, "trained_as_of": f"{as_of}"})
    _client().update_run(run, status=RUNNING)
    return run


def open_candidate(domain: Domain, parent: str, candidate: Candidate) -> str:
    """The id of the run of a candidate below that of its training, opened unless an earlier try did so.

    One that was given other parameters since has another title, and so another run.
    """
    return _open(domain, candidate.title, {PARENT: parent, CANDIDATE: candidate.name})


@contextmanager
def failing(run: str) -> Iterator[None]:
    """Marks the run as failed when this block fails, and as running again when it is tried again."""
    client = _client()
    client.update_run(run, status=RUNNING)
    try:
        yield
    except BaseException:
        client.set_terminated(run, FAILED)
        raise


def finish(run: str) -> None:
    """Close a run that did what it had to."""
    _client().set_terminated(run, FINISHED)


def log(run: str, *, params: Mapping[str, Any] | None = None, metrics: Mapping[str, float] | None = None) -> None:
    """Add parameters and metrics to a run, all at once. Parameters that are there stay, and so do equal metrics: MLflow
    refuses the metric of a model that has the same moment as an earlier one.
    """
    from mlflow.entities import Metric, Param

    client = _client()
    known = client.get_run(run).data
    moment = time.time_ns() // 1_000_000
    client.log_batch(
        run,
        params=[Param(name, str(value)) for name, value in (params or {}).items() if name not in known.params],
        metrics=[
            Metric(name, float(value), moment, 0)
            for name, value in (metrics or {}).items()
            if known.metrics.get(name) != float(value)
        ],
    )


def log_pictures(run: str, pictures: Mapping[str, "Figure"]) -> None:
    """Keep the figures as `pictures/<name>.png` of a run."""
    client = _client()
    for name, picture in pictures.items():
        client.log_figure(run, picture, f"pictures/{name}.png")


def hand_on(run: str, name: str, model: Any) -> None:
    """Keep a fitted model in the run, for the task that comes next."""
    from skops import io

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # skops looks at every loaded module for the home of a type, and wakes Airflow's deprecations.
        warnings.simplefilter("ignore")
        file = Path(folder) / f"{name}.skops"
        io.dump(model, file)
        _client().log_artifact(run, str(file), BETWEEN_TASKS)


def take_over(domain: Domain, run: str, name: str) -> Any:
    """The model that the task before kept, if it holds no types but those that the domain trusts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(_client().download_artifacts(run, f"{BETWEEN_TASKS}/{name}.skops", folder))
        return registry.load_file(domain, file)


def close(domain: Domain, as_of: date, airflow_run: str) -> None:
    """Remove what went from task to task, and close what is still open of a training. Safe to repeat."""
    from mlflow.store.artifact import artifact_repository_registry

    files_of: Any = artifact_repository_registry.get_artifact_repository
    client = _client()
    experiment = client.get_experiment_by_name(domain.name)
    if experiment is None:
        return
    parents = _found(experiment.experiment_id, {TRAINING: _name(as_of, airflow_run)})
    children = [child for parent in parents for child in _found(experiment.experiment_id, {PARENT: parent.info.run_id})]
    for run in (*children, *parents):
        if client.list_artifacts(run.info.run_id, BETWEEN_TASKS):
            files_of(run.info.artifact_uri).delete_artifacts(BETWEEN_TASKS)
        if run.info.status == RUNNING:
            client.set_terminated(run.info.run_id, KILLED)


def code_version() -> str:
    """The commit that runs: FLIGHTLINE_CODE_VERSION, else what .git says, else 'unknown'."""
    if named := os.environ.get("FLIGHTLINE_CODE_VERSION"):
        return named
    folder = _INCLUDE.parent / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (folder / name).exists():
            return (folder / name).read_text().strip()
        packed = (folder / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "unknown")
    except OSError:
        return "unknown"


def _open(domain: Domain, title: str, found_by: Mapping[str, str], also: Mapping[str, str] | None = None) -> str:
    """The id of the oldest run with this title and these tags; one that is made has those of `also` too."""
    import mlflow

    experiment = mlflow.set_experiment(domain.name).experiment_id
    for known in _found(experiment, found_by):
        if known.info.run_name == title:
            return str(known.info.run_id)
    run = _client().create_run(experiment, run_name=title, tags={**found_by, **(also or {})})
    return str(run.info.run_id)


def _found(experiment: str, tags: Mapping[str, str]) -> list[Any]:
    """The runs of the experiment with these tags, the oldest first."""
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(_client().search_runs([experiment], wanted, order_by=["attributes.start_time"]))


def _name(as_of: date, airflow_run: str) -> str:
    """What tells a training from all others, whatever characters the name of its run has."""
    return hashlib.sha256(f"{as_of} {airflow_run}".encode()).hexdigest()[:16]


def _client() -> Any:
    import mlflow

    return mlflow.MlflowClient()
