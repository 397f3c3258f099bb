"""What a domain declares and the engine reads. Frozen, light to import, checked when it is built.

A fork writes one `Domain` under `include/<domain>/` and names it in `include/project.py`. Everything that
differs between one business and the next stands here as data or as a `.sql` file of the domain's folder.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from include.core.errors import DomainError
from include.core.feature_view import Feature, FeatureView, Kind, read_views

# The types that a column of a source may have: those that can be told valid from their text, and kept in Parquet.
COLUMN_TYPES = (
    "text",
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "double precision",
    "date",
    "timestamptz",
)

# The view of the outcomes, and its column for the as-of day that an outcome is about.
LABELS = "labels"
EVENT_DAY = "event_day"

# How scores become probabilities (scikit-learn's CalibratedClassifierCV), or not at all.
CALIBRATIONS = ("sigmoid", "isotonic", None)

# The measures that a challenger must not lose on while it wins on cost. Of the first two more is better.
MEASURES = ("roc_auc", "average_precision", "brier", "ece")

# Columns beside the features in a training set, and beside them in drift.
NO_FEATURES = ("as_of", "entity_id", "label", "probability")

# Columns of every table of raw, and those that Postgres gives to every table.
RESERVED = ("as_of", "line", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")


@dataclass(frozen=True)
class Column:
    """One column of a source: its Postgres type, what it means, and which values of it are valid.

    `required`: a row without a value is rejected. `minimum` and `maximum` are inclusive. `choices` lists the values
    there are. `reference` is 'table.column' of the schema `reference`, which has to hold the value. `days` is for a
    date: the first and last day it may have, counted from the as-of day; None leaves that side open. `within_drop`
    is for a moment: it has to lie between the drop before and this one. `longest` is for text, in characters.
    """

    name: str
    type: str
    meaning: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    reference: str | None = None
    days: tuple[int | None, int | None] | None = None
    within_drop: bool = False
    longest: int = 100

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", self.name) or self.name in RESERVED:
            raise DomainError(
                f"column {self.name!r}: use lower case letters, digits and underscores, and none of"
                f" {', '.join(RESERVED)}"
            )
        if self.type not in COLUMN_TYPES:
            raise DomainError(f"column {self.name} has the type {self.type!r}; there are {', '.join(COLUMN_TYPES)}")
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:  # type: ignore[operator]
            raise DomainError(f"column {self.name}: its minimum {self.minimum:g} is above its maximum {self.maximum:g}")
        misplaced = {
            "minimum or maximum": (self.minimum, self.maximum) != (None, None) and self.type not in COLUMN_TYPES[2:6],
            "days": self.days is not None and self.type != "date",
            "within_drop": self.within_drop and self.type != "timestamptz",
            "choices or reference": bool(self.choices or self.reference) and self.type != "text",
        }
        if wrong := [name for name, is_wrong in misplaced.items() if is_wrong]:
            raise DomainError(f"column {self.name} is {self.type}, and {wrong[0]} does not go with that type")
        if self.reference is not None and not re.fullmatch(r"\w+\.\w+", self.reference):
            raise DomainError(f"column {self.name}: write the reference {self.reference!r} as 'table.column'")


@dataclass(frozen=True)
class Rule:
    """What has to hold across the columns of a row: a condition in SQL over the typed row and its `as_of`.

    A row of which the condition is false is rejected with the reason; one of which it is null passes.
    """

    condition: str
    reason: str


@dataclass(frozen=True)
class Source:
    """One file of a drop, `{LANDING_URI}/{as_of}/{name}` with .csv, .csv.gz or .parquet, and what a row must be.

    `key` names the columns that tell two rows of a drop apart; of rows with the same key the first valid one counts.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", self.name):
            raise DomainError(f"source {self.name!r}: use at most 40 lower case letters, digits and underscores")
        _refuse_repeated(f"column of source {self.name}", self.names)
        required = {column.name for column in self.columns if column.required}
        if not self.key or not set(self.key) <= required:
            raise DomainError(f"the key of source {self.name} must be of required columns, and is {self.key}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class Reference:
    """One table of the schema `reference`: the CSV file it is refreshed from, and its columns and key.

    `file` is 'package.module:function', called without arguments, returns the path.
    """

    name: str
    file: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def __post_init__(self) -> None:
        names = tuple(column.name for column in self.columns)
        _refuse_repeated(f"column of reference {self.name}", names)
        if not self.key or not set(self.key) <= set(names):
            raise DomainError(f"the key of reference {self.name} must be of its columns, and is {self.key}")


@dataclass(frozen=True)
class Candidate:
    """One model to try: `build` is 'package.module:function', called with `params`, returns an estimator.

    `calibration` is how its scores become probabilities, on days that it was not fitted on; None leaves them as they
    are, and those days are fitted on too. `compute` names the class of tasks that it needs, see `core/compute.py`.
    """

    name: str
    build: str
    params: Mapping[str, Any] = field(default_factory=dict)
    calibration: str | None = "sigmoid"
    compute: str = "train"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise DomainError(f"candidate {self.name!r}: use lower case letters, digits and underscores")
        if self.calibration not in CALIBRATIONS:
            raise DomainError(
                f"candidate {self.name} has the calibration {self.calibration!r}; there are {CALIBRATIONS}"
            )
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.compute):
            raise DomainError(f"candidate {self.name}: its compute class {self.compute!r} must be a lower case word")

    @property
    def family(self) -> str:
        """The function that builds it."""
        return self.build.rpartition(":")[2]

    @property
    def title(self) -> str:
        """What people read: the family, its parameters, and how it is calibrated."""
        calibrated = (self.calibration,) if self.calibration else ()
        return " ".join((self.family, *_written(self.params), *calibrated))

    def estimator(self) -> Any:
        """A fresh, unfitted estimator with `fit(X, y)` and `predict_proba(X)`."""
        return load_object(self.build)(**self.params)


