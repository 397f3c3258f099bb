"""Airflow's scheduler, with the libraries that tasks use imported before it starts.

The LocalExecutor forks its workers from the scheduler, and they fork every task. What is imported here is
shared by all of them, instead of being imported again by each task: on two cores that is most of its time.
Only libraries, never this project's modules: a task has to see the code as it is now.
"""

import gc
import sys
from importlib import import_module
from pathlib import Path

# skops comes before Airflow: it looks into every module that is loaded, which wakes Airflow's deprecated names.
LIBRARIES = (
    "skops.io",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "mlflow.sklearn",
    "pandas",
    "psycopg2.sql",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.standard.operators.hitl",
    "soda.scan",
    "soda.sodacl.sodacl_parser",
)
# Airflow loads these when a DAG file first names them.
NAMED_BY_DAGS = (
    "CronPartitionTimetable",
    "ExceptionRetryPolicy",
    "ObjectStoragePath",
    "Param",
    "PartitionedAssetTimetable",
    "TriggerRule",
    "dag",
)
DECORATORS = ("branch", "external_python", "sensor", "short_circuit")
SODA_CONFIG = Path(__file__).parent.parent / "include" / "dataops" / "soda_config.yml"


def main() -> None:
    """Import all that, then become `airflow scheduler`."""
    # Soda reads its settings once; without them it would set up its usage statistics.
    import_module("soda.common.config_helper").ConfigHelper.get_instance(str(SODA_CONFIG))
    for name in LIBRARIES:
        import_module(name)
    sdk = import_module("airflow.sdk")
    for name in NAMED_BY_DAGS:
        getattr(sdk, name)
    for name in DECORATORS:
        getattr(sdk.task, name)
    import_module("airflow.sdk.definitions.asset").Dataset("warm")
    # The first path asks every provider which file systems it brings.
    _ = sdk.ObjectStoragePath(Path.cwd().as_uri()).fs
    gc.collect()
    sys.argv = ["airflow", "scheduler", "--skip-serve-logs"]
    import_module("airflow.__main__").main()


if __name__ == "__main__":
    main()
