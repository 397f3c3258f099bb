"""A view of the feature store, read from its SQL file: what it holds, what it reads, and the version that this makes.

The folder says what a view is for: `tallies` are sums by drop that other views read, `labels` holds the outcomes,
`features` what a model sees. All are built alike.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from include.core.errors import DomainError

# Tables of the schema `features` that are no views.
RESERVED = ("views", "partitions", "statistics", "freshness", "registry")
# What a definition of sql/schema creates, in a normalised statement.
CREATED = re.compile(
    r"\bcreate (?:or replace )?(?:[a-z]+ )*?(?:table|view|function|procedure|aggregate|type|domain) (?:if not exists )?"
    r"(\w+(?: \. \w+)?)"
)
# The tokens of SQL: a text, a quoted name, a remark, the ends of a comment, a word, a sign.
OUTSIDE = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*|\*/|\w+|\S""")
IN_COMMENT = re.compile(r"/\*|\*/")
FEATURE_TYPES = ("text", "boolean", "smallint", "integer", "bigint", "double precision", "date")


class Kind(StrEnum):
    """What a view is for: the name of its folder below sql/."""

    TALLY = "tallies"
    LABELS = "labels"
    FEATURES = "features"


@dataclass(frozen=True)
class Feature:
    """One column of a view: its Postgres type and what it means."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class FeatureView:
    """One SQL file and one table, keyed by `as_of` and the entity.

    `lookback` is the number of drops, or days of other views, that it reads: 1 is the as-of day alone. `reach` is the
    same in drops, through the views below it; `sources` are those whose drops it reads, itself or through them.
    """

    name: str
    kind: Kind
    description: str
    owner: str
    lookback: int
    entity: tuple[Feature, ...]
    features: tuple[Feature, ...]
    sql: str
    version: str
    reads: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reach: int = 1

    @classmethod
    def read(cls, path: Path) -> "FeatureView":
        """Parse the file alone, without what it reads; a DomainError names the line that is missing."""
        text = path.read_text()
        header = re.findall(r"^-- (\w+): (.+)$", text, flags=re.MULTILINE)
        single = {key: value for key, value in header if key not in ("entity", "feature")}
        missing = {"owner", "lookback"} - set(single)
        if missing or not text.startswith("-- One row per "):
            raise DomainError(
                f"{path.name} needs a first line '-- One row per ...' and the header lines owner and lookback"
                f" (missing: {', '.join(sorted(missing)) or 'first line'})"
            )
        if not re.fullmatch(r"[1-9][0-9]{0,3}", single["lookback"]):
            raise DomainError(f"{path.name}: lookback is {single['lookback']!r}; give a number of drops, from 1 on")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", path.stem) or path.stem in RESERVED:
            raise DomainError(
                f"{path.name}: use lower case letters, digits and underscores, and none of {', '.join(RESERVED)}"
            )
        columns = {
            kind: tuple(_column(path, value) for key, value in header if key == kind) for kind in ("entity", "feature")
        }
        for found in columns.values():
            _check_names(path, [column.name for column in found])
        if not columns["feature"]:
            raise DomainError(f"{path.name} declares no feature; add a line '-- feature: name type, meaning'")
        return cls(
            name=path.stem,
            kind=Kind(path.parent.name),
            description=text.splitlines()[0].removeprefix("-- "),
            owner=single["owner"],
            lookback=int(single["lookback"]),
            entity=columns["entity"],
            features=columns["feature"],
            sql=text,
            version=_version(
                normalised(text),
                single["lookback"],
                *(f"{kind} {column.name} {column.type}" for kind, found in columns.items() for column in found),
            ),
        )

    @property
    def columns(self) -> tuple[Feature, ...]:
        """The columns of its table after as_of: the entity, then the features that are not part of it."""
        entity = {column.name for column in self.entity}
        return (*self.entity, *(feature for feature in self.features if feature.name not in entity))


def read_views(folder: Path) -> tuple[FeatureView, ...]:
    """Every view below `folder` (the domain's sql/), each after those that it reads.

    A view's version is a hash of its own SQL, of the files of sql/schema that define what it calls, and of the
    versions of the views below it: whatever changes its values changes it, and nothing else does.
    """
    alone = {}
    for kind in Kind:
        for path in sorted((folder / kind).glob("*.sql")):
            if path.stem in alone:
                raise DomainError(f"more than one view is called {path.stem}; rename one of the files")
            alone[path.stem] = FeatureView.read(path)
    reads = {name: _named("features", view.sql) & set(alone) for name, view in alone.items()}
    try:
        order = tuple(TopologicalSorter({name: sorted(below) for name, below in sorted(reads.items())}).static_order())
    except CycleError as error:
        raise DomainError(f"these views read each other in a circle: {' -> '.join(error.args[1])}") from None
    definitions = _definitions(folder / "schema")
    views: dict[str, FeatureView] = {}
    for name in order:
        views[name] = _connected(alone[name], [views[below] for below in sorted(reads[name])], definitions)
    return tuple(views.values())


def normalised(text: str) -> str:
    """The words and signs of SQL, one space between them, without comments; texts between quotes as they are."""
    found, position, depth = [], 0, 0
    while token := (IN_COMMENT if depth else OUTSIDE).search(text, position):
        position = token.end()
        if token[0] in ("/*", "*/"):
            depth = max(depth + (1 if token[0] == "/*" else -1), 0)  # comments may be nested
        elif not token[0].startswith("--"):
            found.append(token[0])
    return " ".join(found)


def _connected(view: FeatureView, below: list[FeatureView], definitions: Mapping[str, list[str]]) -> FeatureView:
    """The view with what follows from the views that it reads."""
    for other in below:
        if other.kind is not Kind.TALLY and view.kind is Kind.TALLY:
            raise DomainError(f"{view.name} is a tally and reads {other.name}, which is none; tallies read drops")
    sources = _named("raw", view.sql).union(*(other.sources for other in below))
    return replace(
        view,
        reads=tuple(other.name for other in below),
        sources=tuple(sorted(sources)),
        reach=view.lookback - 1 + max((other.reach for other in below), default=1),
        version=_version(
            view.version, *(other.version for other in below), *_definitions_of(normalised(view.sql), definitions)
        ),
    )


def _definitions(folder: Path) -> dict[str, list[str]]:
    """What the files of sql/schema define: the normalised texts of its files by the object's name."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.sql")):
        text = normalised(path.read_text())
        for name in set(CREATED.findall(_names(text))):
            found.setdefault(name, []).append(text)
    return found


def _definitions_of(statement: str, definitions: Mapping[str, list[str]]) -> list[str]:
    """The texts that define what the statement names, and what those name in turn."""
    texts: set[str] = set()
    unread = [statement]
    while unread:
        names = _names(unread.pop())
        for name, defined in definitions.items():
            if not texts.issuperset(defined) and re.search(rf"\b{re.escape(name)}\b", names):
                texts.update(defined)
                unread.extend(defined)
    return sorted(texts)


def _named(schema: str, text: str) -> set[str]:
    """What a statement names of a schema."""
    return set(re.findall(rf"\b{schema} \. (\w+)", _names(normalised(text))))


def _names(statement: str) -> str:
    """A normalised statement with its names as Postgres has them, were they written in capitals or between quotes."""
    return statement.replace('"', "").lower()


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name) or name == "as_of":
            raise DomainError(f"{path.name}: {name!r}: use lower case letters, digits and underscores, and not as_of")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DomainError(f"{path.name} declares {', '.join(repeated)} more than once")


def _column(path: Path, declaration: str) -> Feature:
    match = re.fullmatch(r"(\w+) ([a-z ]+?), (.+)", declaration)
    if match is None:
        raise DomainError(f"{path.name}: write '{declaration}' as 'name type, meaning'")
    column = Feature(*match.groups())
    if column.type not in FEATURE_TYPES:
        raise DomainError(
            f"{path.name}: {column.name} is of type {column.type!r}; there are {', '.join(FEATURE_TYPES)}"
        )
    return column


def _version(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
