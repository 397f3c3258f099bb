"""Where everything is: paths and ports.

One frozen object instead of module constants, because the tests run several runtimes side by side,
each with a home and ports of its own.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]

# Carried by every process that this runtime starts, and by nothing else: how `stop` finds them all,
# also those whose parent was killed. It is not FLIGHTLINE_HOME, which a user may have exported in a shell.
MARKER = "FLIGHTLINE_SERVICE_OF"

ADMIN = "admin"


class LocalError(Exception):
    """Something the user can act on. Its text is the whole message: what is wrong, and the next step."""


@dataclass(frozen=True)
class Settings:
    """Paths and ports of one runtime. `home` is absolute and holds all of its state."""

    home: Path
    airflow_port: int
    mlflow_port: int
    dags: Path

    @property
    def postgres_data(self) -> Path:
        """The Postgres cluster."""
        return self.home / "postgres"

    @property
    def landing(self) -> Path:
        """The landing zone: one folder a drop."""
        return self.home / "landing"

    @property
    def cold(self) -> Path:
        """Cold storage: the months of `raw` that left the warehouse."""
        return self.home / "cold"

    @property
    def logs(self) -> Path:
        """What the services themselves print. The logs of tasks are in `airflow/logs`."""
        return self.home / "logs"

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder, with the logs of tasks."""
        return self.home / "airflow"

    @property
    def password_file(self) -> Path:
        """Where Airflow reads the admin password."""
        return self.home / "airflow-passwords.json"

    @property
    def airflow_url(self) -> str:
        """Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """MLflow's UI and API."""
        return f"http://127.0.0.1:{self.mlflow_port}"


def _port(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise LocalError(f"{name}={text!r} is not a port. Give a number between 1024 and 65535.")
    return int(text)


def load() -> Settings:
    """Settings of this call, from FLIGHTLINE_HOME, FLIGHTLINE_AIRFLOW_PORT and FLIGHTLINE_MLFLOW_PORT."""
    home = Path(os.environ.get("FLIGHTLINE_HOME") or REPO / ".local").expanduser().absolute()
    if home == REPO or home in REPO.parents:
        raise LocalError(f"FLIGHTLINE_HOME={home} holds more than this runtime's state. Name a folder of its own.")
    return Settings(
        home=home,
        airflow_port=_port("FLIGHTLINE_AIRFLOW_PORT", 8080),
        mlflow_port=_port("FLIGHTLINE_MLFLOW_PORT", 5000),
        dags=Path(os.environ.get("FLIGHTLINE_DAGS_FOLDER") or REPO / "dags").absolute(),
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, never half of it."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)


def port_is_free(port: int) -> bool:
    """True when a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
