"""Arguments that every DAG of the chain shares."""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from include.core.alerts import alert_on_failure
from include.core.deadlines import alert_late_run
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


# What a run may take beside what it may wait for. Generous: the run of a day takes a minute or two.
MARGIN = timedelta(hours=2)


def within(waits: timedelta = timedelta(0)) -> DeadlineAlert:
    """The `deadline` of a DAG whose runs may wait as long as `waits`: so long after a run was queued, and MARGIN more.

    FLIGHTLINE_MARGIN_SECONDS stands in for MARGIN where a day takes much longer, or has to be there sooner.
    """
    seconds = os.environ.get("FLIGHTLINE_MARGIN_SECONDS")
    return DeadlineAlert(
        # A run that is started by a Dataset has no logical date.
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=waits + (timedelta(seconds=int(seconds)) if seconds else MARGIN),
        callback=AsyncCallback(alert_late_run),
    )


# A DAG of the chain that is paused loses the events it should have answered, so none starts paused.
# Days may overlap: partitions are locked, and what has to wait for the day before asks the ledger.
# A DAG that waits for something gives its own `deadline` in place of this one.
CHAIN_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "is_paused_upon_creation": False,
    "max_active_runs": 2,
    "default_args": TASK_DEFAULTS,
    "deadline": within(),
}
