"""Score as-of days: each with the champion that was effective on it, or a range with one version, as a rollback does.

Rows are read, scored and written at the same time, a batch after the other: memory does not grow with the range.
"""

import logging
import os
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING, Any

from include.core import ledger, warehouse
from include.core.domain import Domain, days_between
from include.core.ledger import NotReadyError, Stage
from include.dataops import feature_store
from include.modelops import champion, registry
from include.modelops.registry import ModelVersion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from psycopg2.extensions import cursor as Cursor

log = logging.getLogger(__name__)
Baseline = tuple[ModelVersion, Any]
BATCH_ROWS = 1 << 14
COLUMNS = ("as_of", "entity_id", "model_version", "probability", "decision", "features_version", "superseded")
# Batches that may wait to be written, so that memory stays small when the server is slow.
_AHEAD = 2
_COPY_BYTES = 1 << 18
# How often the champion may change while it is loaded, before this is taken for a fault.
_TRIES = 5


def score_day(domain: Domain, as_of: date, run_id: str) -> dict[str, Any]:
    """Replace the predictions of `as_of` by the champion's; those of any other version are marked superseded.

    Returns {"rows", "model_version"}. While there is no champion nothing is scored, and the ledger says so. A champion
    that changes before its predictions are written scores nothing: the new one does.

    The first champion there ever was is scored beside the present one, superseded from the start: what it would have
    cost is the measure of everything that was learned since.
    """
    for _ in range(_TRIES):
        with warehouse.transaction() as cursor:
            version = champion.on(cursor, as_of)
            first = champion.first(cursor)
        model = registry.load(domain, version) if version else None
        baseline = _load_baseline(domain, first) if first and version and first.version != version.version else None
        with warehouse.transaction() as cursor:
            warehouse.lock_shared(cursor, champion.LOCK)
            if champion.on(cursor, as_of) != version:
                continue
            if version is None:
                outcome: dict[str, Any] = {"rows": 0, "model_version": None}
                ledger.record(cursor, as_of, Stage.SCORED, run_id, state="no_champion", detail=outcome)
            else:
                rows = _replace(cursor, domain, as_of, as_of, version, model, baseline)
                outcome = {"rows": rows[as_of], "model_version": version.version}
                ledger.record(cursor, as_of, Stage.SCORED, run_id, detail=outcome)
            return outcome
    raise NotReadyError(
        f"The champion of {as_of} changed {_TRIES} times while it was loaded. Look into ml.decisions, then clear"
        " score_batch for that day."
    )


def score_days(domain: Domain, start: date, end: date, version: ModelVersion, run_id: str) -> dict[date, int]:
    """Replace the predictions of every day of `[start, end]` by those of `version`, whoever was champion, or none.

    Returns the rows of each day. The ledger then names the version for the days that went through scoring; of the
    others it knows as little as before. Raises NotReadyError for a version that is not registered.
    """
    with warehouse.transaction() as cursor:
        registry.read_version(cursor, version.version)
    model = registry.load(domain, version)
    with warehouse.transaction() as cursor:
        warehouse.lock_shared(cursor, champion.LOCK)
        rows = _replace(cursor, domain, start, end, version, model)
        cursor.execute(
            warehouse.statement("modelops/rescored_days"),
            {"days": list(rows), "rows": list(rows.values()), "version": version.version, "run_id": run_id},
        )
    return rows


def _load_baseline(domain: Domain, first: ModelVersion) -> Baseline | None:
    """The first champion, or None when it cannot be loaded any more: that must not hold up today's predictions."""
    try:
        return first, registry.load(domain, first)
    except Exception:  # whatever it is, the champion is what counts
        log.warning("Version %s, the first champion, cannot be scored for comparison", first.version, exc_info=True)
        return None


