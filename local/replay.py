"""The story of `make run`: prepare, build the history, then live through the days that follow it.

Every step asks first what is already there, so that a run that was killed is taken up where it ended.
The work itself is done by the DAGs; here it is asked for and waited for.
"""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2

from include.core.domain import Domain
from local import ledger, services
from local.airflow_api import ACTIVE, AirflowApi
from local.progress import Progress, State
from local.settings import LocalError, Settings

DAGS = {
    "prepare_project",
    "ingest_sources",
    "check_quality",
    "build_features",
    "backfill_features",
    "score_batch",
    "monitor_drift",
    "train_model",
    "deploy_model",
    "archive_partitions",
}
HEAD = "ingest_sources"
PARSE_WITHIN_SECONDS = 180.0
POLL_SECONDS = 1.0
# Between a run that ends and the one that its Dataset starts, nothing is active for a moment.
QUIET_SECONDS = 3.0
STALLED_SECONDS = 20.0
NO_CHANGE_SECONDS = 900.0


@dataclass
class Outcome:
    """What happened: seconds per phase, days that this call replayed, and what is wrong (empty is good)."""

    last_day: dt.date
    seconds: dict[str, float] = field(default_factory=dict)
    replayed_days: int = 0
    problems: list[str] = field(default_factory=list)


def list_days(domain: Domain, count: int) -> list[dt.date]:
    """The `count` days after the history, never past the domain's last day."""
    days = [domain.history_through + dt.timedelta(days=offset + 1) for offset in range(count)]
    return [day for day in days if domain.last_day is None or day <= domain.last_day]


def select_missing(days: Sequence[dt.date], runs: Sequence[dict[str, Any]]) -> list[dt.date]:
    """The days that no run of the chain's head stands for, in whatever state that run is."""
    present = {str(run["partition_key"])[:10] for run in runs if run.get("partition_key")}
    return [day for day in days if day.isoformat() not in present]


