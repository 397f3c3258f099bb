"""Start, find and end processes. Knows nothing of what they serve.

A process is the project's when its environment says so, so that one whose parent was killed is found too.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from local.settings import MARKER


def spawn(
    command: Sequence[str],
    environment: dict[str, str],
    log: Path,
    *,
    folder: Path,
    user: int | None = None,
    group: int | None = None,
) -> psutil.Process:
    """Start a process in a session of its own: Ctrl-C in the terminal must reach only who started it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=[] if user is not None else None,
        )
    return psutil.Process(child.pid)


def find_all(home: Path, recorded: Mapping[str, tuple[int, float]]) -> list[psutil.Process]:
    """Every live process of the runtime in `home`, except the caller.

    By its environment, which also finds one that left its session; and by the sessions of the `recorded` services,
    because Airflow hides the environment of its workers and tasks from everybody but root.
    """
    sessions = {pid for pid, made in recorded.values() if _session_is_ours(pid, made)}
    found = []
    for process in psutil.process_iter():
        try:
            ours = os.getsid(process.pid) in sessions or process.environ().get(MARKER) == str(home)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
        if ours and process.pid != os.getpid() and is_alive(process):
            found.append(process)
    return found


def _session_is_ours(leader: int, made: float) -> bool:
    """True unless the leader's number went to another process since, and with it the number of the session."""
    if made < psutil.boot_time():
        return False
    try:
        return abs(psutil.Process(leader).create_time() - made) < 1
    except psutil.NoSuchProcess:
        return True  # gone, and its number is not given away as long as a member of its session lives
    except psutil.Error:
        return False


def find_recorded(pid: int, created: float) -> psutil.Process | None:
    """The process that was recorded, or None when it is gone, also if its number now belongs to another."""
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - created) < 1 and is_alive(process) else None
    except psutil.Error:
        return None


def is_alive(process: psutil.Process) -> bool:
    """False also for a zombie, which holds nothing but its number."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def in_session(processes: Iterable[psutil.Process], leader: int) -> list[psutil.Process]:
    """Those of `processes` that belong to the session that `leader` opened, alive or not."""
    members = []
    for process in processes:
        try:
            if os.getsid(process.pid) == leader:
                members.append(process)
        except OSError:
            continue
    return members


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to all that are still there."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def wait_gone(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all are gone, up to `seconds`; return those that are left."""
    end = time.monotonic() + seconds
    left = list(processes)
    while left and time.monotonic() < end:
        left = [process for process in left if is_alive(process)]
        if left:
            time.sleep(0.05)
    return left


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, for a message. Empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
