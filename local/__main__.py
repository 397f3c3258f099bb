"""The commands behind the Makefile: run, up, stop, status, clean."""

import argparse
import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from local import environment, lock, postgres, services, settings
from local.guardian import Guard
from local.progress import Progress
from local.settings import ADMIN, LocalError, Settings

# How long a question to a person stays open when nobody is there.
PATIENCE_SECONDS = 20
FREE_BYTES_NEEDED = 2 * 1024**3
GUARDIAN_SECONDS = 40.0
ADVICE = {
    errno.ENOSPC: "The disk is full. Free some space, then run the same command again: it goes on where it ended.",
    errno.EACCES: "Give yourself the right to write there, or set FLIGHTLINE_HOME to a folder of your own.",
}


class Interrupted(Exception):
    """A signal asked this command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main() -> int:
    """Run one command; its exit code is 0 only when all that was asked for is done."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="replay the history and some days after it, then stop")
    run_parser.add_argument("--days", type=int, default=14, help="days after the history, in total")
    for name, text in {
        "up": "start everything and leave it running",
        "stop": "stop everything",
        "status": "say what is running",
        "clean": "stop everything and remove its data",
    }.items():
        commands.add_parser(name, help=text)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        here = settings.load()
        if arguments.command == "run":
            return run(here, arguments.days)
        return {"up": up, "stop": stop, "status": status, "clean": clean}[arguments.command](here)
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    except Interrupted as interrupted:
        print(
            f"\nEnded by {interrupted}. What was started is stopped; the work done so far is kept.",
            file=sys.stderr,
        )
        return 128 + interrupted.number
    except OSError as error:
        print(f"\n{error}\n{ADVICE.get(error.errno or 0, 'Run the same command again.')}", file=sys.stderr)
        return 1


def run(here: Settings, days: int) -> int:
    """Live through the history and `days` days after it, on services of its own or on those of `make up`."""
    if days < 0:
        raise LocalError(f"DAYS={days} makes no sense. Give the number of days after the history, such as DAYS=14.")
    from include.project import domain
    from local import replay, summary

    began = time.monotonic()
    with (
        lock.hold(here, "run", wait=GUARDIAN_SECONDS),
        _services(here) as running,
    ):
        here = replace(here, airflow_port=running.airflow_port, mlflow_port=running.mlflow_port)
        started = round(time.monotonic() - began, 1)
        with Progress(started=began) as progress:
            story = replay.Replay(here, running, domain, progress)
            outcome = story.run(days)
        seconds = {"total": round(time.monotonic() - began, 1), "start": started, **outcome.seconds}
        figures = summary.collect(here, domain, outcome, story.runs_by_state(), seconds)
        summary.write(here, figures)
        summary.show(here, figures)
    return 1 if outcome.problems else 0


def up(here: Settings) -> int:
    """Start everything, or find it running, and say how to reach it."""
    with lock.hold(here, "up", wait=GUARDIAN_SECONDS):
        running = _find_running(here)
        if running is None:
            with _guarded(here):
                running = services.start(here, "up")
    here = replace(here, airflow_port=running.airflow_port, mlflow_port=running.mlflow_port)
    password = environment.load_secrets(here)["admin_password"]
    print(
        f"Airflow  {here.airflow_url}   user {ADMIN}, password {password}\n"
        f"         (kept in {here.password_file})\n"
        f"MLflow   {here.mlflow_url}\n"
        f"Postgres {postgres.socket_folder(here)} (a socket), user postgres, database warehouse\n"
        f"Logs     {here.logs}\n"
        f"Stop     make stop"
    )
    return 0


def stop(here: Settings) -> int:
    """Stop everything, a `make run` that is at work included."""
    _end_holder(here)
    services.stop(here)
    print(f"Nothing of {here.home} is running any more.")
    return 0


def status(here: Settings) -> int:
    """Say what is running. Exit code 0 only when everything that was started still is."""
    running = services.read_record(here)
    if running is None:
        left = services.find_processes(here, running)
        print(f"Nothing runs in {here.home}." if not left else f"{len(left)} leftover processes. Run: make stop")
        return 1 if left else 0
    dead = services.dead_services(running)
    for name, (pid, _) in running.services.items():
        print(f"{name:14} {'stopped' if name in dead else 'running'}  process {pid}")
    here = replace(here, airflow_port=running.airflow_port, mlflow_port=running.mlflow_port)
    print(f"started by `make {running.mode}`; Airflow {here.airflow_url}, MLflow {here.mlflow_url}")
    return 1 if dead else 0


def clean(here: Settings) -> int:
    """Stop everything and forget it: the next start begins with empty databases."""
    stop(here)
    if here.home.exists():
        shutil.rmtree(here.home)
    print(f"Removed {here.home}.")
    return 0


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


@contextmanager
def _services(here: Settings) -> Iterator[services.Running]:
    """The services of `make up` when they run, else services for this block only."""
    if running := _find_running(here):
        print("Using what `make up` started, and leaving it running.", flush=True)
        yield running
        return
    with _guarded(here, always_stop=True):
        print(f"Starting Postgres, MLflow and Airflow ({here.airflow_url}); logs in {here.logs}", flush=True)
        yield services.start(here, "run", PATIENCE_SECONDS)


@contextmanager
def _guarded(here: Settings, always_stop: bool = False) -> Iterator[None]:
    """Stop the services when the block fails or this process dies; with `always_stop` also at its end."""
    guard = Guard(here)
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed or always_stop:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
            services.stop(here)
        guard.release()


def _find_running(here: Settings) -> services.Running | None:
    """What `make up` left running and whole. Whatever else is left over is stopped first."""
    running = services.read_record(here)
    if running and running.mode == "up" and not services.dead_services(running):
        return running
    if running or services.find_processes(here, running) or postgres.find_postmaster(here):
        print("Stopping what an earlier start left behind.", flush=True)
        services.stop(here)
    here.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(here.home).free
    if free < FREE_BYTES_NEEDED:
        raise LocalError(
            f"{here.home} has {free / 1024**3:.1f} GB free, and a run needs "
            f"{FREE_BYTES_NEEDED / 1024**3:.0f}. Free some space, or set FLIGHTLINE_HOME to another disk."
        )
    return None


def _end_holder(here: Settings) -> None:
    """Ask the command that holds the lock to end, and wait for it."""
    end = time.monotonic() + GUARDIAN_SECONDS
    asked = False
    while here.home.exists() and time.monotonic() < end:
        if (held := lock.try_hold(here, "stop")) is not None:
            held.close()
            return
        if not asked and (holder := lock.holder(here)):
            os.kill(holder[0], signal.SIGTERM)
            asked = True
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
