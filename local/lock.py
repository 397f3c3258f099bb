"""One command at a time per home. The kernel drops the lock with its holder, so none is ever left behind."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from local.settings import LocalError, Settings


def _path(settings: Settings) -> Path:
    return settings.home / "lock"


def try_hold(settings: Settings, what: str) -> TextIO | None:
    """Take the lock and say for what; None when somebody else has it. Closing the file gives it back."""
    settings.home.mkdir(parents=True, exist_ok=True)
    file = _path(settings).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()} {what}")
    file.flush()
    return file


def holder(settings: Settings) -> tuple[int, str] | None:
    """Process number and command of who wrote the lock last."""
    try:
        number, _, what = _path(settings).read_text().partition(" ")
        return int(number), what
    except (OSError, ValueError):
        return None


@contextmanager
def hold(settings: Settings, what: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock for a block, waiting up to `wait` seconds for a guardian that is still cleaning up."""
    end = time.monotonic() + wait
    while (file := try_hold(settings, what)) is None:
        number, other = holder(settings) or (0, "another command")
        if time.monotonic() > end or other != "guardian":
            raise LocalError(
                f"`make {other}` is at work here (process {number}). Wait for it, or end it with `make stop`."
            )
        time.sleep(0.2)
    try:
        yield
    finally:
        file.close()
