"""Measure the figures that the documents give, and keep them in `.local/bench.json`, one number by name.

python -m local.bench
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local import bench_board, bench_features, bench_ingest, bench_models
from local.settings import REPO, LocalError, Settings, load, write_private

# What Airflow alone needs for a day of six trivial tasks in five partitioned DAGs, on the same two cores.
FLOOR_SECONDS_PER_DAY = 2.2


def main() -> int:
    """Measure, print a table, write the file."""
    try:
        here = load()
        measured = {**measure_parsing(here.dags), **bench_ingest.measure(), **bench_features.measure()}
        report(here, {**measured, **bench_models.measure(), **bench_board.measure(), **read_replay(here)})
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def report(settings: Settings, figures: dict[str, Any]) -> None:
    """Print the figures, and put them into the file beside those that other commands measured."""
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)
    path = settings.home / "bench.json"
    try:
        known = json.loads(path.read_text()) if path.exists() else {}
        merged = {**known, **figures}
    except (ValueError, TypeError) as error:
        raise LocalError(f"{path} does not hold figures ({error}). Remove it, then measure again.") from error
    settings.home.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(merged, indent=2) + "\n")


def measure_parsing(dags: Path) -> dict[str, float]:
    """Seconds to parse each DAG file alone, and all of them one after the other, with Airflow already imported."""
    with tempfile.TemporaryDirectory() as home:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
        environment |= {"AIRFLOW_HOME": home, "PYTHONPATH": str(REPO), "LANDING_URI": Path(home).as_uri()}
        command = [sys.executable, "-m", "local.bench", "parse", str(dags)]
        result = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise LocalError(f"The DAG files did not parse:\n{result.stderr.strip()}")
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def read_replay(settings: Settings) -> dict[str, Any]:
    """Seconds a day of the last `make run` that replayed something. Nothing when there was none."""
    path = settings.home / "run.json"
    seconds = json.loads(path.read_text()).get("seconds_per_day") if path.exists() else None
    if seconds is None:
        print("No replay to read: run `make clean run` first for the seconds a day.", file=sys.stderr)
        return {}
    ratio = round(seconds / FLOOR_SECONDS_PER_DAY, 2)
    return {"seconds_per_day": seconds, "floor_seconds_per_day": FLOOR_SECONDS_PER_DAY, "ratio_to_floor": ratio}


def time_parsing(dags: Path) -> dict[str, float]:
    """Fork for each measurement, so that all start from the same state: Airflow imported, nothing of the project."""
    for name in ("airflow.sdk", "airflow.providers.standard.operators.python"):
        importlib.import_module(name)
    files = sorted(dags.glob("*.py"))
    figures = {"dag_parse_seconds": in_a_fork(files)}
    for file in files:
        figures[f"dag_parse_seconds.{file.stem}"] = in_a_fork([file])
    return figures


def in_a_fork(files: list[Path]) -> float:
    """Seconds to execute these files in a child process."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        try:
            started = time.perf_counter()
            for file in files:
                spec = importlib.util.spec_from_file_location(f"parsed_{file.stem}", file)
                if spec is None or spec.loader is None:
                    raise ImportError(f"{file} is not a Python file")
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            os.write(writer, f"{time.perf_counter() - started:.4f}".encode())
            code = 0
        finally:
            if code:
                sys.excepthook(*sys.exc_info())
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as result:
        text = result.read()
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(1)
    return float(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["parse"]:
        print(json.dumps(time_parsing(Path(sys.argv[2]))))
    else:
        sys.exit(main())
