"""Start and stop the services: Postgres, MLflow and the four components of Airflow.

`airflow standalone` is not used: the log servers that it starts listen on every interface of the machine.
"""

import importlib.metadata
import json
import shutil
import signal
import subprocess
from contextlib import closing
from dataclasses import dataclass, replace

import psutil

from local import health, postgres, processes
from local.environment import service_environment
from local.settings import REPO, LocalError, Settings, write_private

PYTHON = str(REPO / ".venv" / "bin" / "python")
AIRFLOW = (PYTHON, "-m", "airflow")
# With less than a segment of Postgres' log left, nothing can be written any more.
FREE_BYTES_OF_A_FULL_DISK = 16 * 1024**2


@dataclass(frozen=True)
class Running:
    """What a start recorded: by which command, on which ports, and (pid, creation time) of each service."""

    mode: str
    airflow_port: int
    mlflow_port: int
    services: dict[str, tuple[int, float]]


def read_record(settings: Settings) -> Running | None:
    """What the last start recorded, or None if nothing was started or everything was stopped."""
    try:
        return Running(**json.loads((settings.home / "services.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def dead_services(running: Running) -> list[str]:
    """Names of the recorded services that are gone."""
    recorded = running.services.items()
    return [name for name, (pid, made) in recorded if not processes.find_recorded(pid, made)]


def start(settings: Settings, mode: str, patience: int | None = None) -> Running:
    """Start everything and wait until it is healthy. The caller has made sure that nothing is left over."""
    health.check_ports(settings, mode)
    for folder in (
        settings.landing,
        settings.cold,
        settings.logs,
        settings.airflow_home,
        settings.home / "mlflow-artifacts",
    ):
        folder.mkdir(parents=True, exist_ok=True)
    environment = service_environment(settings, postgres.socket_folder(settings), patience)
    running = Running(mode, settings.airflow_port, settings.mlflow_port, {})
    running = _record(settings, running, "postgres", postgres.start(settings, environment))
    # MLflow makes its tables while Airflow makes its own.
    for name, command in _commands(settings).items():
        if name == "api-server":
            _migrate(settings, environment)
            _forget_dead_jobs(settings)
        log = settings.logs / f"{name}.log"
        running = _record(settings, running, name, processes.spawn(command, environment, log, folder=REPO))
    health.wait_healthy(settings, lambda: raise_if_dead(settings, running))
    if exposed := health.open_ports(find_processes(settings, running)):
        raise LocalError(f"A service listens beyond this machine ({', '.join(exposed)}); all were stopped.")
    return running


def stop(settings: Settings) -> None:
    """End every process of this runtime, in whatever state an earlier call left it.

    The scheduler and its tasks are killed first: a task that is asked to end reports that it failed, one that
    vanishes is simply done again at the next start.
    """
    running = read_record(settings)
    for _ in range(5):
        postmaster = postgres.find_postmaster(settings)
        server = [postmaster, *postmaster.children(recursive=True)] if postmaster else []
        found = [process for process in find_processes(settings, running) if process not in server]
        if not found:
            break
        if running and "scheduler" in running.services:
            processes.send(processes.in_session(found, running.services["scheduler"][0]), signal.SIGKILL)
        processes.send(found, signal.SIGTERM)
        processes.send(processes.wait_gone(found, 4), signal.SIGKILL)
        processes.wait_gone(found, 2)
    postgres.stop(settings)
    (settings.home / "services.json").unlink(missing_ok=True)


def find_processes(settings: Settings, running: Running | None) -> list[psutil.Process]:
    """Everything of this runtime that is alive, recorded or left over."""
    return processes.find_all(settings.home, running.services if running else {})


def raise_if_dead(settings: Settings, running: Running) -> None:
    """Say which service vanished while it was needed, with the end of its log."""
    if names := dead_services(running):
        log = settings.logs / f"{names[0]}.log"
        full = shutil.disk_usage(settings.home).free < FREE_BYTES_OF_A_FULL_DISK
        raise LocalError(
            f"{' and '.join(names)} stopped running. The end of {log}:\n{processes.last_lines(log)}\n\n"
            f"{' and '.join(names)} stopped running{', for the disk is full' if full else ''}. "
            f"The work done so far is kept; {'free some space and ' if full else ''}"
            "run the same command again to take it up."
        )


def _record(settings: Settings, running: Running, name: str, process: psutil.Process) -> Running:
    """Write the record after each single start, so that an interrupted start can be cleaned up too."""
    grown = replace(running, services=running.services | {name: (process.pid, process.create_time())})
    write_private(settings.home / "services.json", json.dumps(grown.__dict__))
    return grown


def _commands(settings: Settings) -> dict[str, list[str]]:
    """What runs beside Postgres, in order. Nothing secret is an argument: `ps` shows those to everybody."""
    local = ["--host", "127.0.0.1", "--workers", "1", "--port"]
    artifacts = [
        "--serve-artifacts",
        "--artifacts-destination",
        (settings.home / "mlflow-artifacts").as_uri(),
    ]
    return {
        "mlflow": [PYTHON, "-m", "mlflow", "server", *local, str(settings.mlflow_port), *artifacts],
        "api-server": [*AIRFLOW, "api-server", *local, str(settings.airflow_port)],
        "scheduler": [PYTHON, "-m", "local.scheduler"],
        "dag-processor": [*AIRFLOW, "dag-processor"],
        "triggerer": [*AIRFLOW, "triggerer", "--skip-serve-logs"],
    }


def _migrate(settings: Settings, environment: dict[str, str]) -> None:
    """Bring Airflow's tables to this version, unless that was done: the command needs seconds to see it."""
    stamp = settings.airflow_home / "migrated"
    version = importlib.metadata.version("apache-airflow")
    if stamp.exists() and stamp.read_text() == version:
        return
    log = settings.logs / "migrate.log"
    with log.open("ab") as output:
        result = subprocess.run(
            [*AIRFLOW, "db", "migrate"],
            env=environment,
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode:
        raise LocalError(f"`airflow db migrate` failed. The end of {log}:\n{processes.last_lines(log)}")
    stamp.write_text(version)


def _forget_dead_jobs(settings: Settings) -> None:
    """Tell Airflow that its components of an earlier start are gone.

    A new scheduler then takes up their tasks at once, instead of when their heartbeats have become too old.
    """
    with closing(postgres.connect(settings, "airflow")) as connection, connection.cursor() as cursor:
        cursor.execute("update job set state = 'failed', end_date = now() where state = 'running'")