def _replace(
    cursor: "Cursor",
    domain: Domain,
    start: date,
    end: date,
    version: ModelVersion,
    model: Any,
    baseline: Baseline | None = None,
) -> dict[date, int]:
    """Write the predictions of `version` for these days anew and mark all others superseded; the rows of each day."""
    from threadpoolctl import threadpool_limits

    days = days_between(start, end)
    for day in days:
        warehouse.lock(cursor, "predictions", day)
    written_anew = [version.version, *([baseline[0].version] if baseline else [])]
    bound = {"start": start, "end": end, "versions": written_anew}
    cursor.execute(
        "delete from ml.predictions where as_of between %(start)s and %(end)s and model_version = any(%(versions)s)",
        bound,
    )
    cursor.execute(
        "update ml.predictions set superseded = true where as_of between %(start)s and %(end)s and not superseded",
        bound,
    )
    rows: Counter[date] = Counter(dict.fromkeys(days, 0))
    features_version = feature_store.features_version(domain)
    writing: deque[Future[None]] = deque()
    # Half of the cores are for reading and writing: threads that have to share theirs hold up all the others.
    with (
        closing(feature_store.scoring_rows(domain, start, end, BATCH_ROWS)) as batches,
        ThreadPoolExecutor(max_workers=1) as writer,
        threadpool_limits(limits=max(1, (os.cpu_count() or 1) // 2)),
    ):
        for batch in batches:
            scored = _score(batch, version, model, features_version)
            writing.append(writer.submit(_write, cursor, scored))
            if baseline and (beside := _score_baseline(batch, baseline, features_version)):
                writing.append(writer.submit(_write, cursor, beside))
            while len(writing) > _AHEAD:
                writing.popleft().result()
            for counted in batch["as_of"].value_counts():
                rows[counted["values"].as_py()] += counted["counts"].as_py()
        for written in writing:
            written.result()
    return dict(rows)


def _score_baseline(batch: "pa.Table", baseline: Baseline, features_version: str) -> "pa.Table | None":
    """The rows of the first champion; None when the features are no longer those that it was fitted on."""
    try:
        return _score(batch, *baseline, features_version, superseded=True)
    except Exception:  # whatever it is, the champion is what counts
        log.warning("Version %s, the first champion, cannot be compared with", baseline[0].version, exc_info=True)
        return None


def _score(
    batch: "pa.Table", version: ModelVersion, model: Any, features_version: str, *, superseded: bool = False
) -> "pa.Table":
    """The rows of `ml.predictions` for a batch of the feature store."""
    import pyarrow as pa

    keys = ["as_of", "entity_id"]
    probabilities = _predict(model, feature_store.frame_of(batch.drop_columns(keys)))
    columns = [
        *(batch[name] for name in keys),
        pa.repeat(version.version, len(batch)),
        pa.array(probabilities),
        pa.array(probabilities >= version.threshold),
        pa.repeat(features_version, len(batch)),
        pa.repeat(superseded, len(batch)),
    ]
    return pa.table(columns, names=list(COLUMNS))


def _predict(model: Any, features: "pd.DataFrame") -> "np.ndarray":
    """The probability of each row, to the same bits whichever rows are beside it.

    A product of matrices is rounded by its shape, so the model always gets `BATCH_ROWS` rows; too few are repeated.
    """
    import numpy as np

    whole = features if len(features) == BATCH_ROWS else features.iloc[np.arange(BATCH_ROWS) % len(features)]
    probabilities: np.ndarray = model.predict_proba(whole)[: len(features), 1]
    return probabilities


def _write(cursor: "Cursor", scored: "pa.Table") -> None:
    """Append rows of predictions by COPY. Numbers are written in their shortest exact form."""
    from pyarrow import csv

    lines = BytesIO()
    csv.write_csv(scored, lines, csv.WriteOptions(include_header=False))
    lines.seek(0)
    cursor.copy_expert(f"copy ml.predictions ({', '.join(COLUMNS)}) from stdin (format csv)", lines, _COPY_BYTES)
