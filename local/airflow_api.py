"""The few calls to Airflow's REST API that the replay needs."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from local.environment import load_secrets
from local.settings import ADMIN, LocalError, Settings

PAGE = 100
ACTIVE = ("queued", "running")


class AirflowApi:
    """A client that logs in by itself, again when the token has become too old."""

    def __init__(self, settings: Settings) -> None:
        self._password = load_secrets(settings)["admin_password"]
        # A proxy of the environment must not be asked for loopback.
        self._client = httpx.Client(base_url=settings.airflow_url, trust_env=False, timeout=60)

    def dag_ids(self) -> set[str]:
        """The DAGs that were parsed so far."""
        return {dag["dag_id"] for dag in self._pages("/dags", "dags")}

    def import_errors(self) -> list[str]:
        """`file: last line of the traceback` of every DAG file that does not import."""
        return [
            f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}"
            for error in self._pages("/importErrors", "import_errors")
        ]

    def runs(self, dag_id: str = "~", states: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """DAG runs, of all DAGs by default, oldest first."""
        return list(self._pages(f"/dags/{dag_id}/dagRuns", "dag_runs", state=list(states), order_by="id"))

    def count_runs(self, states: tuple[str, ...]) -> int:
        """Number of runs in these states, over all DAGs."""
        reply = self._call("GET", "/dags/~/dagRuns", params={"state": list(states), "limit": 1})
        return int(reply.json()["total_entries"])

    def runs_by_state(self) -> dict[str, dict[str, int]]:
        """Number of runs per DAG and state."""
        counted: dict[str, Counter[str]] = {}
        for run in self.runs():
            counted.setdefault(run["dag_id"], Counter())[run["state"]] += 1
        return {dag_id: dict(sorted(states.items())) for dag_id, states in sorted(counted.items())}

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any], partition_key: str | None = None) -> None:
        """Start a run under a name of its own; asking twice for the same name starts it once."""
        body = {"dag_run_id": run_id, "conf": conf, "logical_date": None, "partition_key": partition_key}
        self._call("POST", f"/dags/{dag_id}/dagRuns", json=body, allow=(409,))

    def clear_failed(self, dag_id: str, run_id: str) -> None:
        """Do the failed tasks of a run again, and what they kept from starting."""
        body = {"dag_run_id": run_id, "only_failed": True, "dry_run": False, "reset_dag_runs": True}
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each task of a run."""
        tasks = self._pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        return {task["task_id"]: task["state"] for task in tasks}

    def failed_tasks(self, dag_id: str, run_id: str) -> list[str]:
        """Ids of the tasks that failed in a run."""
        tasks = self._pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances", state=["failed"])
        return sorted({task["task_id"] for task in tasks})

    def backfills(self, dag_id: str) -> list[dict[str, Any]]:
        """Every backfill of a DAG, those that are over included."""
        return list(self._pages("/backfills", "backfills", dag_id=dag_id))

    def create_backfill(self, dag_id: str, first: str, last: str) -> None:
        """Ask for the missing runs of the days `first` to `last`, both included, one run at a time.

        The end is the last second of its day: a bound at midnight would leave out that day's own run.
        """
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00",
            "to_date": f"{last}T23:59:59",
            "max_active_runs": 1,
            "reprocess_behavior": "none",
        }
        self._call("POST", "/backfills", json=body)

    def unpause_backfill(self, number: int) -> None:
        """Let a backfill go on that somebody paused."""
        self._call("PUT", f"/backfills/{number}/unpause", allow=(409,))

    def open_questions(self) -> int:
        """How many human-in-the-loop tasks wait for an answer."""
        path = "/dags/~/dagRuns/~/hitlDetails"
        reply = self._call("GET", path, params={"response_received": False, "state": "awaiting_input", "limit": 1})
        return int(reply.json()["total_entries"])

    def _pages(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            found = self._call("GET", path, params={**query, "limit": PAGE, "offset": offset}).json()[key]
            yield from found
            if len(found) < PAGE:
                return
            offset += PAGE

    def _call(self, method: str, path: str, *, allow: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        """One call, patient with a server that is busy: connection trouble is tried again for reads."""
        for attempt in range(4):
            try:
                reply = self._client.request(method, f"/api/v2{path}", **request)
            except httpx.HTTPError as error:
                if attempt == 3 or method != "GET":
                    raise LocalError(f"Airflow did not answer {method} {path}: {error}") from error
                time.sleep(1 + attempt)
                continue
            if reply.status_code == 401 and attempt < 3:
                self._log_in()
                continue
            if reply.is_success or reply.status_code in allow:
                return reply
            raise LocalError(f"Airflow refused {method} {path} ({reply.status_code}): {reply.text[:500]}")
        raise LocalError(f"Airflow did not accept the admin password for {method} {path}. Run: make stop, then again.")

    def _log_in(self) -> None:
        reply = self._client.post("/auth/token", json={"username": ADMIN, "password": self._password})
        if reply.is_success:
            self._client.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
