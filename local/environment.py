"""The environment of the services, and the secrets in it.

Everything is an environment variable, as in a deployment: no configuration file is written.
"""

import base64
import json
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from local.postgres import READER
from local.settings import ADMIN, MARKER, REPO, Settings, write_private

# Settings of the user's shell that would lead the services elsewhere.
FOREIGN_PREFIXES = ("AIRFLOW_", "_AIRFLOW_", "MLFLOW_", "PG", "PYTHON", "VIRTUAL_ENV")
# Made by local/bootstrap.py. Where it is not, the reference tables are loaded without the Astro SDK.
ASTRO_SDK_PYTHON = REPO / ".venv-astro-sdk" / "bin" / "python"


def load_secrets(settings: Settings) -> dict[str, str]:
    """Keys and the admin password: made at the first start and kept, for the fernet key must not change."""
    path = settings.home / "secrets.json"
    if not path.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        fresh = {
            "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "api_secret_key": secrets.token_urlsafe(48),
            "jwt_secret": secrets.token_urlsafe(64),
            "admin_password": secrets.token_urlsafe(18),
        }
        write_private(path, json.dumps(fresh))
    kept: dict[str, str] = json.loads(path.read_text())
    write_private(settings.password_file, json.dumps({ADMIN: kept["admin_password"]}))
    return kept


def service_environment(settings: Settings, socket_folder: Path, patience: int | None = None) -> dict[str, str]:
    """The environment of every service, and through them of every task.

    `patience`: seconds after which a question to a person takes its default answer; a wait for what a person would
    have to bring ends after six times as many. Set when nobody is there.
    """
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(FOREIGN_PREFIXES) or key.startswith("AIRFLOW_CONN_")
    }
    keys = load_secrets(settings)
    host = quote(str(socket_folder), safe="")
    warehouse = {
        "conn_type": "postgres",
        "host": str(socket_folder),
        "schema": "warehouse",
        "login": "postgres",
    }
    loopback = ",".join(filter(None, [inherited.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    environment = inherited | {
        MARKER: str(settings.home),
        "FLIGHTLINE_HOME": str(settings.home),
        # A process that renames itself (postgres, Airflow's workers) would overwrite its own environment.
        "SPT_NOENV": "1",
        "PATH": os.pathsep.join([str(REPO / ".venv" / "bin"), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": str(REPO),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "DO_NOT_TRACK": "true",
        "SCARF_ANALYTICS": "false",
        "FLIGHTLINE_CACHE": str(settings.home / "cache"),
        # Candidates are fitted side by side: one thread each is faster than all of them on every core, and the
        # sums come out the same on any machine.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "LANDING_URI": inherited.get("LANDING_URI") or settings.landing.as_uri(),
        "COLD_URI": inherited.get("COLD_URI") or settings.cold.as_uri(),
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://postgres@/mlflow?host={host}",
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse),
        "AIRFLOW_CONN_WAREHOUSE_READER": json.dumps({**warehouse, "login": READER}),
    }
    for name, value in _airflow_options(settings, keys, host).items():
        environment[f"AIRFLOW__{name}"] = value
    if ASTRO_SDK_PYTHON.exists():
        environment.setdefault("ASTRO_SDK_PYTHON", str(ASTRO_SDK_PYTHON))
    # A day may wait for the one before it just because the machine is busy: a wait is given more time than a question.
    for name, times in (("FLIGHTLINE_ANSWER_WITHIN_SECONDS", 1), ("FLIGHTLINE_WAIT_SECONDS", 6)):
        environment.pop(name, None)
        if patience is not None:
            environment[name] = str(times * patience)
    return environment


def _airflow_options(settings: Settings, keys: dict[str, str], host: str) -> dict[str, str]:
    """Airflow's configuration as SECTION__OPTION, with shorter intervals than the defaults."""
    return {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(settings.dags),
        "CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "6",
        # A consumer of a Dataset that is paused loses its events.
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__FERNET_KEY": keys["fernet_key"],
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(settings.password_file),
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        # The default looks the host's name up in DNS, which can take seconds on a laptop that is offline.
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@/airflow?host={host}",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(settings.airflow_port),
        "API__BASE_URL": settings.airflow_url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": keys["api_secret_key"],
        "API_AUTH__JWT_SECRET": keys["jwt_secret"],
        # A new file is seen within seconds; one that did not change is not parsed over and over.
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
        "CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
        "SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "20",
        # The work of a scheduler or worker that was killed is taken up again in well under a minute.
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
        "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "5",
        "WORKERS__EXECUTION_API_TIMEOUT": "30",
        # No log server runs (theirs listen on every interface); the ports follow, should one be started.
        "LOGGING__WORKER_LOG_SERVER_PORT": str(settings.airflow_port + 1),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(settings.airflow_port + 2),
        "LOGGING__COLORED_CONSOLE_LOG": "False",
    }
