"""Load the heavy libraries once, in the scheduler, before it forks its workers.

With the LocalExecutor every task is forked from the scheduler, so what is imported there is already there in every
task; without this, each of them spends seconds on imports. Other executors start their workers elsewhere and are
left alone. Set FLIGHTLINE_WARM_WORKERS=0 to do without.
"""

import os
import sys
from importlib import import_module
from typing import ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

HEAVY = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.standard.operators.python",
    "include.core.warehouse",
    "include.modelops.decisions",
    "include.modelops.monitoring",
    "include.modelops.scoring",
    "psycopg2.sql",
    "pandas",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "skops.io",
    "mlflow.sklearn",
)


class WarmWorkersListener:
    """Acts when the scheduler starts, and only then."""

    @hookimpl
    def on_starting(self, component):
        """Import before the scheduler makes its executor."""
        from airflow.configuration import conf

        wanted = os.environ.get("FLIGHTLINE_WARM_WORKERS", "1") == "1"
        if wanted and "scheduler" in sys.argv[1:2] and conf.get("core", "executor") == "LocalExecutor":
            from include.dataops.quality import soda_scan

            soda_scan()
            for module in HEAVY:
                import_module(module)


class WarmWorkersPlugin(AirflowPlugin):
    """Registers the listener."""

    name = "warm_workers"
    listeners: ClassVar = [WarmWorkersListener()]
