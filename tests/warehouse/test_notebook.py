"""The notebook on a real Postgres: eight weeks of flights, in a kernel of its own that talks over sockets of files."""

import ast
import json
import os
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from include.dataops import feature_store, preparation, reference
from include.dataops.reference import Way
from include.flights.domain import domain
from include.modelops import evaluation
from tests.conftest import REPO, SCRATCH
from tests.warehouse.chain import build, ingest, value, vouch

NOTEBOOK = REPO / "include" / "flights" / "explore.ipynb"
FIRST, LAST = date(2013, 1, 1), date(2013, 2, 25)

# What the notebook ends with, and whether its kernel may write, and where it listens.
ASK = """
import json
import psutil

try:
    query("delete from ml.decisions returning 1")
    refusal = None
except psycopg2.Error as error:
    refusal = str(error)
listening = [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
_ = sys.stdout.write(json.dumps({
    "found": found, "days": [str(day) for day in (start, measured_from, end)], "hash": rows.data_hash,
    "sampled": [str(day) for day in days["as_of"]], "refusal": refusal, "listening": listening,
}))
"""


@pytest.fixture(scope="module")
def flights(flight_drops: Path, new_database: Callable[[str], str]) -> str:
    """A warehouse with eight weeks of flights and their features; returns its connection."""
    new_database("template1")
    preparation.create_tables(domain)
    reference.load_files(reference.find_files(domain))
    reference.publish(domain, Way.COPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", flight_drops.as_uri())
        ingest(domain, FIRST, LAST)
    vouch(domain, FIRST, LAST)
    build(domain, FIRST, LAST)
    return os.environ["AIRFLOW_CONN_WAREHOUSE"]


@pytest.fixture
def kernel_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Jupyter and matplotlib keep in a home lies in a scratch folder."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(notebook: nbformat.NotebookNode, folder: Path = NOTEBOOK.parent) -> nbformat.NotebookNode:
    """Run all cells in a fresh kernel that starts in `folder`; returns the notebook with its outputs."""
    # The names of the sockets have to be short.
    manager = AsyncKernelManager(transport="ipc", connection_file=str(SCRATCH / f"{uuid4().hex[:8]}.json"))
    client = NotebookClient(notebook, km=manager, timeout=120, resources={"metadata": {"path": str(folder)}})
    return client.execute()


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_ends_with_what_the_functions_of_the_pipeline_give_and_only_reads(flights, kernel_home):
    notebook = read()
    notebook.cells.append(nbformat.v4.new_code_cell(ASK))
    told = json.loads("".join(output.text for output in execute(notebook).cells[-1].outputs))
    start, measured_from, end = map(date.fromisoformat, told["days"])
    assert (start, measured_from, end) == (FIRST, date(2013, 1, 27), date(2013, 2, 9))
    assert (LAST - end).days == domain.label_days + domain.windows.gate
    assert all(start <= date.fromisoformat(day) < measured_from for day in told["sampled"])
    assert len(set(told["sampled"])) == 21

    training = feature_store.training_set(domain, start, end)
    assert told["hash"] == training.data_hash
    keys, features = training.frames()
    labels, later = keys["label"].to_numpy(), (keys["as_of"] >= measured_from).to_numpy()
    candidate = domain.candidate("logistic_regression")
    model = candidate.estimator().fit(features[~later], labels[~later])
    probabilities = model.predict_proba(features[later])[:, 1]
    measures = evaluation.measures(labels[later], probabilities, domain.costs)
    days = keys.loc[later, "as_of"].to_numpy()
    intervals = evaluation.intervals(labels[later], probabilities, days, domain.costs)
    assert told["found"][candidate.title] == {
        name: pytest.approx([value, *intervals[name]], rel=1e-9) for name, value in measures.items()
    }
    assert len(told["found"]) == 3
    assert "read-only transaction" in told["refusal"]
    # Over one port the kernel collects what its children print.
    assert set(told["listening"]) <= {"127.0.0.1"}


def test_outcomes_that_take_a_drop_more_are_late_as_it_says(flights):
    share = "select avg(label::int)::float from features.labels where as_of {} event_day + 1"
    assert value(share.format(">")) > 0.9
    assert value(share.format("=")) < 0.4


def refusal(folder: Path = REPO) -> str:
    """The words of the error that the notebook ends with."""
    with pytest.raises(CellExecutionError) as error:
        execute(read(), folder)
    return f"{error.value.ename}: {error.value.evalue}"


def test_where_nothing_runs_it_says_what_to_do_and_makes_nothing(kernel_home, tmp_path, monkeypatch):
    monkeypatch.setenv("FLIGHTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE", raising=False)
    told = f"RuntimeError: No warehouse runs. Run `make up` in {REPO}, or set AIRFLOW_CONN_WAREHOUSE."
    assert refusal() == told
    assert not (tmp_path / "home").exists()


def test_it_finds_what_the_local_runtime_started_and_says_what_a_warehouse_lacks(
    postgres, new_database, kernel_home, tmp_path, monkeypatch
):
    new_database("template1")
    preparation.create_tables(domain)
    not_built = os.environ["AIRFLOW_CONN_WAREHOUSE"]
    gone = json.dumps({"conn_type": "postgres", "host": str(tmp_path), "schema": "warehouse", "login": "postgres"})
    monkeypatch.setenv("FLIGHTLINE_HOME", str(SCRATCH / "pg"))
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    notebook = read()
    connect, query = code_of(notebook)[:2]
    switches = [
        nbformat.v4.new_code_cell(f'os.environ["AIRFLOW_CONN_WAREHOUSE"] = {other!r}') for other in (not_built, gone)
    ]
    notebook.cells = [connect, query, switches[0], deepcopy(query), switches[1], deepcopy(query)]
    for cell in notebook.cells:
        cell.metadata["tags"] = ["raises-exception"]
    told = [output.evalue for cell in execute(notebook).cells for output in cell.outputs if "evalue" in output]
    assert told[:2] == [
        "The warehouse has no tables yet. Run `make run`, or trigger prepare_project.",
        "No day is built yet. Run `make run`, or trigger backfill_features.",
    ]
    assert told[2].startswith("No warehouse answers. Run `make up`, or mend AIRFLOW_CONN_WAREHOUSE. connection to")
    assert len(told) == 3


def test_outside_the_project_it_says_where_to_start(kernel_home, tmp_path):
    assert "is not inside the project" in refusal(tmp_path)


def test_it_is_stored_without_outputs_and_with_names_for_its_cells():
    notebook = read()
    nbformat.validate(notebook)
    assert [(cell.outputs, cell.execution_count) for cell in code_of(notebook)] == [([], None)] * len(code_of(notebook))
    assert all(re.fullmatch("[a-z-]+", cell.id) and not cell.metadata for cell in notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


def test_every_name_that_it_imports_from_the_project_exists():
    names = {
        (node.module, name.name)
        for cell in code_of(read())
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in {"include", "local"}
        for name in node.names
    }
    assert ("include.modelops", "evaluation") in names
    for module, name in names:
        if not hasattr(import_module(module), name):
            import_module(f"{module}.{name}")


def test_every_file_that_it_sends_people_to_exists():
    text = " ".join(cell.source for cell in read().cells)
    named = set(re.findall(r"`((?:include|docs)/[\w/.-]+)`", text))
    assert named == {"include/flights/model.py", "include/flights/domain.py", "docs/new-feature.md"}
    assert all((REPO / name).exists() for name in named)
