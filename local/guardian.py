"""Stops the services when the `make run` that owns them is killed and cannot do so itself.

It holds the reading end of a pipe whose only writer is the owner: however it dies, the kernel closes that.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress

from local import lock, services
from local.settings import REPO, Settings, load

ALL_IS_WELL = b"q"
LOCK_SECONDS = 10.0


class Guard:
    """The owner's side: `release` once the services are stopped."""

    def __init__(self, here: Settings) -> None:
        reader, self._writer = os.pipe()
        here.logs.mkdir(parents=True, exist_ok=True)
        with (here.logs / "guardian.log").open("ab") as log:
            self._process = subprocess.Popen(
                [services.PYTHON, "-m", "local.guardian", str(reader), str(os.getpid())],
                cwd=REPO,
                pass_fds=[reader],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.close(reader)

    def release(self) -> None:
        """Send the guardian home."""
        with suppress(BrokenPipeError):  # somebody ended it, and it is no longer needed anyway
            os.write(self._writer, ALL_IS_WELL)
        os.close(self._writer)
        self._process.wait(10)


def watch(reader: int, owner: int) -> None:
    """Wait until the process `owner` is gone; stop everything unless it said that it had.

    The lock comes free a moment after the pipe. When a later command is quicker to take it, that one cleans up
    before it starts.
    """
    if os.read(reader, 1) == ALL_IS_WELL:
        return
    here = load()
    end = time.monotonic() + LOCK_SECONDS
    while (held := lock.try_hold(here, "guardian")) is None:
        if time.monotonic() > end or (lock.holder(here) or (owner, ""))[0] != owner:
            return
        time.sleep(0.05)
    with held:
        services.stop(here)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