@dataclass(frozen=True)
class Costs:
    """What a wrong decision costs, in units of the domain; a right one costs nothing."""

    false_alarm: float
    missed: float

    @property
    def threshold(self) -> float:
        """The probability from which acting is cheaper (Elkan 2001, equation 2)."""
        return self.false_alarm / (self.false_alarm + self.missed)


@dataclass(frozen=True)
class Gate:
    """What a challenger must reach on days that neither model has seen. Costs are per scored entity.

    `max_roc_auc` is more than an honest model can reach: above it a leak is likelier than skill. `max_age` is the
    number of days from the last one that a challenger was fitted on to the day of the decision. `margins` says by how
    much each other measure may be worse than the champion's, `slice_margin` by how much the cost of a slice may be
    higher, for slices of at least `min_slice_rows`.
    """

    min_rows: int
    min_days: int
    min_roc_auc: float
    max_ece: float
    max_age: int
    max_roc_auc: float = 1.0
    margins: Mapping[str, float] = field(default_factory=dict)
    slice_margin: float = 0.0
    min_slice_rows: int = 100
    confidence: float = 0.95
    bootstraps: int = 1000

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.margins) - set(MEASURES)):
            raise DomainError(f"margins of the gate are for {', '.join(MEASURES)}, not for {', '.join(unknown)}")
        if not 0.5 < self.confidence < 1:
            raise DomainError(f"the gate's confidence is {self.confidence:g}; it must lie between 0.5 and 1")


@dataclass(frozen=True)
class Slice:
    """A part of the entities that a model must not be worse for: the values of a text feature, or groups of them.

    Without `groups` each value is a group of its own; with them, a value that is in none belongs to 'other'.
    """

    name: str
    feature: str
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Windows:
    """How the days before a training are cut: fit, then calibration, then validation, then gate. In days.

    `max_fit` is for a rolling window: the most days to fit on. Without it all days since the first are.
    """

    min_fit: int
    calibration: int
    validation: int
    gate: int
    max_fit: int | None = None

    def __post_init__(self) -> None:
        if min(self.min_fit, self.calibration, self.validation, self.gate) < 1:
            raise DomainError(f"every window must have at least one day: {self}")
        if self.max_fit is not None and self.max_fit < self.min_fit:
            raise DomainError(f"max_fit is below min_fit: {self}")

    @property
    def days(self) -> int:
        """How many days with labels the first training takes."""
        return self.min_fit + self.calibration + self.validation + self.gate


