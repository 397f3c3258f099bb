"""What the page needs to know of the project: its name, its limits, and where MLflow is for a browser."""

import os
from typing import Any


def facts() -> dict[str, Any]:
    """Name and limits of the domain, and the address of MLflow's UI; None where it has no address for a browser."""
    from include.project import domain

    limits = domain.monitoring
    return {
        "name": domain.name,
        "unit": domain.unit.replace("_", " "),
        "label_days": domain.label_days,
        "min_coverage": domain.min_coverage,
        "window": limits.window,
        "max_ece": limits.max_ece,
        "mlflow": mlflow_url(),
    }


def mlflow_url() -> str | None:
    """MLFLOW_UI_URL, else MLFLOW_TRACKING_URI when a browser can open it. What a URL has before an @ is left out."""
    for name in ("MLFLOW_UI_URL", "MLFLOW_TRACKING_URI"):
        address = os.environ.get(name, "").strip()
        scheme, found, rest = address.partition("://")
        if found and scheme.lower() in ("http", "https"):
            host, slash, path = rest.partition("/")
            return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")
    return None


def champion_changes() -> str:
    """The statement that says who was champion when: the same that scoring asks."""
    from include.core import warehouse

    return warehouse.statement("modelops/champion_changes")
