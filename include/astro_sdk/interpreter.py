"""Find the interpreter that has the Astro SDK, tell whether it works, and hand the connection over to it.

`ASTRO_SDK_PYTHON` names it; where that is not set, the one that our image holds counts, if it is there. Set to
nothing, it says that there is none. Where there is none, the reference tables are loaded without the Astro SDK.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

VARIABLE = "ASTRO_SDK_PYTHON"
OF_THE_IMAGE = "/usr/local/airflow/astro_sdk/bin/python"
# Asks the installed packages only: importing the Astro SDK takes ten seconds, and the load does that anyway.
PROBE = "from importlib.metadata import version; print(version('astro-sdk-python'))"
PROBE_SECONDS = 60
WAYS_OUT = (
    f" Make it from include/astro_sdk/requirements.lock (`make bootstrap` does so here, the Dockerfile in the image),"
    f" or set {VARIABLE} to nothing ({VARIABLE}=) to load the reference tables without the Astro SDK. The tables are"
    " as they were."
)


class UnusableInterpreterError(RuntimeError):
    """An interpreter that was named and can't be used; the message says why, and what to do."""


def configured_path() -> str:
    """The path of the interpreter, whether or not there is anything. Cheap: the DAG file asks for it."""
    return os.environ.get(VARIABLE) or OF_THE_IMAGE


def find_interpreter() -> str | None:
    """The path of an interpreter that has the Astro SDK, or None where a deployment has none.

    Raises UnusableInterpreterError for one that is named and not there, does not start, or lacks the Astro SDK.
    """
    named = os.environ.get(VARIABLE)
    if named == "" or (named is None and not Path(OF_THE_IMAGE).exists()):
        return None
    python = configured_path()
    told = f"{VARIABLE} names {python}" if named else f"There is {python}"
    if not Path(python).is_file():
        raise UnusableInterpreterError(f"{told}, and no file is there.{WAYS_OUT}")
    try:
        # Without this environment, as the load itself runs.
        subprocess.run([python, "-c", PROBE], env={}, check=True, capture_output=True, text=True, timeout=PROBE_SECONDS)
    except OSError as error:
        raise UnusableInterpreterError(f"{told}, and it cannot be started: {error.strerror}.{WAYS_OUT}") from error
    except subprocess.TimeoutExpired as error:
        raise UnusableInterpreterError(
            f"{told}, and it does not answer within {PROBE_SECONDS} seconds.{WAYS_OUT}"
        ) from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
        raise UnusableInterpreterError(f"{told}, and it does not have the Astro SDK: {said}.{WAYS_OUT}") from error
    return python


def hand_over_connection(context: Any) -> None:
    """A `pre_execute` hook: put the connection `warehouse` into the environment of the other interpreter.

    Set when the task's fields are rendered already, so that no password and no `extra` is among what the UI shows.
    """
    from airflow.sdk import BaseHook

    from include.core.warehouse import CONNECTION_ID

    known = BaseHook.get_connection(CONNECTION_ID)
    connection = {
        "conn_type": "postgres",
        "host": known.host,
        "port": known.port or 5432,
        "schema": known.schema,
        "login": known.login,
        "password": known.password,
        # As text: Airflow 2 makes a URL of it, and hides a value that is none under a name that libpq refuses.
        "extra": {key: str(value) for key, value in known.extra_dejson.items()},
    }
    context["task"].env_vars = {f"AIRFLOW_CONN_{CONNECTION_ID.upper()}": json.dumps(connection)}
