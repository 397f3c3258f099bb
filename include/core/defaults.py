"""Arguments that every DAG of the chain shares."""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from include.core.alerts import alert_on_failure
from include.core.domain import Domain

# Bad data stays bad: only what may pass by itself is tried again.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[
                "include.dataops.drops.BadDropError",
                "include.dataops.quality.FailedChecksError",
                "include.dataops.reference_tables.BadReferenceError",
                "include.astro_sdk.interpreter.UnusableInterpreterError",
                "include.core.errors.DomainError",
                "include.dataops.cold_storage.ArchiveError",
                "include.core.waiting.WaitedTooLongError",
            ],
            action=RetryAction.FAIL,
            reason="something has to change first",
        )
    ]
)

TASK_DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_policy": RETRY_POLICY,
    "on_failure_callback": alert_on_failure,
}


def answer_within(domain: Domain) -> timedelta:
    """How long a question to a person stays open: the domain's word, or FLIGHTLINE_ANSWER_WITHIN_SECONDS."""
    seconds = os.environ.get("FLIGHTLINE_ANSWER_WITHIN_SECONDS")
    return timedelta(seconds=int(seconds)) if seconds else domain.answer_within


# A DAG of the chain that is paused loses the events it should have answered, so none starts paused.
# Days may overlap: partitions are locked, and what has to wait for the day before asks the ledger.
CHAIN_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "is_paused_upon_creation": False,
    "max_active_runs": 2,
    "default_args": TASK_DEFAULTS,
}
