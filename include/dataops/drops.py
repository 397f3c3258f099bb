"""Where the drop of a day is, and what can be wrong with one as a whole.

A drop of day D is `{LANDING_URI}/{D}/{source}` with one of the endings of `FORMATS`.
"""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from include.core import storage
from include.core.domain import Domain, Source
from include.core.ledger import NotReadyError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

FORMATS = (".csv", ".csv.gz", ".parquet")
HALF = "so it is only half written. Upstream should write it under another name and rename it when it is complete"


class BadDropError(ValueError):
    """A drop that cannot be loaded at all; the message says what is wrong with which file."""


class HalfWrittenDropError(NotReadyError):
    """A drop that ends before it is complete, perhaps because it is still being written."""


def unreadable(file: object, error: Exception) -> Exception:
    """What an error while reading means: the way to the file (the system gives those a number), its end, or it."""
    if isinstance(error, OSError) and error.errno is not None:
        return NotReadyError(f"{file} cannot be reached: {error}. Clear this task when it can.")
    if isinstance(error, EOFError):
        return HalfWrittenDropError(f"{file} ends before its data do, {HALF}.")
    return BadDropError(f"{file} is not readable: {str(error).rstrip('.')}. Ask upstream for it again.")


def landing_zone() -> "ObjectStoragePath":
    """The folder of the drops, from the environment variable LANDING_URI."""
    return storage.folder("LANDING_URI", "the folder of the drops, for example file:///data/landing")


def find(source: Source, days: Sequence[date]) -> list["ObjectStoragePath"]:
    """The files of these days, in order. A NotReadyError names the first that is missing."""
    zone = _zone_as_it_is_now()
    found = [_find_one(zone, day, source) for day in days]
    missing = [day for day, file in zip(days, found, strict=True) if file is None]
    if missing:
        raise NotReadyError(
            f"{len(missing)} drop(s) of {source.name} have not arrived; the first is looked for at"
            f" {_looked_for(zone, missing[0], source)}. Put the file there, then clear this task."
        )
    return [file for file in found if file is not None]


def missing(domain: Domain, day: date) -> str | None:
    """Which files of the day's drop have not arrived, in words; None when all are there."""
    zone = _zone_as_it_is_now()
    absent = [source for source in domain.sources if _find_one(zone, day, source) is None]
    if not absent:
        return None
    looked_for = " and ".join(_looked_for(zone, day, source) for source in absent)
    return f"the drop of {day} has not arrived: looked for {looked_for}"


def _zone_as_it_is_now() -> "ObjectStoragePath":
    """Object stores keep what they listed before: a drop that came since then would never be seen."""
    zone = landing_zone()
    zone.fs.invalidate_cache()
    return zone


def _find_one(zone: "ObjectStoragePath", day: date, source: Source) -> "ObjectStoragePath | None":
    # The folder is told as text: a year has a thousand drops, and each step of a path object costs 0.1 ms.
    try:
        there = {name.rpartition("/")[2] for name in zone.fs.ls(f"{zone.path.rstrip('/')}/{day}", detail=False)}
    except (FileNotFoundError, NotADirectoryError):
        return None
    names = [f"{source.name}{ending}" for ending in FORMATS if f"{source.name}{ending}" in there]
    if len(names) > 1:
        raise BadDropError(
            f"{zone / day.isoformat()} holds {' and '.join(names)}, and only one of them can be the drop of"
            f" {source.name}. Remove what is not, then clear this task."
        )
    return zone / f"{day}/{names[0]}" if names else None


def _looked_for(zone: "ObjectStoragePath", day: date, source: Source) -> str:
    return f"{zone / day.isoformat() / source.name}.csv (or {', '.join(FORMATS[1:])})"