class Replay:
    """One call of `make run` against services that are up."""

    def __init__(self, settings: Settings, running: services.Running, domain: Domain, progress: Progress) -> None:
        self._settings, self._running, self._domain, self._progress = settings, running, domain, progress
        self._api = AirflowApi(settings)

    def run(self, count: int) -> Outcome:
        """Live through the history and `count` days after it."""
        days = list_days(self._domain, count)
        outcome = Outcome(days[-1] if days else self._domain.history_through)
        history = [self._domain.history_through]
        try:
            self._timed(outcome, "prepare", self._prepare)
            self._timed(outcome, "backfill", lambda: self._build_history(history))
            outcome.replayed_days = self._ask_for(days)
            self._timed(outcome, "replay", lambda: self._settle("replay", days, history + days))
            outcome.problems = self._list_problems(history + days)
        except (LocalError, psycopg2.Error) as error:
            self._watch_services()  # a service that died is the reason for whatever failed after it
            raise LocalError(str(error)) from error
        return outcome

    def runs_by_state(self) -> dict[str, dict[str, int]]:
        """Number of runs per DAG and state."""
        return self._api.runs_by_state()

    def _timed(self, outcome: Outcome, phase: str, step: Callable[[], None]) -> None:
        started = time.monotonic()
        step()
        outcome.seconds[phase] = round(time.monotonic() - started, 1)

    def _prepare(self) -> None:
        """Wait for the DAG files and for the run of `prepare_project` that Airflow makes by itself."""
        self._wait("parse", lambda: self._api.dag_ids() >= DAGS, PARSE_WITHIN_SECONDS, self._explain_parsing)
        for run in self._api.runs(states=("failed",)):
            self._progress.say(f"trying again what failed earlier: {run['dag_id']} {run['dag_run_id']}")
            self._api.clear_failed(run["dag_id"], run["dag_run_id"])
        self._wait("prepare", self._is_prepared, NO_CHANGE_SECONDS, lambda: "prepare_project did not end.")

    def _is_prepared(self) -> bool:
        states = [run["state"] for run in self._api.runs("prepare_project")]
        if states and set(states) <= {"failed"}:
            raise LocalError("prepare_project failed, and nothing can start without it.")
        return "success" in states

    def _build_history(self, history: list[dt.date]) -> None:
        before = ledger.read_snapshot(self._settings, history[0], history[-1])
        if not ledger.find_unfinished(before, history):
            return
        start, end = self._domain.first_day.isoformat(), self._domain.history_through.isoformat()
        if not self._api.runs("backfill_features"):
            self._progress.say(f"building the history of {self._domain.name}, {start} to {end}")
            self._api.trigger(
                "backfill_features", f"history__{start}__{end}", {"start": start, "end": end, "views": []}
            )
        self._settle("history", history, history)

    def _ask_for(self, days: list[dt.date]) -> int:
        """Ask for the days that no run stands for yet. Returns how many days are left to live through."""
        if not days:
            return 0
        snapshot = ledger.read_snapshot(self._settings, days[0], days[-1])
        left = [day for day in days if day not in snapshot.done.get("monitored", set())]
        missing = select_missing(days, self._api.runs(HEAD))
        for backfill in self._api.backfills(HEAD):
            if backfill["completed_at"] is None:
                self._finish_backfill(backfill, [day for day in days if day not in missing] if missing else [])
        if missing:
            self._progress.say(f"replaying {len(missing)} days, {missing[0]} to {missing[-1]}")
            self._api.create_backfill(HEAD, missing[0].isoformat(), missing[-1].isoformat())
        return len(left)

    def _finish_backfill(self, backfill: dict[str, Any], days: list[dt.date]) -> None:
        """Let a backfill of an earlier call go on; wait for its `days` when another one has to follow it.

        Airflow allows one at a time for a DAG, and notices only every 30 seconds that one is over.
        """
        if backfill["is_paused"]:
            self._api.unpause_backfill(backfill["id"])
        if days:
            self._progress.say("finishing the days that were asked for earlier")
            self._settle("replay", days, days)
            self._wait(
                "replay",
                lambda: self._is_complete(backfill["id"]),
                NO_CHANGE_SECONDS,
                lambda: f"Backfill {backfill['id']} of {HEAD} did not end. Look at {self._settings.airflow_url}",
            )

    def _is_complete(self, number: int) -> bool:
        return any(b["id"] == number and b["completed_at"] for b in self._api.backfills(HEAD))

    def _wait(self, phase: str, done: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
        end = time.monotonic() + seconds
        while not done():
            self._watch_services()
            if time.monotonic() > end:
                raise LocalError(explain())
            self._progress.show(State(phase, active=self._api.count_runs(ACTIVE)))
            time.sleep(POLL_SECONDS)

    def _settle(self, phase: str, shown: list[dt.date], expected: list[dt.date]) -> None:
        """Wait until no run is active and the ledger is complete, or until nothing moves any more."""
        quiet_since = changed_at = time.monotonic()
        before: object = None
        while True:
            self._watch_services()
            active, failed = self._api.count_runs(ACTIVE), self._api.count_runs(("failed",))
            snapshot = ledger.read_snapshot(self._settings, expected[0], expected[-1])
            asked = self._api.open_questions() if active else 0
            now = time.monotonic()
            if (state := (active, failed, snapshot)) != before:
                before, changed_at = state, now
            if active:
                quiet_since = now
            self._progress.show(State(phase, len(shown), _only(snapshot, shown), active, failed, asked))
            unfinished = ledger.find_unfinished(snapshot, expected)
            if now - quiet_since >= (STALLED_SECONDS if unfinished else QUIET_SECONDS):
                return
            if now - changed_at > NO_CHANGE_SECONDS and not asked:
                raise LocalError(
                    f"Nothing has changed for {NO_CHANGE_SECONDS / 60:.0f} minutes, with {active} runs "
                    f"active. Look at {self._settings.airflow_url}"
                )
            time.sleep(POLL_SECONDS)

    def _watch_services(self) -> None:
        services.raise_if_dead(self._settings, self._running)

    def _explain_parsing(self) -> str:
        missing = ", ".join(sorted(DAGS - self._api.dag_ids()))
        errors = "\n".join(self._api.import_errors()) or f"See {self._settings.logs / 'dag-processor.log'}"
        return f"Airflow did not find these DAGs: {missing}.\n{errors}"

    def _list_problems(self, expected: list[dt.date]) -> list[str]:
        """Failed runs, and days that did not reach the end of the chain."""
        problems = [
            f"{run['dag_id']} run {run['dag_run_id']} failed in "
            f"{', '.join(self._api.failed_tasks(run['dag_id'], run['dag_run_id'])) or 'no task of its own'}"
            for run in self._api.runs(states=("failed",))
        ]
        return problems + ledger.find_unfinished(
            ledger.read_snapshot(self._settings, expected[0], expected[-1]), expected
        )


def _only(snapshot: ledger.Snapshot, days: list[dt.date]) -> ledger.Snapshot:
    """The same snapshot with the days of one phase only."""
    kept = {stage: done & set(days) for stage, done in snapshot.done.items()}
    return replace(snapshot, done=kept)
