"""The rows of a model, for training and for scoring, by one statement: what differs is whether labels are joined.

Point-in-time by construction: the features of a day come from drops up to that day and are joined by equality on the
day, and a label counts from the drop that brought it. So nothing that was learned later can be in a row.
"""

import hashlib
import json
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import EVENT_DAY, LABELS, Domain
from include.core.ledger import NotReadyError
from include.dataops import feature_registry, parquet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composable


@dataclass(frozen=True)
class TrainingSet:
    """Rows of a model, and the hash that names them: the same rows have the same hash on any machine.

    `rows` has as_of (date), entity_id (text), label (boolean, if asked for), then every feature of the domain in its
    order and type; it is sorted by as_of and entity_id.
    """

    rows: "pa.Table"
    data_hash: str

    def frames(self) -> tuple["pd.DataFrame", "pd.DataFrame"]:
        """The rows as (keys, features), as estimators take them.

        keys has as_of (datetime.date), entity_id and, if there are labels, label (bool). Text features are of dtype
        object, all others float64; a null is NaN.
        """
        keys = self.rows.select([name for name in self.rows.column_names if name in KEYS])
        return keys.to_pandas(date_as_object=True), frame_of(self.rows.drop_columns(keys.column_names))


def frame_of(features: "pa.Table") -> "pd.DataFrame":
    """Features as estimators take them, see `TrainingSet.frames`."""
    import pyarrow as pa

    # Numbers become float64 here and not in pandas, which would copy all of them once more.
    frame = pa.table({name: _as_number(features[name]) for name in features.column_names}).to_pandas()
    texts = frame.select_dtypes("object").columns
    frame[texts] = frame[texts].where(frame[texts].notna(), float("nan"))
    return frame


