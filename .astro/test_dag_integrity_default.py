"""What `astro dev parse` runs: every DAG file imports, without a connection, a variable or a database.

It stands in for the test that the Astro CLI writes, which calls DagBag with an argument that Airflow 3.3 no longer
has. That one also answers for connections and variables that a file asks for at import; here asking is an error.
"""

import os
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
EXCEPTIONS = PROJECT / ".astro" / "dag_integrity_exceptions.txt"

os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
sys.path.insert(0, str(PROJECT))

from airflow.dag_processing.dagbag import DagBag  # noqa: E402 - the setting above is read at this import

DAG_FILES = sorted((PROJECT / "dags").glob("**/*.py"))


def relative(file: Path) -> str:
    """The path as dag_integrity_exceptions.txt names it."""
    return file.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("file", DAG_FILES, ids=relative)
def test_file_imports(file: Path) -> None:
    """The file imports, and holds a DAG."""
    if relative(file) in EXCEPTIONS.read_text().splitlines():
        pytest.skip(f"named in {EXCEPTIONS.name}")
    bag = DagBag(file)
    assert not bag.import_errors, "\n".join(bag.import_errors.values())  # noqa: S101 - a test
    assert bag.dags, f"{relative(file)} holds no DAG"  # noqa: S101 - a test
