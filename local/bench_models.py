"""What the models cost: scoring a year against `predict_proba` on the same matrix in memory, and a training on a year.

- `score_vs_predict_proba`: of the model that a training of all candidates registers; one figure more a candidate, so
  that none is hidden behind the winner.
- `train_seconds`, `train_peak_mb`: one process that freezes, fits, calibrates, validates and registers all candidates.

What is measured runs in a fresh process, `python -m local.bench_models train | score`.
"""

import json
import resource
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from signal import SIGKILL, SIGTERM

from local import bench_drift, bench_features, bench_server, postgres, processes
from local.bench_server import RUN, Bench, Figures
from local.settings import REPO, LocalError

MODULE = "local.bench_models"
ROUNDS = 3
MLFLOW_WITHIN_SECONDS = 120.0


def measure() -> Figures:
    """The seconds, ratios and megabytes, and those of drift, which needs the same year of features.

    There is a server of Postgres and one of MLflow for this measurement only.
    """
    with bench_server.server() as without_registry, registry(without_registry) as bench:
        bench_server.say("Building a year of features, and training all candidates on it")
        bench.run(bench_features.MODULE, "prepare")
        bench.run(bench_features.MODULE, "chunks")
        with closing(postgres.connect(bench.settings, "warehouse")) as connection, connection.cursor() as cursor:
            cursor.execute("vacuum (analyze)")  # else the server does so in the midst of a measurement
        return _measure(bench) | bench_drift.measure(bench)


def _measure(bench: Bench) -> Figures:
    from include.flights.domain import domain

    trained = bench.run(MODULE, "train")
    figures = {"train_seconds": trained["seconds"], "train_peak_mb": trained["peak_mb"]}
    winner = int(trained["version"])
    figures |= _scoring(bench, winner, "")
    for candidate in domain.candidates:
        bench_server.say(f"Training and scoring with {candidate.name} alone")
        alone = int(bench.run(MODULE, "train", candidate.name)["version"])
        figures |= _scoring(bench, alone, f".{candidate.name}")
    return figures


def _scoring(bench: Bench, version: int, suffix: str) -> Figures:
    """A year scored end to end, the median of all rounds, over the fastest of all calls of `predict_proba`."""
    rounds = []
    for number in range(ROUNDS):
        with bench.fresh_database(f"scoring_{version}_{number}") as database:
            rounds.append(bench.run(MODULE, "score", str(version), database=database))
    seconds = statistics.median(found["seconds"] for found in rounds)
    predict = min(found["predict_seconds"] for found in rounds)
    return {
        f"score_vs_predict_proba{suffix}": seconds / predict,
        f"score_year_seconds{suffix}": seconds,
        f"predict_proba_seconds{suffix}": predict,
    }


@contextmanager
def registry(bench: Bench) -> Iterator[Bench]:
    """The same bench with a registry of models, for this block only."""
    (port,) = bench_server.free_ports(1)
    address = f"http://127.0.0.1:{port}"
    environment = bench.environment | {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "FLIGHTLINE_CACHE": str(bench.home / "cache"),
        "NO_PROXY": "127.0.0.1",
    }
    stored = ["--backend-store-uri", f"sqlite:///{bench.home}/mlflow.db", "--serve-artifacts"]
    stored += ["--artifacts-destination", (bench.home / "artifacts").as_uri()]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = bench.home / "mlflow.log"
    server = processes.spawn([*command, *stored], environment, log, folder=REPO)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + MLFLOW_WITHIN_SECONDS
        while True:
            with suppress(OSError), opener.open(f"{address}/health", timeout=5) as reply:
                if reply.status == 200:
                    break
            if not processes.is_alive(server) or time.monotonic() > end:
                raise LocalError(f"MLflow did not start. The end of its log:\n{processes.last_lines(log)}")
            time.sleep(0.2)
        yield replace(bench, environment=environment)
    finally:
        family = [server, *server.children(recursive=True)] if processes.is_alive(server) else []
        processes.send(family, SIGTERM)
        processes.send(processes.wait_gone(family, 10), SIGKILL)


def train(*names: str) -> Figures:
    """Seconds and peak memory in MB of one training on the whole year, of all candidates or those named."""
    from include.flights.domain import domain
    from include.modelops import training

    chosen = replace(domain, candidates=tuple(c for c in domain.candidates if not names or c.name in names))
    _, as_of = bench_features.year_of(domain)
    started = time.perf_counter()
    snapshot = training.freeze_snapshot(chosen, as_of, RUN)
    for candidate in chosen.candidates:
        training.fit_candidate(chosen, candidate.name, snapshot)
        training.calibrate_candidate(chosen, candidate.name, snapshot)
    validated = [training.validate_candidate(chosen, candidate.name, snapshot) for candidate in chosen.candidates]
    version = training.register_challenger(chosen, snapshot, validated)
    training.remove_snapshot(chosen, as_of, RUN)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return {
        "seconds": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "version": version,
    }


def score(number: str) -> Figures:
    """Seconds to score the year with a version, after a day that imports what it takes, and those of `predict_proba`.

    Both use the model as the registry gives it; the matrix is that of the feature store.
    """
    from include.core import warehouse
    from include.dataops import feature_store
    from include.flights.domain import domain
    from include.modelops import registry as models
    from include.modelops import scoring

    first, last = bench_features.year_of(domain)
    with warehouse.transaction() as cursor:
        version = models.read_version(cursor, int(number))
    scoring.score_days(domain, first, first, version, RUN)
    started = time.perf_counter()
    rows = sum(scoring.score_days(domain, first, last, version, RUN).values())
    seconds = time.perf_counter() - started
    _, features = feature_store.training_set(domain, first, last, labels=False).frames()
    if len(features) != rows:
        raise LocalError(f"{rows} rows were scored, and the year has {len(features)}.")
    model = models.load(domain, version)
    predicted = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        model.predict_proba(features)
        predicted.append(time.perf_counter() - started)
    return {"seconds": seconds, "predict_seconds": min(predicted), "rows": rows}


def main(command: str, *arguments: str) -> int:
    """One measurement in this process, as JSON."""
    try:
        match command:
            case "train":
                figures = train(*arguments)
            case "score":
                figures = score(*arguments)
            case _:
                figures = measure()
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["measure"]))