def _as_number(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Everything but text as float64: a day as its number since 1970, a large whole number to the nearest."""
    import pyarrow as pa

    if pa.types.is_string(values.type):
        return values
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    return values.cast(pa.float64(), safe=False)


KEYS = ("as_of", "entity_id", "label")


def training_set(
    domain: Domain, start: date, end: date, *, known_at: date | None = None, labels: bool = True
) -> TrainingSet:
    """The rows of `[start, end]` with the labels that had landed by the drop of `known_at`, streamed by COPY.

    Without `known_at` labels have had `label_days` to land; rows without a label are left out. With `labels=False` it
    is what scoring reads. Raises NotReadyError when a day is not built, or from another version of a view; for
    training also when it was built from drops that have been replaced since.
    """
    domain.check_days(start, end)
    bound = bounds(domain, start, end, known_at)
    with warehouse.transaction() as cursor:
        one_moment(cursor)
        require_fresh(cursor, domain, bound, labels=labels)
        warehouse.join_by_hash(cursor)
        return read(cursor, domain, statement(domain, labels=labels), bound, labels=labels)


def scoring_rows(domain: Domain, start: date, end: date, size: int) -> Generator["pa.Table"]:
    """The same rows as `training_set` gives without labels, in no order: tables of `size` rows, the last one of fewer,
    while the server sends. A day's rows may be spread over several tables.

    Nothing is read before the first is asked for. Raises NotReadyError as `training_set` does.
    """
    import pyarrow as pa

    domain.check_days(start, end)
    bound = bounds(domain, start, end, None)
    schema = _schema(domain, labels=False)
    with warehouse.transaction() as cursor:
        one_moment(cursor)
        require_fresh(cursor, domain, bound, labels=False)
        warehouse.join_by_hash(cursor)
        with parquet.stream(cursor, statement(domain, labels=False, ordered=False), bound, schema) as streamed:
            gathered: list[pa.RecordBatch] = []
            for batch in streamed.batches:
                gathered.append(batch)
                if sum(part.num_rows for part in gathered) >= size:
                    rows = pa.Table.from_batches(gathered)
                    while rows.num_rows >= size:
                        yield rows.slice(0, size)
                        rows = rows.slice(size)
                    gathered = rows.to_batches()
            if any(part.num_rows for part in gathered):
                yield pa.Table.from_batches(gathered)


def features_version(domain: Domain) -> str:
    """The versions of all views that a model sees, in 12 hex characters: when one changes, so does this."""
    return hashlib.sha256(json.dumps(domain.feature_versions(), sort_keys=True).encode()).hexdigest()[:12]


def one_moment(cursor: "Cursor") -> None:
    """Let the transaction, which this has to begin, see the tables as they are now, whatever is built meanwhile: what
    is found fresh has to be what is read.
    """
    cursor.execute("set transaction isolation level repeatable read")
    cursor.execute(feature_registry.KEEP_OUT_CHANGES)


def bounds(domain: Domain, start: date, end: date, known_at: date | None) -> dict[str, date]:
    """The parameters of `statement`; labels land by `known_at`, or within the days that the domain gives them."""
    landed = known_at or min(end + timedelta(days=domain.label_days), domain.last_day or date.max)
    return {"start": start, "end": end, "known_at": landed}


def statement(
    domain: Domain, *, labels: bool, ordered: bool = True, only: Collection[str] | None = None
) -> "Composable":
    """The query of the rows: as_of, entity_id, the label if asked for, and every feature, or those in `only`. Sorted by
    the first two, for whom the order tells rows apart; to sort a year of them takes as long as to join them.

    Bound parameters: `start`, `end` and, for labels, `known_at`, see `bounds`.
    """
    from psycopg2 import sql

    chosen = {view.name: [f for f in view.features if only is None or f.name in only] for view in domain.views}
    unit, *others = domain.views
    others = [view for view in others if chosen[view.name]]
    selected: list[Composable] = [
        sql.Identifier(unit.name, "as_of"),
        sql.SQL("{} as entity_id").format(entity_id(domain, unit.name)),
    ]
    joins = [
        sql.SQL("left join {} on {}").format(
            sql.Identifier("features", view.name),
            sql.SQL(" and ").join(
                sql.SQL("{} = {}").format(sql.Identifier(view.name, name), sql.Identifier(unit.name, name))
                for name in ("as_of", *(column.name for column in view.entity))
            ),
        )
        for view in others
    ]
    if labels:
        selected.append(sql.Identifier(LABELS, "label"))
        on = [sql.SQL("{} = {}").format(sql.Identifier(LABELS, EVENT_DAY), sql.Identifier(unit.name, "as_of"))]
        on += [
            sql.SQL("{} = {}").format(sql.Identifier(LABELS, name), sql.Identifier(unit.name, name))
            for name in domain.unit_key
        ]
        joins.append(
            sql.SQL("join ({}) as {} on {}").format(
                landed_labels(domain), sql.Identifier(LABELS), sql.SQL(" and ").join(on)
            )
        )
    selected += [sql.Identifier(view, feature.name) for view, features in chosen.items() for feature in features]
    return sql.SQL("select {} from {} {} where {} between %(start)s and %(end)s{}").format(
        sql.SQL(", ").join(selected),
        sql.Identifier("features", unit.name),
        sql.SQL(" ").join(joins),
        sql.Identifier(unit.name, "as_of"),
        sql.SQL(" order by 1, 2" if ordered else ""),
    )


def landed_labels(domain: Domain) -> "Composable":
    """The query of the outcomes of the days `[start, end]` that had landed by the drop of `known_at`: one row each,
    with `landed`, the drop that brought it. Of an outcome that came twice the last counts.
    """
    from psycopg2 import sql

    # A label is true if the last drop that said so is the last of all. Hashed groups need no sort of a year of rows.
    return sql.SQL(
        "select {key}, max(as_of) as landed, coalesce(max(as_of) filter (where label) = max(as_of), false) as label"
        " from {table} where {event_day} between %(start)s and %(end)s and as_of between %(start)s and %(known_at)s"
        " and label is not null group by {key}"
    ).format(
        key=sql.SQL(", ").join(map(sql.Identifier, (EVENT_DAY, *domain.unit_key))),
        table=sql.Identifier("features", LABELS),
        event_day=sql.Identifier(EVENT_DAY),
    )


def entity_id(domain: Domain, table: str) -> "Composable":
    """The text that names one scored entity of a day, from the unit's key columns of `table`."""
    from psycopg2 import sql

    return sql.SQL("concat_ws('-', {}) collate \"C\"").format(
        sql.SQL(", ").join(sql.Identifier(table, name) for name in domain.unit_key)
    )


def read(
    cursor: "Cursor", domain: Domain, query: "Composable", bound: Mapping[str, Any], *, labels: bool
) -> TrainingSet:
    """The rows of `query`, which has the columns of `statement`, streamed into Arrow and hashed on their way."""
    import pyarrow as pa

    schema = _schema(domain, labels=labels)
    with parquet.stream(cursor, query, bound, schema) as streamed:
        rows = pa.Table.from_batches(streamed.batches, parquet.arrow_schema(schema))
        return TrainingSet(rows, streamed.digest)


def _schema(domain: Domain, *, labels: bool) -> dict[str, str]:
    """The name and Postgres type of each column of `statement`, in order."""
    keys = {"as_of": "date", "entity_id": "text"} | ({"label": "boolean"} if labels else {})
    return keys | {feature.name: feature.type for feature in domain.features}


def require_fresh(cursor: "Cursor", domain: Domain, bound: Mapping[str, date], *, labels: bool) -> None:
    """Refuse days that a view does not hold as its SQL is now or, for training, as the drops are now."""
    start, end = bound["start"], bound["end"]
    stale = feature_registry.stale_days(cursor, domain.views, start, end)
    if labels:
        stale |= feature_registry.stale_days(cursor, [domain.view(LABELS)], start, bound["known_at"])
    else:
        stale = feature_registry.only(stale, feature_registry.MISSING, feature_registry.OTHER_VERSION)
    if stale:
        days = [day for of_view in stale.values() for day in of_view]
        raise NotReadyError(
            f"These features are not what a build would give now, and are not mixed with others:"
            f" {feature_registry.told(stale)}. Trigger backfill_features with start {min(days)}, end {max(days)} and"
            f" views {', '.join(stale)}."
        )
