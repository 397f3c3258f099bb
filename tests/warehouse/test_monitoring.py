"""The measures that SQL takes of a day are those of the Python functions that the gate uses."""

import dataclasses
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.core import warehouse
from include.modelops import backtest, drift, evaluation, performance, registry
from include.modelops.harm import MaturedDay
from tests.toy_domain.domain import domain
from tests.warehouse.models import add_model

DAY = date(2020, 3, 1)
KNOWN = DAY + timedelta(days=2)
WARD_OF = st.sampled_from(["a", "b"])
SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20), st.booleans(), WARD_OF, st.booleans()),
    min_size=1,
    max_size=40,
)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
LOOK = performance.Look(
    known_at=KNOWN,
    start=DAY - timedelta(days=3),
    still_landing=KNOWN - timedelta(days=2),
    late_days=[],
    window=4,
    window_start=DAY - timedelta(days=3),
    last=DAY,
    first_champion=1,
    false_alarm=domain.costs.false_alarm,
    missed=domain.costs.missed,
    min_coverage=domain.min_coverage,
)


@dataclass(frozen=True)
class Row:
    """A scored row, its outcome, the drop that brought it (None: none did), and what the first champion decided."""

    as_of: date
    entity: str
    probability: float
    label: bool
    landed: date | None
    ward: str = "a"
    first: bool | None = None


def measure(scored: list[Row], look: performance.Look = LOOK) -> list[dict]:
    """The rows of ml.performance, by column. Version 2 is champion, version 1 was the first."""
    columns = ("as_of", "entity_id", "model_version", "probability", "decision", "features_version", "superseded")
    threshold = domain.costs.threshold
    with warehouse.transaction() as cursor:
        cursor.execute("delete from ml.performance; delete from ml.predictions")
        cursor.execute("create temporary table landed_labels (as_of date, entity_id text, label boolean, landed date)")
        cursor.execute("create temporary table sliced (as_of date, entity_id text, slice text, slice_group text)")
        served = ((r.as_of, r.entity, 2, repr(r.probability), r.probability >= threshold, "x", False) for r in scored)
        warehouse.copy_rows(cursor, "ml", "predictions", columns, served)
        beside = ((r.as_of, r.entity, 1, "0.5", r.first, "x", True) for r in scored if r.first is not None)
        warehouse.copy_rows(cursor, "ml", "predictions", columns, beside)
        labels = [(r.as_of, r.entity, r.label, r.landed) for r in scored if r.landed]
        cursor.executemany("insert into landed_labels values (%s, %s, %s, %s)", labels)
        cursor.executemany(
            "insert into sliced values (%s, %s, 'ward', %s)", [(r.as_of, r.entity, r.ward) for r in scored]
        )
        cursor.execute(warehouse.statement("modelops/matured_rows"), vars(look))
        performance.replace(cursor, look)
        cursor.execute("select to_jsonb(performance) from ml.performance order by window_days, as_of, slice_group")
        found = [row for (row,) in cursor.fetchall()]
        cursor.execute("drop table landed_labels, sliced, looked_at, covered")
    return found


def judged_by(scored: list[Row]) -> list[MaturedDay]:
    """What monitoring hands to the judgement, of version 2."""
    measure(scored)
    with warehouse.transaction() as cursor:
        cursor.execute("create temporary table landed_labels (as_of date, entity_id text, label boolean, landed date)")
        labels = [(r.as_of, r.entity, r.label, r.landed) for r in scored if r.landed]
        cursor.executemany("insert into landed_labels values (%s, %s, %s, %s)", labels)
        cursor.execute(warehouse.statement("modelops/matured_rows"), vars(LOOK))
        found = performance.matured_days(cursor, LOOK, 2)
        cursor.execute("drop table landed_labels, looked_at, covered")
    return found


def only(found: list[dict], window_days: int = 1, group: str = "") -> list[dict]:
    return [row for row in found if (row["window_days"], row["slice_group"]) == (window_days, group)]


