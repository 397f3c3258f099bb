"""Make the environments from their lock files, on a bare Python 3.11 or 3.12.

    python3 local/bootstrap.py          make what is missing or out of date
    python3 local/bootstrap.py --uv     fetch uv as well, for `make lock`
    python3 local/bootstrap.py --feast  make Feast's environment as well, for `make bench-feast`

Only the standard library is used, and nothing that Python 3.7 does not understand: an interpreter that is too
old has to get as far as saying so. Nothing is installed outside the project's folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
SUPPORTED = ((3, 11), (3, 12))
ENVIRONMENTS = (
    (REPO / ".venv", REPO / "requirements.lock"),
    (REPO / ".venv-astro-sdk", REPO / "include" / "astro_sdk" / "requirements.lock"),
)
FEAST_ENVIRONMENT = (REPO / ".venv-feast", REPO / "local" / "feast-requirements.lock")
UV_FOLDER = REPO / ".local" / "uv"
UV_REQUIREMENT = "uv>=0.8,<1"
FREE_BYTES_NEEDED = 5 * 1024**3


def main() -> None:
    """Do what is missing. Silent and quick when nothing is."""
    use_a_supported_python()
    if "--uv" in sys.argv[1:]:
        fetch_uv()
    wanted = [*ENVIRONMENTS, FEAST_ENVIRONMENT] if "--feast" in sys.argv[1:] else ENVIRONMENTS
    for environment, lock in wanted:
        if not is_current(environment, lock):
            make(environment, lock)


def use_a_supported_python() -> None:
    """Go on under a Python that is supported, if this one is not and another one is there and works."""
    if sys.version_info[:2] in SUPPORTED:
        return
    for name in ("python3.12", "python3.11"):
        found = shutil.which(name)
        # Being on PATH is not enough: a version manager's stand-in may point nowhere.
        if found and version_of(found) in SUPPORTED:
            os.execv(found, [found, str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606
    sys.exit(
        f"Flightline needs Python 3.11 or 3.12, and this is {sys.version_info[0]}.{sys.version_info[1]}.\n"
        "Install one of them (Debian, Ubuntu: apt install python3.12; macOS: brew install python@3.12),\n"
        "or name one that you have: make run PYTHON=/path/to/python3.12"
    )


def version_of(python: str | Path) -> tuple[int, ...] | None:
    """(major, minor) of an interpreter, or None when it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        reply = subprocess.run(
            [str(python), "-c", code], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return tuple(int(part) for part in reply.stdout.split()) if reply.returncode == 0 else None
    except (OSError, ValueError):
        return None


def stamp_of(lock: Path) -> str:
    """What an environment was made from: this lock file, under this Python."""
    version = ".".join(str(part) for part in sys.version_info[:2])
    return f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {version}"


def is_current(environment: Path, lock: Path) -> bool:
    """True when `environment` was made whole from this very lock file."""
    stamp, python = environment / ".flightline-stamp", environment / "bin" / "python"
    return stamp.exists() and stamp.read_text() == stamp_of(lock) and os.access(str(python), os.X_OK)


def make(environment: Path, lock: Path) -> None:
    """Make or mend one environment. Stamped at the very end, so that an interrupted try is done again."""
    check_space()
    uv, python, stamp = fetch_uv(), environment / "bin" / "python", environment / ".flightline-stamp"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if version_of(python) != sys.version_info[:2]:
        print(f"Making {environment.name} with Python {version}. The first time takes some minutes.", flush=True)
        run([uv, "venv", "--quiet", "--clear", "--python", base_python(), str(environment)])
    else:
        print(f"Bringing {environment.name} to {lock.relative_to(REPO)}.", flush=True)
    if stamp.exists():
        stamp.unlink()
    # Compiled here, by all cores at once, instead of by the first start, one file after the other.
    options = ["--quiet", "--require-hashes", "--compile-bytecode", "--python", str(python)]
    run([uv, "pip", "sync", *options, str(lock)])
    stamp.write_text(stamp_of(lock))


def base_python() -> str:
    """The interpreter itself, also when this runs inside somebody's virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def fetch_uv() -> str:
    """The project's own uv, fetched with whichever pip there is."""
    uv = UV_FOLDER / "bin" / "uv"
    if not uv.exists():
        print("Fetching uv.", flush=True)
        foreign = ("PYTHONPATH", "PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_TARGET")
        environment = {key: value for key, value in os.environ.items() if key not in foreign}
        scratch = UV_FOLDER.with_name("uv.new")
        shutil.rmtree(str(scratch), ignore_errors=True)
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
            "--only-binary",
            ":all:",
            "--target",
            str(scratch),
        ]
        run([*find_pip(), "install", *options, UV_REQUIREMENT], environment)
        shutil.rmtree(str(UV_FOLDER), ignore_errors=True)
        scratch.rename(UV_FOLDER)
    return str(uv)


def find_pip() -> list[str]:
    """A command that runs pip: the installed one, or the wheel that Python carries to install it from."""
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return probe[:3]
    folders = [Path("/usr/share/python-wheels"), Path(os.__file__).parent / "ensurepip" / "_bundled"]
    wheels = sorted(wheel for folder in folders if folder.is_dir() for wheel in folder.glob("pip-*.whl"))
    if wheels:
        return [sys.executable, str(wheels[-1] / "pip")]
    sys.exit(
        "This Python has no pip to fetch uv with.\n"
        "Install it (Debian, Ubuntu: apt install python3-pip), then run this again."
    )


def check_space() -> None:
    """Refuse early rather than stop halfway with a full disk."""
    free, gigabyte = shutil.disk_usage(str(REPO)).free, 1024**3
    if free < FREE_BYTES_NEEDED:
        sys.exit(
            f"{REPO} has {free / gigabyte:.1f} GB free, and the environments need "
            f"{FREE_BYTES_NEEDED / gigabyte:.0f}. Free some space, then run this again."
        )


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command; when it fails, its own words were printed, and the next step is named here."""
    try:
        result = subprocess.run(command, check=False, env=environment)
    except KeyboardInterrupt:
        sys.exit(130)
    if result.returncode:
        sys.exit(
            f"That failed (see above): {' '.join(command[:4])} ...\n"
            "Most often the package index cannot be reached, or the disk is full. "
            "Run the same make command again: it goes on where it ended."
        )


if __name__ == "__main__":
    main()
