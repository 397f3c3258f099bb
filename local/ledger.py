"""What the warehouse says about the work: read-only SQL, for progress and for the summary."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import psycopg2.errors

from local import postgres
from local.settings import Settings

METRICS = ("roc_auc", "ece", "cost", "average_precision", "brier")
STAGES = ("ingested", "checked", "built", "scored", "monitored")

CHAIN_STAGES = """
select as_of, stage, state, detail
from quality.stages where as_of between %(first)s and %(last)s
"""

LATEST_CHAMPION = """
select d.as_of, d.challenger_version, d.effective_from, d.metrics #> '{metrics,challenger}' as metrics,
       m.candidate, m.fitted_from, m.fitted_through
from ml.decisions d join ml.models m on m.model_version = d.challenger_version
where d.effective_from is not null
order by case d.outcome when 'rolled_back' then d.as_of else d.effective_from - 1 end desc, d.recorded_at desc limit 1
"""

# One row per scored day whose labels are complete: what was measured when they were last looked at.
FINAL_PERFORMANCE = """
select distinct on (as_of) as_of, roc_auc, ece, cost, average_precision, brier
from ml.performance where not provisional and window_days = 1 and slice = '' order by as_of, known_at desc
"""

SOURCE_ROWS = """
select source,
       sum(lines)::int as rows_in_files,
       sum(raw_rows)::int as rows_raw,
       sum(quarantined_rows)::int as rows_quarantined
from quality.partitions group by source order by source
"""

FEATURE_ROWS = """
select view, sum(row_count)::int as row_count
from features.partitions join features.views using (view)
where kind = 'features' group by view order by view
"""

DAYS_PER_STAGE = """
select count(distinct as_of) filter (where stage = 'ingested') as ingested,
       count(*) filter (where stage = 'scored' and detail ->> 'model_version' is not null) as scored
from quality.stages where state = 'done'
"""

DECISIONS = """
select as_of, challenger_version as version, route, outcome, decided_by from ml.decisions order by as_of
"""


@dataclass(frozen=True)
class Snapshot:
    """The chain between two days, both included. `done` holds the days on which a stage is done."""

    done: dict[str, set[dt.date]] = field(default_factory=dict)
    failed: list[tuple[dt.date, str]] = field(default_factory=list)
    retrain_days: set[dt.date] = field(default_factory=set)
    decided_days: set[dt.date] = field(default_factory=set)
    champion: int | None = None
    roc_auc: float | None = None
    cost: float | None = None

    def count(self, stage: str) -> int:
        """Days on which this stage is done."""
        return len(self.done.get(stage, set()))


def find_unfinished(snapshot: Snapshot, days: Sequence[dt.date]) -> list[str]:
    """What still has to happen before the work on `days` is complete, as sentences. Empty when it is."""
    missing = [day for day in days if day not in snapshot.done.get("monitored", set())]
    undecided = sorted(snapshot.retrain_days - snapshot.decided_days)
    sentences = []
    if missing:
        sentences.append(f"{missing[0]} is not monitored ({len(missing)} of {len(days)} days)")
    if undecided:
        sentences.append(f"the training asked for on {undecided[0]} is not decided")
    return sentences


def read_snapshot(settings: Settings, first: dt.date, last: dt.date) -> Snapshot:
    """The state of the chain from `first` to `last`. Empty as long as the tables are not there."""
    done: dict[str, set[dt.date]] = {}
    failed, retrain, decided = [], set(), set()
    for row in _rows(settings, CHAIN_STAGES, {"first": first, "last": last}):
        if row["stage"] == "decided":
            if row["state"] in ("done", "promoted", "rejected"):
                decided.add(row["as_of"])
        elif row["state"] != "failed":  # `no_champion` is a way to be scored
            done.setdefault(row["stage"], set()).add(row["as_of"])
            if row["stage"] == "monitored" and row["detail"].get("retrain"):
                retrain.add(row["as_of"])
        if row["state"] == "failed":
            failed.append((row["as_of"], row["stage"]))
    champion = next(iter(_rows(settings, LATEST_CHAMPION)), None)
    final = next(reversed(_rows(settings, FINAL_PERFORMANCE)), None)
    return Snapshot(
        done,
        sorted(failed),
        retrain,
        decided,
        champion["challenger_version"] if champion else None,
        final["roc_auc"] if final else None,
        final["cost"] if final else None,
    )


def read_summary(settings: Settings) -> dict[str, Any]:
    """Figures over everything that the warehouse holds."""
    sources = _rows(settings, SOURCE_ROWS)
    views = _rows(settings, FEATURE_ROWS)
    stages = _rows(settings, DAYS_PER_STAGE)
    decisions = _rows(settings, DECISIONS)
    champion = next(iter(_rows(settings, LATEST_CHAMPION)), None)
    final = _rows(settings, FINAL_PERFORMANCE)
    return {
        "days_ingested": stages[0]["ingested"] if stages else 0,
        "sources": {row.pop("source"): row for row in sources},
        "feature_rows": sum(row["row_count"] for row in views),
        "feature_rows_by_view": {row["view"]: row["row_count"] for row in views},
        "trainings": len(decisions),
        "decisions": decisions,
        "champion": {"version": champion.pop("challenger_version"), **champion} if champion else None,
        "days_scored": stages[0]["scored"] if stages else 0,
        "matured": {"days": len(final), **{name: mean([row[name] for row in final]) for name in METRICS}},
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are known; None when none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _rows(settings: Settings, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Rows as dictionaries; none while a table has not been made yet."""
    connection = postgres.connect(settings, "warehouse")
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        return []
    finally:
        connection.close()
