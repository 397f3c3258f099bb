"""Show how far the replay is: a live table on a terminal, a plain line now and then elsewhere."""

import sys
import time
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from local.ledger import STAGES, Snapshot

DAG_OF_STAGE = {
    "ingested": "ingest_sources",
    "checked": "check_quality",
    "built": "build_features",
    "scored": "score_batch",
    "monitored": "monitor_drift",
}
LINE_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class State:
    """One moment: what is done of `days` days, and how many runs and open questions there are."""

    phase: str
    days: int = 0
    snapshot: Snapshot = field(default_factory=Snapshot)
    active: int = 0
    failed: int = 0
    asked: int = 0


class Progress:
    """A context: inside it `show` draws, and `say` leaves a line that stays."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._live: Live | None = None
        self._last_line = ""
        self._last_time = 0.0

    def __enter__(self) -> Self:
        """Take the terminal, if there is one."""
        if sys.stdout.isatty():
            self._live = Live(console=Console(), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """A line that stays."""
        line = f"[{elapsed(self._started)}] {text}"
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def show(self, state: State) -> None:
        """Draw the present state. Without a terminal: only a change, and only every few seconds."""
        if self._live:
            self._live.update(draw(state, elapsed(self._started)))
            return
        line, now = describe(state), time.monotonic()
        if line != self._last_line and now - self._last_time >= LINE_EVERY_SECONDS:
            self._last_line, self._last_time = line, now
            print(f"[{elapsed(self._started)}] {line}", flush=True)


def elapsed(since: float) -> str:
    """Minutes and seconds since a moment of the monotonic clock."""
    minutes, seconds = divmod(int(time.monotonic() - since), 60)
    return f"{minutes:02d}:{seconds:02d}"


def describe(state: State) -> str:
    """One line: days done per stage, the model, the last matured metrics."""
    parts = [f"{stage} {state.snapshot.count(stage)}/{state.days}" for stage in STAGES] if state.days else []
    parts += model_facts(state.snapshot)
    counts = (
        (state.active, "runs active"),
        (state.failed, "runs failed"),
        (state.asked, "questions to a person"),
    )
    parts += [f"{count} {what}" for count, what in counts if count]
    return f"{state.phase}: {', '.join(parts) or 'waiting'}"


def model_facts(snapshot: Snapshot) -> list[str]:
    """The champion and the last matured metrics, as far as there are any."""
    facts = [f"champion v{snapshot.champion}"] if snapshot.champion is not None else []
    facts += [f"ROC-AUC {snapshot.roc_auc:.3f}"] if snapshot.roc_auc is not None else []
    facts += [f"cost {snapshot.cost:.3f}"] if snapshot.cost is not None else []
    return facts


def draw(state: State, time_so_far: str) -> Table:
    """The live table: one row per DAG of the chain."""
    snapshot = state.snapshot
    caption = ", ".join(model_facts(snapshot)) or "no champion yet"
    table = Table(title=f"{state.phase}  {time_so_far}", caption=caption)
    table.add_column("DAG", min_width=16)
    table.add_column("days done", justify="right")
    table.add_column("last day", min_width=18)
    for stage in STAGES:
        done = snapshot.done.get(stage, set())
        progress = f"{len(done)}/{state.days}" if state.days else ""
        table.add_row(DAG_OF_STAGE[stage], progress, str(max(done, default="")))
    trainings = f"{len(snapshot.decided_days)}/{len(snapshot.retrain_days)}"
    table.add_row("train_model", trainings, "decided / asked for")
    table.add_row("runs active", str(state.active), "a person is asked" if state.asked else "")
    table.add_row("runs failed", f"[red]{state.failed}[/red]" if state.failed else "0", "")
    return table
