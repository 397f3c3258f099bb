"""Send a text to whatever the Airflow connection `alerts` names: mail, chat, a webhook. Airflow's Apprise provider.

The provider's hook says how such a connection is written, and is used for that. Its `notify`, and so the notifier that
calls it, keep to themselves whether anything arrived; so the last step is Apprise's own, which tells, and which can be
given a limit: a server that takes a connection and never answers must not hold a task.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

CONNECTION_ID = "alerts"
SECONDS = 10.0  # for all receivers together, which are written to side by side


def is_connected() -> bool:
    """Whether there is a connection `alerts`, be it one that cannot be read."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        BaseHook.get_connection(CONNECTION_ID)
    except AirflowNotFoundException:  # also what Airflow makes of a variable that holds no connection
        return bool(os.environ.get(f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"))
    except Exception:
        log.exception("Whether there is a connection %r could not be asked", CONNECTION_ID)
    return True


def send(title: str, body: str) -> bool:
    """Send to every receiver of the connection; returns whether all have accepted it. Never raises, and waits no longer
    than SECONDS.

    What goes wrong is logged without the addresses of the receivers, for those hold passwords and tokens.
    """
    try:
        return _send(title, body)
    except Exception as error:  # noqa: BLE001 - its text could hold an address
        log.error("Nothing was sent through the connection %r: %s", CONNECTION_ID, type(error).__name__)
        return False


def _send(title: str, body: str) -> bool:
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise, NotifyFormat, NotifyType

    hook, receivers = AppriseHook(CONNECTION_ID), Apprise()
    known = hook.get_connection(CONNECTION_ID)
    with _muted("apprise"):  # of an address that it cannot use it logs the tokens
        hook.set_config_from_conn(known, receivers)
    declared = hook.get_config_from_conn(known)
    expected = max(len(declared) if isinstance(declared, list) else 1, 1)
    if len(receivers) < expected:
        log.error("Of %d receivers of %r Apprise knows the address of %d", expected, CONNECTION_ID, len(receivers))
    result = receivers.notify(
        body=body, title=title, notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT, timeout=SECONDS
    )
    for receiver in result:
        log.info("%s: %s", receiver.name, "sent" if receiver else "not sent")
    return bool(result) and len(receivers) >= expected


@contextmanager
def _muted(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
