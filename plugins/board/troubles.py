"""Why there is nothing to show: in words, with the next step.

Never in the words of the driver, which may name hosts and users.
"""

import logging

CONNECTION_ID = "warehouse_reader"
# What the driver says of a refusal before a session stands; then there is no code to tell it by.
REFUSALS = ("authentication", "does not exist", "no pg_hba.conf entry", "not permitted to log in", "permission denied")
_log = logging.getLogger(__name__)


class UnavailableError(Exception):
    """Nothing can be shown: `state` for the page, `what` and `next_step` for the person. Holds no credentials."""

    def __init__(self, state: str, what: str, next_step: str) -> None:
        super().__init__(what)
        self.state, self.what, self.next_step = state, what, next_step


PREPARE = (
    "Run `make run`, which plays the whole story, or `make up` and let the DAG prepare_project run:"
    " it makes the tables and what the role of this page may read."
)
INGEST = (
    "Run `make run`, which plays the whole story, or bring the first days through the chain:"
    " `airflow backfill create --dag-id ingest_sources --from-date ... --to-date ...`."
)
NO_CONNECTION = UnavailableError(
    "no_connection",
    f"Airflow has no connection {CONNECTION_ID}.",
    "Make a role that may only select, and name it in AIRFLOW_CONN_WAREHOUSE_READER or under Admin, Connections"
    " (docs/operations.md, The Model board). `make up` and `make run` do both by themselves.",
)
DOWN = UnavailableError(
    "down",
    "The warehouse does not answer.",
    f"See that it runs, and that the connection {CONNECTION_ID} leads to it. The page tries again by itself.",
)
REFUSED = UnavailableError(
    "refused",
    f"The warehouse refuses the role of the connection {CONNECTION_ID}.",
    "Check its login, password and database. If the role is new, let prepare_project run: it grants what is needed.",
)
SLOW = UnavailableError(
    "slow",
    "The warehouse took too long to answer, so the page gave up.",
    "Look for what keeps it busy, or show fewer days. The page tries again by itself.",
)
OLD_TABLES = UnavailableError(
    "old_tables",
    "The warehouse lacks tables or columns that this page reads.",
    "Let the DAG prepare_project run: it brings the tables of an earlier release up to this one.",
)
BROKEN = UnavailableError(
    "broken",
    "The warehouse could not be read.",
    "The log of the API server names the error; it was left out here because it may hold credentials.",
)


def told(error: Exception) -> UnavailableError:
    """What a person is told about an error of the driver. The log gets its kind, which holds nothing secret."""
    from psycopg2 import Error, OperationalError, errors

    code = error.pgcode if isinstance(error, Error) else None
    _log.warning("The Model board could not read the warehouse: %s, SQLSTATE %s", type(error).__name__, code)
    if isinstance(error, errors.QueryCanceled):
        return SLOW
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName):
        return OLD_TABLES
    if isinstance(error, errors.InsufficientPrivilege):
        return REFUSED
    if isinstance(error, OperationalError):
        # Before a session stands, the driver tells no code: a refusal can only be read from its words.
        refused = any(word in str(error) for word in REFUSALS)
        return REFUSED if refused else DOWN
    return BROKEN
