"""A report that explains an alert: the rows of late against those that the champion was fitted on, kept with the model.

Monitoring measures every day in SQL. This is for the day on which somebody wants to look: Evidently's page of the
distributions, one file that loads nothing from elsewhere, among the artifacts of the version's run in MLflow.
"""

import html
import logging
import os
import warnings
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Domain
from include.dataops import feature_store, parquet
from include.modelops import champion

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import cursor as Cursor
    from psycopg2.sql import Composable

log = logging.getLogger(__name__)

FOLDER = "reports"
WINDOW_DAYS = 28
# Enough to see a distribution, and few enough for the memory of a small worker.
MOST_ROWS = 20_000
PROBABILITY = "probability"


def explain(domain: Domain, as_of: date, days: int = WINDOW_DAYS) -> str | None:
    """Compare the scored rows of the `days` up to `as_of` with those that the champion of `as_of` was fitted on.

    Returns the page's path among the artifacts of the champion's run, `reports/<as_of>.html`; the same day again
    replaces it. None when there is no champion, or no row to compare. Of either side at most `MOST_ROWS` rows are read,
    always the same ones. Raises NotReadyError when the features of a day are not those of the views as they are now.
    """
    with warehouse.transaction() as cursor:
        feature_store.one_moment(cursor)
        now = champion.change_on(cursor, as_of)
        if now is None:
            return None
        cursor.execute(warehouse.statement("modelops/report_origin"), {"version": now.version})
        run, *fitted = cursor.fetchone()  # type: ignore[misc]
        recent = (max(domain.first_day, as_of - timedelta(days=days - 1)), as_of)
        warehouse.join_by_hash(cursor)
        then_rows = _read(cursor, domain, now.version, (fitted[0], fitted[1]), scored=False)
        now_rows = _read(cursor, domain, now.version, recent, scored=True)
    if then_rows.empty or now_rows.empty:
        return None
    if not (_has_values(then_rows[PROBABILITY]) and _has_values(now_rows[PROBABILITY])):
        then_rows, now_rows = then_rows.drop(columns=PROBABILITY), now_rows.drop(columns=PROBABILITY)
    title = f"{domain.name}, version {now.version}: {recent[0]} to {recent[1]} against {fitted[0]} to {fitted[1]}"
    counts = f"{len(now_rows):,} scored rows (current), {len(then_rows):,} rows it was fitted on (reference)"
    page = _page(then_rows, now_rows, f"{title}; {counts}")
    path = f"{FOLDER}/{as_of}.html"
    _keep(run, path, page)
    return path


def compare(then_rows: "pd.DataFrame", now_rows: "pd.DataFrame") -> Any:
    """Evidently's comparison of two frames of features: its snapshot, by the population stability index.

    Its bins are of equal width and leave out missing values, so its indices are not those of `ml.drift`. A column
    without a value on either side has no index, which it refuses to compute: of such it counts what is missing.
    """
    # Only Evidently's own servers send what it calls telemetry, none of which is started here; this is for certain.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant columns have no correlation, says numpy of each
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import MissingValueCount
        from evidently.presets import DataDriftPreset

        texts = list(now_rows.select_dtypes("object").columns)
        definition = DataDefinition(
            numerical_columns=[name for name in now_rows if name not in texts], categorical_columns=texts
        )
        there = [name for name in now_rows if _has_values(then_rows[name]) and _has_values(now_rows[name])]
        metrics: list[Any] = [MissingValueCount(column=name) for name in now_rows if name not in there]
        if there:
            metrics.insert(0, DataDriftPreset(columns=there, method="psi"))
        return Report(metrics, include_tests=False).run(
            Dataset.from_pandas(now_rows, data_definition=definition),
            Dataset.from_pandas(then_rows, data_definition=definition),
        )


def _page(then_rows: "pd.DataFrame", now_rows: "pd.DataFrame", title: str) -> str:
    """The comparison as one HTML file under a title."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = compare(_harmless(then_rows), _harmless(now_rows)).get_html_str(as_iframe=False).strip()
    said = html.escape(title)
    page = page.replace("<head>", f"<head>\n<title>{said}</title>", 1)
    return page.replace("<body>", f'<body>\n<h1 style="font: 1.2rem sans-serif; margin: 1rem">{said}</h1>', 1)


def _keep(run: str, path: str, page: str) -> None:
    """Put a page among the artifacts of a run, in place of what is there."""
    import mlflow

    mlflow.MlflowClient().log_text(run, page, path)
    log.info("The report is runs:/%s/%s", run, path)


def _harmless(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The same rows with texts that cannot end the script in which Evidently writes them as they are."""
    texts = rows.select_dtypes("object").columns
    return rows.assign(**{name: rows[name].map(_harmless_text, na_action="ignore").astype(object) for name in texts})


def _harmless_text(text: str) -> str:
    return text.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")


def _has_values(values: "pd.Series") -> bool:
    import numpy as np

    return bool((values.notna() & ~values.isin([np.inf, -np.inf])).any())


def _read(cursor: "Cursor", domain: Domain, version: int, window: tuple[date, date], *, scored: bool) -> "pd.DataFrame":
    """Rows of the feature store as estimators take them, and the version's probability where it gave one.

    With `scored` only rows that have a prediction which counts, whoever made it.
    """
    import pyarrow as pa

    bound = {**feature_store.bounds(domain, *window, None), "version": version, "most": MOST_ROWS}
    feature_store.require_fresh(cursor, domain, {"start": window[0], "end": window[1]}, labels=False)
    schema = {feature.name: feature.type for feature in domain.features} | {PROBABILITY: "double precision"}
    with parquet.stream(cursor, _sample(domain, schema, scored=scored), bound, schema) as streamed:
        rows = pa.Table.from_batches(streamed.batches, parquet.arrow_schema(schema))
    return feature_store.frame_of(rows)


def _sample(domain: Domain, columns: Mapping[str, str], *, scored: bool) -> "Composable":
    """The query of these columns of at most `most` rows: those with the smallest hashes of what names them."""
    from psycopg2 import sql

    return sql.SQL(warehouse.statement("modelops/report_rows")).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        features=feature_store.statement(domain, labels=False, ordered=False),
        scored=sql.Literal(scored),
    )
