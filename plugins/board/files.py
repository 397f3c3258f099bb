"""The files of the page: read and compressed once, and addressed by what they hold."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
STATIC = HERE / "static"
PLOTLY = "plotly.min.js"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class File:
    """A file as it is sent; `version` is the beginning of a SHA-256, and stands in its address."""

    content: bytes
    packed: bytes
    media_type: str
    version: str


@cache
def page() -> str:
    """The HTML, with the version of the files in it."""
    text = (HERE / "page.html").read_text()
    return text.replace("{{version}}", _own_version()).replace("{{plotly}}", _plotly_version())


@cache
def find(name: str) -> File | None:
    """The file of this name, or None. Only names that exist are looked up, so no path leads elsewhere."""
    if name == PLOTLY:
        return _file(_plotly_path(), _plotly_version())
    if name in _own():
        return _file(STATIC / name, _own_version())
    return None


def _file(path: Path, version: str) -> File:
    content = path.read_bytes()
    # No name and no time in the header: the same content packs to the same bytes.
    return File(content, gzip.compress(content, 6, mtime=0), MEDIA_TYPES[path.suffix], version)


def _own() -> list[str]:
    return sorted(path.name for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES)


@cache
def _own_version() -> str:
    """One version for all of our files, for they import each other by relative addresses."""
    return _digest(*(STATIC / name for name in _own()))


@cache
def _plotly_version() -> str:
    """plotly's own, so that a new release of the board does not fetch its megabyte again."""
    return _digest(_plotly_path())


def _plotly_path() -> Path:
    """plotly's script, from the installed package. It is found without importing the package."""
    from importlib.util import find_spec

    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("The package plotly is missing. Install requirements.txt into the API server.")
    return Path(found.submodule_search_locations[0]) / "package_data" / PLOTLY


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
