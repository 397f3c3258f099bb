"""Does a feature know the future? Spoils what came after a day, builds again, and tells which columns moved.

To try a domain of your own, fill a warehouse with its drops of a few days, from its first day on, each checked or
waived; ten days say as much as a year, and `dataclasses.replace(domain, first_day=...)` lets history begin where you
like. Then, for some of these days, the first one and the end of a month among them:

    assert leaks(domain, day) == []

A line of the answer reads like this, and the view that it names first is the one to mend:

    origin_weather.temp, 2013-01-31 of EWR: 60.8 became 35.96 with later rows falsified, built in one range; so in 7
    other ways

What stands in `reference` has no day, so a feature can learn the future from there without being seen here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial

from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from include.core.domain import Column, Domain, Source
from include.core.feature_view import FeatureView
from include.dataops import feature_registry, feature_store
from include.dataops.feature_store import TrainingSet
from tests.warehouse.chain import build, clear_features, execute, rows

TRAINING_SET = "training_set"
ENTITY = ("as_of", "entity_id")
NUMBERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1, "double precision": 1e300}
# What is beyond the values of a column, and what is the end of them.
HIGHER = "least({limit}, 2 * max({name}::numeric) - min({name}::numeric) + 1)"
LOWER = "greatest(-{limit}, 2 * min({name}::numeric) - max({name}::numeric) - 1)"
LAST = "(array_agg({name} order by {name} desc nulls last))[1]"
FIRST = "(array_agg({name} order by {name} nulls last))[1]"

# {(day, the entity's columns): the other values}, all as text.
Rows = dict[tuple[str, ...], tuple[str | None, ...]]
# The value that a column of the later rows gets.
Spoilt = Callable[[Source, Column], Composable]


def leaks(domain: Domain, cut_off: date, *, spoil_from: date | None = None) -> list[str]:
    """What moved of the days up to `cut_off` when later drops changed: a line a column, what others read first.

    Every view is built in one range over all days that the warehouse holds, then the cut-off day again alone, and that
    day alone with nothing later there, as on its morning. All of these have to give the same rows of the days up to
    `cut_off`, and the same training set known at it. The drops are put back in the end, and nothing is built.
    Spoilt values are such as may come: a view that fails on them fails here.

    `spoil_from` spoils earlier drops too: then something has to move, or this function sees nothing.
    """
    ((first, last),) = rows("select min(as_of), max(as_of) from quality.partitions")
    spoil_from = spoil_from or cut_off + timedelta(days=1)
    if not first <= cut_off < last:
        raise ValueError(f"{cut_off} has no drops after it: the warehouse holds {first} to {last}")
    feature_registry.ensure_registered(domain)
    with kept(domain, spoil_from):
        clear_features(domain)
        build(domain, first, last)
        moves = _Moves(domain, first, cut_off)
        build(domain, cut_off)
        moves.note("with nothing changed, built again alone")
        for damage, replacements in DAMAGES.items():
            spoil(domain, spoil_from, replacements)
            clear_features(domain)
            build(domain, first, last)
            moves.note(f"with later rows {damage}, built in one range")
            build(domain, cut_off)
            moves.note(f"with later rows {damage}, built again alone")
        spoil(domain, spoil_from, ())
        clear_features(domain)
        build(domain, cut_off)
        moves.note("built as on its morning", day=cut_off)
    return moves.told()


def named(found: list[str]) -> set[str]:
    """The columns that the lines of `leaks` name, as 'view.column'; 'view.row' is of rows that came or went."""
    return {line.partition(",")[0] for line in found}


class _Moves:
    """What was there first; the first example of each column that moved since, and the ways in which it did."""

    def __init__(self, domain: Domain, first: date, cut_off: date):
        self.domain, self.first, self.cut_off = domain, first, cut_off
        self.views = _rows_of_views(domain, cut_off)
        self.training = self._training_set()
        self.examples: dict[tuple[str, str], str] = {}
        self.ways: dict[tuple[str, str], set[str]] = {}

    def note(self, way: str, *, day: date | None = None) -> None:
        """Compare all that is there now, or what is there of one day."""
        found = _rows_of_views(self.domain, self.cut_off)
        for view in self.domain.built_views:
            before, after = (
                {key: values for key, values in seen[view.name].items() if day is None or key[0] == str(day)}
                for seen in (self.views, found)
            )
            self._compare(view.name, _split(self.domain, view)[1], before, after, way)
        if day is None:
            self._note_training_set(way)

    def _note_training_set(self, way: str) -> None:
        training = self._training_set()
        if training.data_hash != self.training.data_hash:
            self._moved(TRAINING_SET, "data_hash", str(self.cut_off), self.training.data_hash, training.data_hash, way)
        if not training.rows.equals(self.training.rows):
            columns = [name for name in training.rows.column_names if name not in ENTITY]
            self._compare(TRAINING_SET, columns, _rows_of(self.training), _rows_of(training), way)

    def told(self) -> list[str]:
        """A line for each column, in the order of building."""
        below = {view.name: view.reads for view in self.domain.built_views}
        order = [*below, TRAINING_SET]
        moved = {view for view, _ in self.examples}
        lines = []
        for view, column in sorted(self.examples, key=lambda found: order.index(found[0])):
            through = [name for name in below.get(view, ()) if name in moved]
            told = f" (it reads {', '.join(through)})" if through else ""
            more = len(self.ways[view, column]) - 1
            lines.append(f"{view}.{column}, {self.examples[view, column]}; so in {more} other ways{told}")
        return lines

    def _training_set(self) -> TrainingSet:
        return feature_store.training_set(self.domain, self.first, self.cut_off, known_at=self.cut_off)

    def _compare(self, view: str, columns: Sequence[str], before: Rows, after: Rows, way: str) -> None:
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            if old is None or new is None:
                was, became = ("nothing", "a row") if old is None else ("a row", "nothing")
                self._moved(view, "row", _told(key), was, became, way)
            elif old != new:
                for column, was, became in zip(columns, old, new, strict=True):
                    if was != became:
                        self._moved(view, column, _told(key), was, became, way)

    def _moved(self, view: str, column: str, where: str, was: str | None, became: str | None, way: str) -> None:
        self.examples.setdefault((view, column), f"{where}: {was} became {became} {way}")
        self.ways.setdefault((view, column), set()).add(way)


def _told(key: tuple[str, ...]) -> str:
    return f"{key[0]} of {'-'.join(key[1:])}" if key[1:] else key[0]


def _split(domain: Domain, view: FeatureView) -> tuple[list[str], list[str]]:
    """What tells the rows of a view apart, and its other columns."""
    entity = domain.unit_key if view.name == domain.unit else tuple(column.name for column in view.entity)
    key = ["as_of", *entity]
    return key, [column.name for column in view.columns if column.name not in key]


def _rows_of_views(domain: Domain, cut_off: date) -> dict[str, Rows]:
    """The rows of every view up to the cut-off."""
    found = {}
    for view in domain.built_views:
        key, others = _split(domain, view)
        columns = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in (*key, *others))
        query = SQL("select {} from {} where as_of <= %s").format(columns, feature_registry.table_of(view))
        found[view.name] = {row[: len(key)]: row[len(key) :] for row in rows(query, (cut_off,))}
    return found


def _rows_of(training: TrainingSet) -> Rows:
    return {
        (str(row["as_of"]), row["entity_id"]): tuple(str(value) for name, value in row.items() if name not in ENTITY)
        for row in training.rows.to_pylist()
    }


@contextmanager
def kept(domain: Domain, since: date) -> Iterator[None]:
    """Keep the rows from `since` on in the schema `kept` too; in the end they are put back, and nothing is built."""
    execute("create schema kept")
    for source in domain.sources:
        copied = SQL("create table {} as select * from {} where as_of >= %s")
        execute(copied.format(Identifier("kept", source.name), Identifier("raw", source.name)), (since,))
    try:
        yield
    finally:
        spoil(domain, since, (_as_it_was,))
        execute("drop schema kept cascade")
        clear_features(domain)


def spoil(domain: Domain, since: date, replacements: tuple[Spoilt, ...]) -> None:
    """Replace the rows from `since` on: for each replacement a row with these values; with none they are gone."""
    for source in domain.sources:
        execute(SQL("delete from {} where as_of >= %s").format(Identifier("raw", source.name)), (since,))
        if replacements:
            execute(_statement(source, replacements))


def _statement(source: Source, replacements: tuple[Spoilt, ...]) -> Composed:
    kept = Identifier("kept", source.name)
    selects = [
        SQL("select as_of, line + {} * (select max(line) from {}), {} from {} as later").format(
            Literal(number),
            kept,
            SQL(", ").join(SQL("({})::{}").format(value(source, of), SQL(of.type)) for of in source.columns),
            kept,
        )
        for number, value in enumerate(replacements)
    ]
    return SQL("insert into {} (as_of, line, {}) {}").format(
        Identifier("raw", source.name),
        SQL(", ").join(map(Identifier, source.names)),
        SQL(" union all ").join(selects),
    )


def _as_it_was(source: Source, column: Column) -> Composable:
    return Identifier("later", column.name)


def _another(source: Source, column: Column) -> Composable:
    """Another value of those that occur, far from this one; two different ones stay different, so keys stay keys."""
    name, kept = Identifier(column.name), Identifier("kept", source.name)
    return SQL(
        "case when {value} is not null then"
        " (array(select distinct {name} from {kept} where {name} is not null order by 1))"
        "[mod(dense_rank() over (order by {value}) - 1 + {many} / 2, {many}) + 1] end"
    ).format(
        value=Identifier("later", column.name),
        name=name,
        kept=kept,
        many=SQL("(select count(distinct {}) from {})").format(name, kept),
    )


def _extreme(source: Source, column: Column, *, highest: bool) -> Composable:
    """The end of what is declared, or beyond what occurs; of what can only be ordered, the end of what occurs.

    Keys stay, for they would be the same in every row.
    """
    declared = column.maximum if highest else column.minimum
    if column.name in source.key:
        return Identifier("later", column.name)
    if declared is not None:
        return Literal(declared)
    beyond = (HIGHER, LOWER) if column.type in NUMBERS else (LAST, FIRST)
    return SQL("(select {beyond} from {kept})").format(
        beyond=SQL(beyond[0] if highest else beyond[1]).format(
            name=Identifier(column.name), limit=Literal(NUMBERS.get(column.type))
        ),
        kept=Identifier("kept", source.name),
    )


def _nothing(source: Source, column: Column) -> Composable:
    """Null, where the declaration allows it."""
    return Identifier("later", column.name) if column.required else SQL("null")


def _added(source: Source, column: Column) -> Composable:
    """The same row under a key that does not occur."""
    value = Identifier("later", column.name)
    if column != _told_apart_by(source):
        return value
    if column.type == "text":
        return SQL("{} || '+'").format(value)
    if column.type == "timestamptz":
        return SQL("{} + interval '1 microsecond'").format(value)
    span = SQL("(select max({name}) - min({name}) + 1 from {kept})").format(
        name=Identifier(column.name), kept=Identifier("kept", source.name)
    )
    return SQL("{} + {}").format(value, span)


def _told_apart_by(source: Source) -> Column:
    """The column of the key that an added row differs in: a number or a moment if there is one."""
    order = (*NUMBERS, "timestamptz", "text", "date")
    of_key = [column for column in source.columns if column.name in source.key and column.type in order]
    return min(of_key, key=lambda column: order.index(column.type))


# What is done to later rows, and what stands in their place.
DAMAGES: dict[str, tuple[Spoilt, ...]] = {
    "deleted": (),
    "falsified": (_another,),
    "set to the highest": (partial(_extreme, highest=True),),
    "set to the lowest": (partial(_extreme, highest=False),),
    "emptied": (_nothing,),
    "added": (_as_it_was, _added),
}
