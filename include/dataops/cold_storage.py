"""The files of cold storage: where they lie, how they are written and fetched. No database.

    {COLD_URI}/{source}/2013-01-{first digits of its SHA-256}.parquet    the rows of a month
    {COLD_URI}/{source}/2013-01.json                                     its manifest, written last

A Parquet file that no manifest names is what an interrupted run left, or the month before a correction. It is never
written over by other rows, for its name is made of its content.
"""

import hashlib
import io
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, get_origin, get_type_hints

from include.core import storage

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

FORMAT_VERSION = 1
_CHUNK = 1 << 20


class ArchiveError(RuntimeError):
    """A file of cold storage that is not what it should be; the message names it and says what to do."""


@dataclass(frozen=True)
class Manifest:
    """What the file of a month holds. It is complete JSON or none: half of it does not parse.

    `schema` maps each column to its Postgres type, in order. `rows_per_day` is by ISO day. `checksum` is that of the
    rows (`parquet.content`), `sha256` that of the file.
    """

    source: str
    month: str
    sha256: str
    checksum: str
    rows: int
    rows_per_day: dict[str, int]
    schema: dict[str, str]
    format_version: int = FORMAT_VERSION

    @property
    def path(self) -> str:
        """The file of the rows, below COLD_URI."""
        return f"{self.source}/{self.month}-{self.sha256[:12]}.parquet"


_TYPES = {name: get_origin(hint) or hint for name, hint in get_type_hints(Manifest).items()}


def cold_storage() -> "ObjectStoragePath":
    """The folder of the archive, from the environment variable COLD_URI."""
    return storage.folder("COLD_URI", "the folder of the archive, for example file:///data/cold or s3://bucket/cold")


def manifest_path(source: str, month: date) -> "ObjectStoragePath":
    """Where the manifest of a month is, or would be."""
    return cold_storage() / source / f"{month:%Y-%m}.json"


def read_manifest(source: str, month: date) -> Manifest | None:
    """The manifest of a month, None if there is none; an ArchiveError says why one cannot be used."""
    path = manifest_path(source, month)
    try:
        with path.open("rb") as stream:  # type: ignore[no-untyped-call]
            text = stream.read()
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        if {name: type(value) for name, value in found.items()} != _TYPES:
            raise ValueError(f"its fields are {sorted(found)}")
        manifest = Manifest(**found)
    except (ValueError, AttributeError) as error:
        raise ArchiveError(
            f"{path} is damaged and cannot be read as a manifest ({error}). Put a sound copy of it in place."
        ) from error
    expected = (source, f"{month:%Y-%m}", FORMAT_VERSION)
    if (manifest.source, manifest.month, manifest.format_version) != expected:
        raise ArchiveError(
            f"{path} is of {manifest.source}, {manifest.month}, format {manifest.format_version}, and should be of"
            f" {', '.join(map(str, expected[:2]))}, format {FORMAT_VERSION}. Put the right manifest in place."
        )
    return manifest


def write_manifest(manifest: Manifest) -> None:
    """Write the mark that the file of the month is there, complete and verified."""
    path = manifest_path(manifest.source, date.fromisoformat(f"{manifest.month}-01"))
    _write(io.BytesIO(json.dumps(asdict(manifest), indent=2).encode()), path)


def put(file: Path, manifest: Manifest) -> None:
    """Copy `file` to the place that the manifest says."""
    with file.open("rb") as stream:
        _write(stream, cold_storage() / manifest.path)


def fetch(manifest: Manifest, to: Path) -> None:
    """Copy the file of the manifest to `to`; an ArchiveError says if it is missing or damaged."""
    path = cold_storage() / manifest.path
    advice = "Put a sound copy of it in place, for example from a backup, and try again. Nothing has changed."
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream, to.open("wb") as copy:  # type: ignore[no-untyped-call]
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
    except FileNotFoundError as error:
        raise ArchiveError(f"{path} is missing. {advice}") from error
    if digest.hexdigest() != manifest.sha256:
        raise ArchiveError(
            f"{path} is damaged: its SHA-256 is {digest.hexdigest()}, and its manifest says {manifest.sha256}. {advice}"
        )


def sha256_of(file: Path) -> str:
    """The SHA-256 of a local file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(content: "io.BufferedIOBase", path: "ObjectStoragePath") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:  # type: ignore[no-untyped-call]
        shutil.copyfileobj(content, stream)
        # The drop that follows survives a power cut, so the file has to as well. A bucket keeps what it took.
        with suppress(io.UnsupportedOperation, AttributeError):
            stream.flush()
            os.fsync(stream.fileno())
