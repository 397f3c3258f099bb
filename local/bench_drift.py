"""What drift costs: a day of it in a warehouse that holds the year, and Evidently's report on the same rows.

- `drift_day_seconds`: what monitoring does for one day: the day's scored rows, their shares by bin in SQL, the
  distances, and the rows of `ml.drift`.
- `evidently_vs_drift`: Evidently's computation, by the population stability index, over the profile of the reference
  and the day's drift. The reference are three months, from a frame in memory. Neither the import of Evidently counts,
  nor the HTML.
- `evidently_vs_drift_of_a_morning`: the same over the day's drift alone, for the profile is made once a model.

What is measured runs in a fresh process, `python -m local.bench_drift`. The scores are made up: their values do not
matter to it.
"""

import json
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from local import bench_features, bench_server
from local.bench_server import Bench, Figures

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor

    from include.core.domain import Domain

MODULE = "local.bench_drift"
ROUNDS = 3
DAY = bench_features.LATE
REFERENCE = (DAY - timedelta(days=92), DAY - timedelta(days=1))
VERSION = 1_000_000  # of no model


def measure(bench: Bench) -> Figures:
    """The figures, on a copy of a warehouse that has the features of the year."""
    bench_server.say("Measuring a day's drift against Evidently's report")
    with bench.fresh_database("drift") as database:
        return bench.run(MODULE, database=database)


def drift() -> Figures:
    """Seconds of a day's drift, of the profile it is compared with, and of Evidently's computation of both."""
    from include.core import warehouse
    from include.flights.domain import domain
    from include.modelops import drift as distances
    from include.modelops import drift_rows, report

    with warehouse.transaction() as cursor:
        _score_the_year(cursor, domain)
    reference, today = (_frame(domain, *days) for days in (REFERENCE, (DAY, DAY)))
    features, scores = reference.drop(columns=report.PROBABILITY), reference[report.PROBABILITY].to_numpy()
    with warehouse.transaction() as cursor:
        _keep(cursor, distances.profile(domain, features, scores))
        cursor.execute("analyze ml.predictions")

    def day() -> None:
        with warehouse.transaction() as cursor:
            warehouse.join_by_hash(cursor)
            found = drift_rows.replace(cursor, domain, DAY, VERSION)
            if len(found) != len(domain.features):
                raise ValueError(f"There is drift of {len(found)} features, and there are {len(domain.features)}")

    report.compare(reference.head(100), today.head(100))  # imports what it takes
    measured: dict[str, Callable[[], Any]] = {
        "drift_day_seconds": day,
        "drift_profile_seconds": lambda: distances.profile(domain, features, scores),
        "evidently_seconds": lambda: report.compare(reference, today),
    }
    rounds = [{name: _seconds(act) for name, act in measured.items()} for _ in range(ROUNDS)]
    figures = {name: statistics.median(taken[name] for taken in rounds) for name in measured}
    of_day, profile, evidently = figures.values()
    return figures | {
        "evidently_vs_drift": evidently / (profile + of_day),
        "evidently_vs_drift_of_a_morning": evidently / of_day,
    }


def _seconds(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _score_the_year(cursor: "Cursor", domain: "Domain") -> None:
    """Predictions for every row of the year, as many as a year of scoring leaves."""
    from psycopg2 import sql

    from include.dataops import feature_store

    start, end = bench_features.year_of(domain)
    cursor.execute(
        sql.SQL(
            "insert into ml.predictions (as_of, entity_id, model_version, probability, decision, features_version)"
            " select as_of, entity_id, %(version)s, ('x' || left(md5(entity_id), 8))::bit(32)::bigint / 4294967296.0,"
            " false, '' from ({}) as features"
        ).format(feature_store.statement(domain, labels=False, ordered=False)),
        {"start": start, "end": end, "version": VERSION},
    )


def _frame(domain: "Domain", start: Any, end: Any) -> "pd.DataFrame":
    """The features of these days, and the made up probability of each row."""
    import pandas as pd

    from include.core import warehouse
    from include.dataops import feature_store
    from include.modelops.report import PROBABILITY

    keys, features = feature_store.training_set(domain, start, end, labels=False).frames()
    with warehouse.transaction() as cursor:
        cursor.execute(
            "select entity_id, as_of, probability from ml.predictions where as_of between %s and %s", (start, end)
        )
        scored = pd.DataFrame(cursor.fetchall(), columns=["entity_id", "as_of", PROBABILITY])
    return features.assign(**{PROBABILITY: keys.merge(scored, "left")[PROBABILITY].to_numpy()})


def _keep(cursor: "Cursor", profile: dict[str, dict[str, Any]]) -> None:
    """The profile of a version that is no model, as the registry keeps it."""
    from include.modelops import registry

    cursor.execute(
        "insert into ml.models (model_version, trained_as_of, candidate, artifact_path, artifact_sha256, mlflow_run_id,"
        " fitted_from, fitted_through, data_hash, features, threshold)"
        " values (%(version)s, %(end)s, '', '', '', '', %(start)s, %(end)s, '', '{}', 0.5)",
        {"version": VERSION, "start": REFERENCE[0], "end": REFERENCE[1]},
    )
    registry.keep_profile(cursor, VERSION, profile)


if __name__ == "__main__":
    print(json.dumps(drift()))
