"""Folders that a deployment names: on a disk or in an object store, as Airflow's ObjectStoragePath reads them."""

import os
from typing import TYPE_CHECKING

from include.core.ledger import NotReadyError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def folder(variable: str, example: str) -> "ObjectStoragePath":
    """The folder that an environment variable names; a NotReadyError says how to set it, with `example`."""
    from airflow.sdk import ObjectStoragePath

    uri = os.environ.get(variable)
    if not uri:
        raise NotReadyError(
            f"{variable} is not set. Set it to {example}, in .env or in the deployment's environment variables."
        )
    return ObjectStoragePath(uri)
