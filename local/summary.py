"""The end of `make run`: figures on the screen and in `.local/run.json`."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from include.core.domain import Domain
from local import ledger
from local.replay import Outcome
from local.settings import Settings, write_private


def collect(
    settings: Settings,
    domain: Domain,
    outcome: Outcome,
    dag_runs: dict[str, dict[str, int]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Everything that is told about a run, by name."""
    replayed = outcome.replayed_days
    return {
        "domain": domain.name,
        "first_day": domain.first_day,
        "last_day": outcome.last_day,
        **ledger.read_summary(settings),
        "dag_runs": dag_runs,
        "seconds": seconds,
        "replayed_days": replayed,
        "seconds_per_day": round(seconds["replay"] / replayed, 2) if replayed and "replay" in seconds else None,
        "problems": outcome.problems,
    }


def write(settings: Settings, figures: dict[str, Any]) -> None:
    """Keep the figures for `make bench` and for whoever asks later."""
    write_private(settings.home / "run.json", json.dumps(figures, indent=2, default=str) + "\n")


def show(settings: Settings, figures: dict[str, Any]) -> None:
    """Print the figures, what went wrong, and where to look next."""
    console = Console()
    table = Table(title=f"{figures['domain']}: {figures['first_day']} to {figures['last_day']}", show_header=False)
    for name, value in _lines(figures):
        table.add_row(name, value)
    console.print(table)
    for problem in figures["problems"]:
        console.print(f"failed: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if figures["problems"]:
        console.print(
            f"Logs of tasks: {settings.airflow_home / 'logs'}\nLogs of services: {settings.logs}",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"Figures: {settings.home / 'run.json'}", highlight=False, soft_wrap=True)
    console.print(
        f"Look around: make up, then {settings.airflow_url} (Airflow) and {settings.mlflow_url} (MLflow)",
        highlight=False,
        soft_wrap=True,
    )


def _lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    champion, matured = figures["champion"], figures["matured"]
    lines = [("days ingested", str(figures["days_ingested"]))]
    for source, rows in figures["sources"].items():
        lines.append(
            (
                source,
                f"{rows['rows_in_files']:,} lines = {rows['rows_raw']:,} raw "
                f"+ {rows['rows_quarantined']:,} quarantined",
            )
        )
    lines += [
        (
            "feature rows",
            f"{figures['feature_rows']:,} in {len(figures['feature_rows_by_view'])} views",
        ),
        ("trainings", str(figures["trainings"])),
        ("champion", f"v{champion['version']}, {champion['candidate']}" if champion else "none"),
        ("days scored", str(figures["days_scored"])),
        (
            "matured",
            f"{matured['days']} days"
            + "".join(
                f", {name} {matured[name]:.4f}" for name in ("roc_auc", "ece", "cost") if matured[name] is not None
            ),
        ),
        (
            "DAG runs",
            ", ".join(f"{sum(states.values())} {dag_id}" for dag_id, states in figures["dag_runs"].items()),
        ),
        ("seconds", ", ".join(f"{name} {value:.0f}" for name, value in figures["seconds"].items())),
    ]
    if figures["seconds_per_day"] is not None:
        lines.append(("seconds a day", f"{figures['seconds_per_day']:.1f} over {figures['replayed_days']} days"))
    return lines