def assert_measures(row: dict, matured: list[Row]) -> None:
    """A row of ml.performance has the measures of the gate over these rows."""
    labels, probabilities = (np.array([getattr(r, name) for r in matured]) for name in ("label", "probability"))
    assert (row["matured"], row["positives"]) == (len(matured), labels.sum())
    names = ("roc_auc", "average_precision", "brier", "ece", "cost", "predicted", "baseline_cost")
    if not matured:
        assert [row[name] for name in names[:-1]] == [None] * 6
        return
    assert row["predicted"] == pytest.approx(probabilities.mean())
    if labels.all() or not labels.any():
        assert row["roc_auc"] is None
        assert row["ece"] == pytest.approx(evaluation.expected_calibration_error(labels, probabilities))
        assert row["cost"] == pytest.approx(evaluation.row_costs(labels, probabilities, domain.costs).mean())
    else:
        expected = evaluation.measures(labels, probabilities, domain.costs)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
    if any(r.first is None for r in matured):
        assert row["baseline_cost"] is None
    else:
        first = np.array([1.0 if r.first else 0.0 for r in matured])
        expected_cost = evaluation.row_costs(labels, first, domain.costs).mean()
        assert row["baseline_cost"] == pytest.approx(expected_cost)


@QUIET
@given(SCORED)
def test_performance_in_sql_is_that_of_the_evaluation_for_all_rows_and_for_every_slice(toy_warehouse, drawn):
    add_model(1)
    add_model(2)
    scored = [
        Row(DAY, f"e{n}", p, label, DAY + timedelta(days=1) if landed else None, ward, first)
        for n, (label, p, landed, ward, first) in enumerate(drawn)
    ]
    found = measure(scored)
    for group in ("", *{r.ward for r in scored}):
        ((row),) = only(found, group=group)
        inside = [r for r in scored if group in ("", r.ward)]
        matured = [r for r in inside if r.landed]
        assert (row["predictions"], row["model_version"], row["days"]) == (len(inside), 2, 1)
        assert row["coverage"] == pytest.approx(len(matured) / len(inside))
        whole_day = sum(r.landed is not None for r in scored) / len(scored)
        assert row["provisional"] is (whole_day < domain.min_coverage)
        assert_measures(row, matured)