@dataclass(frozen=True)
class Retraining:
    """When monitoring asks for a training. All in days since the last one was asked for: `cadence` for a champion of
    whom nothing bad is known (None: never), `without_champion` while there is none.

    `on_harm`: harm asks too. `on_drift` is a population stability index; when any feature has more, that asks too.
    Both only when `pause` days have passed, for what a training brings shows only after a while.
    """

    cadence: int | None
    without_champion: int
    pause: int = 14
    on_harm: bool = True
    on_drift: float | None = None

    def __post_init__(self) -> None:
        if min(self.cadence or 1, self.without_champion, self.pause) < 1:
            raise DomainError(f"trainings must lie at least one day apart: {self}")


@dataclass(frozen=True)
class Monitoring:
    """What counts as harm by a champion, over its last `window` matured days, and how often people hear of it.

    `max_ece` is the calibration error that is allowed, `max_cost` the cost per row as a share of what it costs without
    a model, when all rows are treated alike. Harm is what surely lies beyond, with `confidence`; fewer than `min_days`
    say nothing. Harm that lasts is told again after `remind_after` days; after `alerts_per_month` alerts of monitoring
    the rest of the month is kept and not sent.
    """

    window: int
    min_days: int
    max_ece: float
    max_cost: float = 1.0
    confidence: float = 0.95
    bootstraps: int = 1000
    remind_after: int = 14
    alerts_per_month: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.min_days <= self.window:
            raise DomainError(f"monitoring needs at least 2 days and at most its window: {self}")
        if not 0.5 < self.confidence < 1:
            raise DomainError(f"the confidence of monitoring is {self.confidence:g}; it must lie between 0.5 and 1")
        if min(self.remind_after, self.alerts_per_month) < 1:
            raise DomainError(f"remind_after and alerts_per_month must be at least 1: {self}")


