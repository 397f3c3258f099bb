"""How fast the Model board shows a year: in a real browser, with an empty cache and again with a full one.

What is measured is served by a process of its own, `python -m local.bench_board serve <port>`: the page alone, on a
warehouse with the year that its tests use, and without a login. Where there is no browser there is no figure.
"""

import statistics
import subprocess
import sys
import time
from contextlib import suppress

from local import bench_server, browser, postgres
from local.bench_server import Bench, Figures
from local.settings import REPO, LocalError

MODULE = "local.bench_board"
ROUNDS = 5
UP_WITHIN_SECONDS = 120.0
# Marks of the page: its texts, the charts that a window shows at first, all charts.
MARKS = ("board-text", "board-in-view", "board-drawn")


def measure() -> Figures:
    """Seconds from the call of the page to each of its marks, medians of five."""
    try:
        browser.find()
    except LocalError as error:
        bench_server.say(f"The Model board is not measured. {error}")
        return {}
    bench_server.say("Loading the Model board with a year of data")
    with bench_server.server() as bench:
        environment = _environment(bench)
        (port,) = bench_server.free_ports(1)
        command = [sys.executable, "-m", MODULE, "serve", str(port)]
        serving = subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.DEVNULL)
        try:
            return _load(f"http://127.0.0.1:{port}/model-board/")
        finally:
            serving.terminate()
            serving.wait()


def _load(url: str) -> Figures:
    _wait_for(url)
    found: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
    for _ in range(ROUNDS):
        with browser.chromium() as chrome:
            browser.resize(chrome, *browser.DESKTOP)
            for rounds in found.values():
                chrome.get(url)
                browser.wait_until(chrome, f"return performance.getEntriesByName('{MARKS[-1]}').length")
                marks = chrome.execute_script(
                    "return performance.getEntriesByType('mark').map(mark => [mark.name, mark.startTime / 1000])"
                )
                rounds.append(dict(marks))
    return {
        f"{mark.replace('-', '_')}_seconds{'' if state == 'cold' else '.cached'}": statistics.median(
            marks[mark] for marks in rounds
        )
        for state, rounds in found.items()
        for mark in MARKS
    }


def _wait_for(url: str) -> None:
    import httpx

    end = time.monotonic() + UP_WITHIN_SECONDS
    while time.monotonic() < end:
        with suppress(httpx.TransportError):
            # The first call loads the page's modules.
            if httpx.get(f"{url}data", trust_env=False, timeout=60).is_success:
                return
        time.sleep(0.5)
    raise LocalError(f"The Model board did not come up at {url}")


def _environment(bench: Bench) -> dict[str, str]:
    import json

    host = str(postgres.socket_folder(bench.settings))
    warehouse = {"conn_type": "postgres", "host": host, "schema": "warehouse", "login": "postgres"}
    return bench.environment | {
        "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse),
        "AIRFLOW_CONN_WAREHOUSE_READER": json.dumps({**warehouse, "login": postgres.READER}),
        "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}",
    }


def serve(port: int) -> None:
    """Write the year, and serve the page until this process is ended."""
    import uvicorn
    from airflow.api_fastapi.core_api.security import get_user
    from board.app import app
    from fastapi import FastAPI

    from include.dataops import preparation
    from tests import board_year
    from tests.toy_domain.domain import domain

    preparation.create_tables(domain)
    board_year.write()
    app.dependency_overrides[get_user] = lambda: None
    whole = FastAPI()
    whole.mount("/model-board", app)
    uvicorn.run(whole, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        for name, value in measure().items():
            print(f"{name} {value:.3f}")