@QUIET
@given(st.lists(SCORED, min_size=4, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_window_pools_its_final_days_and_no_others(toy_warehouse, days, complete):
    add_model(1)
    add_model(2)
    scored = [
        Row(LOOK.window_start + timedelta(days=ago), f"e{n}", p, label, KNOWN if n or complete[ago] else None, ward)
        for ago, of_day in enumerate(days)
        for n, (label, p, _, ward, _) in enumerate(of_day)
    ]
    enough = [(len(of_day) - 1) / len(of_day) >= domain.min_coverage for of_day in days]
    final = [whole or nearly for whole, nearly in zip(complete, enough, strict=True)]
    pooled = [r for r in scored if final[(r.as_of - LOOK.window_start).days]]
    found = only(measure(scored), window_days=4)
    assert bool(found) is any(final)
    for row in found:
        assert row["days"] == sum(final)
        assert row["provisional"] is not all(final)
        assert_measures(row, [r for r in pooled if r.landed])


def test_each_day_is_measured_on_its_own_rows(toy_warehouse):
    add_model(2)
    other = DAY + timedelta(days=1)
    days = {DAY: [(True, 0.9), (False, 0.2), (True, 0.4)], other: [(True, 0.3), (False, 0.8)]}
    found = measure(
        [
            Row(day, f"e{n}", p, label, day + timedelta(days=1))
            for day, scored in days.items()
            for n, (label, p) in enumerate(scored)
        ]
    )
    assert [(row["as_of"], row["roc_auc"]) for row in only(found)] == [(DAY.isoformat(), 1.0), (other.isoformat(), 0.0)]


def test_a_label_that_was_known_when_the_day_was_scored_does_not_count(toy_warehouse):
    add_model(2)
    ((row),) = only(measure([Row(DAY, "a", 0.9, True, DAY), Row(DAY, "b", 0.1, False, KNOWN)]))
    assert (row["matured"], row["positives"]) == (1, 0)


def test_a_day_past_its_time_is_looked_at_only_when_a_drop_brings_labels_of_it(toy_warehouse):
    add_model(2)
    old = DAY - timedelta(days=2)
    scored = [Row(old, "a", 0.9, True, KNOWN), Row(old, "b", 0.1, False, KNOWN)]
    assert only(measure(scored)) == []
    ((row),) = only(measure(scored, dataclasses.replace(LOOK, late_days=[old])))
    assert (row["as_of"], row["known_at"], row["provisional"]) == (old.isoformat(), KNOWN.isoformat(), False)


def test_predictions_that_were_superseded_are_not_measured(toy_warehouse):
    add_model(1)
    add_model(2)
    ((row),) = only(measure([Row(DAY, "a", 0.9, True, KNOWN, first=False)]))
    assert (row["model_version"], row["predictions"], row["brier"]) == (2, 1, pytest.approx(0.01))
    assert (row["cost"], row["baseline_cost"]) == (0, domain.costs.missed)


@QUIET
@given(SCORED)
def test_the_days_that_harm_is_judged_by_are_those_of_the_backtest(toy_warehouse, drawn):
    add_model(2)
    scored = [Row(DAY, f"e{n}", p, label, KNOWN) for n, (label, p, *_) in enumerate(drawn)]
    labels, probabilities = (np.array([getattr(r, name) for r in scored]) for name in ("label", "probability"))
    (found,) = judged_by(scored)
    expected = backtest.matured_day(DAY, labels, probabilities, domain)
    assert (found.as_of, found.rows, found.positives) == (DAY, expected.rows, expected.positives)
    assert (found.predicted, found.cost, *found.gaps) == pytest.approx(
        (expected.predicted, expected.cost, *expected.gaps)
    )


WARDS = st.one_of(st.none(), st.sampled_from([f"w{n:02}" for n in range(drift.TOP_CATEGORIES + 3)]))
NUMBERS = st.one_of(st.none(), st.integers(0, 12))
SHARES = st.one_of(st.none(), st.integers(0, 8).map(lambda n: n / 8))
ROWS = st.lists(st.tuples(WARDS, NUMBERS, SHARES, st.integers(0, 10).map(lambda n: n / 10)), min_size=1, max_size=50)
FEATURES = ("ward", "age", "long_share_3d")


def frame(drawn) -> tuple[pd.DataFrame, np.ndarray]:
    table = pd.DataFrame(drawn, columns=[*FEATURES, "probability"]).astype({"ward": object})
    numbers = table[["age", "long_share_3d", "probability"]].astype("float64")
    return pd.concat([table[["ward"]], numbers[["age", "long_share_3d"]]], axis=1), numbers["probability"].to_numpy()


@QUIET
@given(ROWS, ROWS)
def test_shares_in_sql_are_those_of_the_profile(toy_warehouse, then, now):
    add_model(1)
    reference = drift.profile(domain, *frame(then))
    today, scores = frame(now)
    with warehouse.transaction() as cursor:
        registry.keep_profile(cursor, 1, reference)
        cursor.execute(
            "create temporary table scored_rows (as_of date, entity_id text, ward text, age integer,"
            " long_share_3d double precision, probability double precision) on commit drop"
        )
        entries = [(DAY, f"e{n}", *row) for n, row in enumerate(now)]
        cursor.executemany("insert into scored_rows values (%s, %s, %s, %s, %s, %s)", entries)
        cursor.execute(warehouse.statement("modelops/shares"), {"version": 1})
        found = cursor.fetchall()
    known_wards = set(reference["ward"]["shares"])
    wards = today["ward"].where(today["ward"].isin(known_wards) | today["ward"].isna(), drift.OTHER)
    expected = {
        "ward": wards.fillna(drift.MISSING).value_counts(normalize=True).to_dict(),
        "age": drift.numeric_shares(today["age"], reference["age"]["edges"]),
        "long_share_3d": drift.numeric_shares(today["long_share_3d"], reference["long_share_3d"]["edges"]),
        "probability": drift.numeric_shares(pd.Series(scores), reference["probability"]["edges"]),
    }
    for feature, shares in expected.items():
        actual = {name: now for given, name, _, now in found if given == feature and now}
        assert actual == pytest.approx(shares)
        before = {name: then for given, name, then, _ in found if given == feature and then}
        assert before == pytest.approx(reference[feature]["shares"])
