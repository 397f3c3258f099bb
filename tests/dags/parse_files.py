"""Parse DAG files, each in a fresh fork of a process that has imported Airflow, and tell what it took.

Run as a program: `python -m tests.dags.parse_files TRIES FILE...` prints {file: {"seconds", "imported"}} as JSON.
`seconds` is the CPU time of the shortest try, which other work on the machine changes little; `imported` the top-level
packages that came in with the file.
"""

import importlib.util
import json
import os
import sys
import time
import traceback
from importlib import import_module

AIRFLOW = (
    "airflow.providers.standard.operators.hitl",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.decorators.external_python",
    "airflow.providers.standard.decorators.branch_python",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.providers.standard.decorators.sensor",
    "airflow.sdk.definitions.asset",
    "airflow.triggers.base",
    "airflow.dag_processing.dagbag",
)
NAMES = (
    "BaseHook",
    "BaseOperator",
    "CronPartitionTimetable",
    "ExceptionRetryPolicy",
    "Param",
    "PartitionedAssetTimetable",
    "RetryAction",
    "RetryRule",
    "TriggerRule",
    "dag",
    "task",
    "task_group",
)


def main(tries: int, files: list[str]) -> None:
    """Import what every DAG processor has imported anyway, then fork for each try."""
    for module in AIRFLOW:
        import_module(module)
    sdk = import_module("airflow.sdk")
    for name in NAMES:
        getattr(sdk, name)
    found = {}
    for file in files:
        measured = [_parse_in_fork(file) for _ in range(tries)]
        found[file] = {"seconds": min(entry["seconds"] for entry in measured), "imported": measured[0]["imported"]}
    print(json.dumps(found))  # noqa: T201


def _parse_in_fork(file: str) -> dict:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = {name.partition(".")[0] for name in sys.modules}
            began = time.process_time()
            spec = importlib.util.spec_from_file_location("parsed", file)
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
            seconds = time.process_time() - began
            imported = sorted({name.partition(".")[0] for name in sys.modules} - before)
            os.write(writer, json.dumps({"seconds": seconds, "imported": imported}).encode())
        except BaseException:  # noqa: BLE001 - the fork must never go on as its parent
            traceback.print_exc()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
