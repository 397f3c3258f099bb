"""Feast's half of `make bench-feast`: serve the training set from the tables that the project built, and time it.

Runs in `.venv-feast`, so it imports nothing of the project. What there is to serve comes as JSON, see
`local/bench_feast.py`. Each feature view of the project is one FeatureView of Feast on the same table.

    .venv-feast/bin/python -I local/feast_side.py <description.json> <way> <rows.arrow>
"""

import json
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Bool, Float64, Int32, Int64, String
from pyarrow import feather

FIELD_TYPES = {
    "boolean": Bool,
    "smallint": Int32,
    "integer": Int32,
    "bigint": Int64,
    "double precision": Float64,
    "text": String,
}
KEY_TYPES = {
    "smallint": ValueType.INT32,
    "integer": ValueType.INT32,
    "bigint": ValueType.INT64,
    "text": ValueType.STRING,
}
# A row is dated midnight of its day, as the entities are: it may be as old as it likes within that day.
SAME_DAY = timedelta(days=1) - timedelta(seconds=1)


def main(description: Path, way: str, output: Path) -> None:
    """Register the views, time the calls that serve all rows in this way, and write the rows."""
    # Feast hands pandas a connection that pandas did not test; it works.
    warnings.filterwarnings("ignore", message="pandas only supports SQLAlchemy")
    told = json.loads(description.read_text())
    store = make_store(told["postgres"], description.with_name("feast-registry.db"))
    entities, views = make_views(told["views"])
    store.apply([*entities, *views])
    names = [f"{view['name']}:{name}" for view in told["views"] for name, _ in view["features"]]
    # What a process loads once, and the connections it opens first, are not part of serving a year.
    serve(store, names, [told["warm_up"]])
    started = time.perf_counter()
    rows = serve(store, names, told["entities"][way])
    seconds = time.perf_counter() - started
    feather.write_feather(rows, str(output), compression="uncompressed")
    print(json.dumps({"seconds": seconds}))


def make_store(postgres: dict[str, str], registry: Path) -> FeatureStore:
    """A store with a registry in a file and without an online store, for none is read."""
    return FeatureStore(
        config=RepoConfig(
            project="flightline",
            provider="local",
            registry=str(registry),
            online_store=None,
            offline_store={"type": "postgres", "password": "", **postgres},
            entity_key_serialization_version=3,
        )
    )


def make_views(told: list[dict[str, Any]]) -> tuple[list[Entity], list[FeatureView]]:
    """The entities and the views; a view without a key has no entity, and Feast joins it by time alone."""
    keys = dict(key for view in told for key in view["keys"])
    entities = {name: Entity(name=name, join_keys=[name], value_type=KEY_TYPES[kind]) for name, kind in keys.items()}
    views = [
        FeatureView(
            name=view["name"],
            entities=[entities[name] for name, _ in view["keys"]],
            schema=[Field(name=name, dtype=FIELD_TYPES[kind]) for name, kind in view["keys"] + view["features"]],
            source=PostgreSQLSource(name=view["name"], table=view["table"], timestamp_field="as_of"),
            ttl=SAME_DAY,
            online=False,
        )
        for view in told
    ]
    return list(entities.values()), views


def serve(store: FeatureStore, names: list[str], entities: list[str]) -> pa.Table:
    """The features of the rows that these queries list, in one table: one call of Feast each."""
    jobs = (store.get_historical_features(entity_df=query, features=names) for query in entities)
    return pa.concat_tables(job.to_arrow() for job in jobs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