@dataclass(frozen=True)
class Domain:
    """Everything the engine has to know about a business. `folder` holds its sql/ and checks/.

    `trusted_types` are all types beyond those that skops trusts that a model file of this domain may hold, those of
    former candidates included: a version may be put back. `slices` are what the gate looks at one by one.

    The deadlines say how long the chain waits: ingestion for a drop, features for earlier days to be checked or
    waived, scoring for a decision, a question for a person. `retention` is the number of days that raw rows stay in
    the warehouse before they may go to cold storage.
    """

    name: str
    folder: Path
    timezone: str
    drop_at: time
    first_day: date
    history_through: date
    last_day: date | None
    feed: str
    reference: tuple[Reference, ...]
    sources: tuple[Source, ...]
    unit: str
    unit_key: tuple[str, ...]
    label_days: int
    min_coverage: float
    candidates: tuple[Candidate, ...]
    trusted_types: tuple[str, ...]
    costs: Costs
    windows: Windows
    gate: Gate
    slices: tuple[Slice, ...]
    monitoring: Monitoring
    retraining: Retraining
    drop_deadline: timedelta
    quality_deadline: timedelta
    decision_deadline: timedelta
    answer_within: timedelta
    retention: int

    def __post_init__(self) -> None:
        ZoneInfo(self.timezone)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise DomainError(f"the name {self.name!r} must be lower case letters, digits and underscores")
        if not self.first_day <= self.history_through <= (self.last_day or date.max):
            raise DomainError("first_day, history_through and last_day must follow each other")
        if min(self.costs.false_alarm, self.costs.missed) <= 0:
            raise DomainError("both costs must be above zero, else no threshold exists")
        if self.unit not in {view.name for view in self.views}:
            raise DomainError(f"unit names the view {self.unit!r}, but sql/features/{self.unit}.sql is missing")
        self._check_labels()
        names = [feature.name for feature in self.features]
        _refuse_repeated("feature", names)
        _refuse_repeated("candidate", [candidate.name for candidate in self.candidates])
        _refuse_repeated("slice", [part.name for part in self.slices])
        texts = [feature.name for feature in self.features if feature.type == "text"]
        if others := [part.feature for part in self.slices if part.feature not in texts]:
            raise DomainError(f"slices are of text features, and {', '.join(others)} is none; there are {texts}")
        if taken := sorted(set(NO_FEATURES) & set(names)):
            raise DomainError(f"a feature cannot be called {', '.join(taken)}: rows have a column of that name already")
        have = {column.name for column in self.view(self.unit).entity}
        for view in self.views:
            lost = {column.name for column in view.entity} - have
            if lost:
                raise DomainError(f"view {view.name} is keyed by {sorted(lost)}, which {self.unit} does not have")
        _refuse_repeated("source", [source.name for source in self.sources])
        _refuse_repeated("reference", [reference.name for reference in self.reference])
        if not timedelta(0) < self.drop_deadline < timedelta(days=1):
            raise DomainError("drop_deadline must be above zero and below a day: then the next drop is due")
        needed = self.reach + self.label_days
        if self.retention < needed:
            raise DomainError(f"retention is {self.retention} days, but features and labels read {needed}")

    def _check_labels(self) -> None:
        """The labels are read by their columns' names, so these have to be right."""
        found = [view for view in self.built_views if view.kind is Kind.LABELS]
        if [view.name for view in found] != [LABELS]:
            raise DomainError(f"{self.name} needs the one file sql/labels/{LABELS}.sql, and no other beside it")
        have = {(column.name, column.type) for column in found[0].features}
        keyed_by = {column.name for column in found[0].entity}
        if have != {("label", "boolean")} or keyed_by != {EVENT_DAY, *self.unit_key}:
            raise DomainError(
                f"{LABELS}.sql must be keyed by {EVENT_DAY}, {', '.join(self.unit_key)} and have the one feature"
                " 'label boolean'"
            )

    @cached_property
    def built_views(self) -> tuple[FeatureView, ...]:
        """Everything that the feature store builds: tallies, labels and feature views, each after what it reads."""
        return read_views(self.folder / "sql")

    @cached_property
    def views(self) -> tuple[FeatureView, ...]:
        """The views that a model sees, the unit's first."""
        found = [view for view in self.built_views if view.kind is Kind.FEATURES]
        return tuple(sorted(found, key=lambda view: (view.name != self.unit, view.name)))

    @cached_property
    def reach(self) -> int:
        """The number of drops that the features and labels of a day may come from, that of the day included."""
        return max(view.reach for view in self.built_views)

    def view(self, name: str) -> FeatureView:
        """The view called `name`; a DomainError lists those there are."""
        for view in self.built_views:
            if view.name == name:
                return view
        raise DomainError(f"no feature view {name!r}; there are {', '.join(view.name for view in self.built_views)}")

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every feature of every view, in the order of the training matrix."""
        return tuple(feature for view in self.views for feature in view.features)

    def candidate(self, name: str) -> Candidate:
        """The candidate called `name`; a DomainError lists those there are."""
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise DomainError(f"no candidate {name!r}; there are {', '.join(c.name for c in self.candidates)}")

    def candidates_by_compute(self) -> dict[str, list[str]]:
        """The names of the candidates of each class of tasks, in the order of their declaration."""
        found: dict[str, list[str]] = {}
        for candidate in self.candidates:
            found.setdefault(candidate.compute, []).append(candidate.name)
        return found

    def feature_versions(self) -> dict[str, str]:
        """The version of every view that a model sees, by its name."""
        return {view.name: view.version for view in self.views}

    def source(self, name: str) -> Source:
        """The source called `name`."""
        return next(source for source in self.sources if source.name == name)

    def check_days(self, start: date, end: date) -> None:
        """Refuse days outside the domain's calendar."""
        last = self.last_day or date.max
        if not self.first_day <= start <= end <= last:
            raise DomainError(
                f"{start} to {end} is not inside the calendar of {self.name} ({self.first_day} to {last})."
                " Choose days inside it, or change first_day and last_day of the domain."
            )


def _written(params: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Parameters as `name=value`, those of a part as `part.name=value`."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _written(value, f"{within}{name}.")
        else:
            yield f"{within}{name}={value}"


def _refuse_repeated(kind: str, names: Sequence[str]) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DomainError(f"more than one {kind} is called {', '.join(repeated)}")


def load_object(path: str) -> Any:
    """The object that 'package.module:name' names. Called late, so that a heavy module loads when needed."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def days_between(start: date, end: date) -> list[date]:
    """Every day from `start` to `end`, both included."""
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]
