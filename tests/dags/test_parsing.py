"""A DAG file is parsed over and over: it has to be quick, and to leave heavy libraries to the tasks."""

import json
import subprocess
import sys

import pytest

from tests.conftest import REPO
from tests.dags.conftest import DAG_FILES

SECONDS = 0.5  # of CPU time, on a machine that is busy with other tests
HEAVY = {
    "pandas",
    "numpy",
    "sklearn",
    "mlflow",
    "soda",
    "skops",
    "psycopg2",
    "scipy",
    "pyarrow",
    "botocore",
    "s3fs",
    "apprise",
}


@pytest.fixture(scope="module")
def parsed():
    command = [sys.executable, "-W", "ignore", "-m", "tests.dags.parse_files", "5", *map(str, DAG_FILES)]
    result = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_file_is_parsed_in_a_moment(parsed, file):
    assert parsed[str(file)]["seconds"] < SECONDS


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_no_heavy_library_is_imported_to_parse_a_file(parsed, file):
    imported = set(parsed[str(file)]["imported"])
    assert "include" in imported  # the measure does see what comes in
    assert not imported & HEAVY
