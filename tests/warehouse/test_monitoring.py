"""The measures that SQL takes of a day are those of the Python functions that the gate uses."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.core import warehouse
from include.modelops import drift, evaluation
from tests.toy_domain.domain import domain
from tests.warehouse.chain import execute, rows
from tests.warehouse.models import add_model

DAY = date(2020, 3, 1)
KNOWN = DAY + timedelta(days=2)
SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40
)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
BOUND = {
    "start": DAY - timedelta(days=1),
    "end": KNOWN,
    "known_at": KNOWN,
    "false_alarm": domain.costs.false_alarm,
    "missed": domain.costs.missed,
    "min_coverage": domain.min_coverage,
}


def measure(predictions, labels):
    """The rows of ml.performance, by column, for (as_of, entity, probability) and (as_of, entity, label, landed)."""
    threshold = domain.costs.threshold
    with warehouse.transaction() as cursor:
        cursor.execute("delete from ml.performance; delete from ml.predictions")
        cursor.execute("create temporary table landed_labels (as_of date, entity_id text, label boolean, landed date)")
        columns = ("as_of", "entity_id", "model_version", "probability", "decision", "features_version")
        scored = ((day, entity, 1, repr(p), p >= threshold, "0a1b2c3d4e5f") for day, entity, p in predictions)
        warehouse.copy_rows(cursor, "ml", "predictions", columns, scored)
        cursor.executemany("insert into landed_labels values (%s, %s, %s, %s)", labels)
        cursor.execute(warehouse.statement("modelops/performance"), BOUND)
        cursor.execute("select to_jsonb(performance) from ml.performance order by as_of")
        found = [row for (row,) in cursor.fetchall()]
        cursor.execute("drop table landed_labels")
    return found


@QUIET
@given(SCORED)
def test_performance_in_sql_is_that_of_the_evaluation(toy_warehouse, scored):
    add_model(1)
    predictions = [(DAY, f"e{n}", p) for n, (_, p, _) in enumerate(scored)]
    matured = [(n, label, p) for n, (label, p, landed) in enumerate(scored) if landed]
    found = measure(predictions, [(DAY, f"e{n}", label, DAY + timedelta(days=1)) for n, label, _ in matured])
    ((row),) = found
    assert (row["predictions"], row["matured"]) == (len(scored), len(matured))
    assert row["coverage"] == pytest.approx(len(matured) / len(scored))
    assert row["provisional"] is (row["coverage"] < domain.min_coverage)
    labels, probabilities = (np.array([entry[n] for entry in matured]) for n in (1, 2))
    assert row["positives"] == labels.sum()
    if not matured:
        assert [row[name] for name in ("roc_auc", "average_precision", "brier", "ece", "cost")] == [None] * 5
    elif labels.all() or not labels.any():
        assert row["roc_auc"] is None
        assert row["ece"] == pytest.approx(evaluation.expected_calibration_error(labels, probabilities))
        assert row["cost"] == pytest.approx(evaluation.row_costs(labels, probabilities, domain.costs).mean())
    else:
        expected = evaluation.measures(labels, probabilities, domain.costs)
        assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_each_day_is_measured_on_its_own_rows(toy_warehouse):
    add_model(1)
    other = DAY + timedelta(days=1)
    days = {DAY: [(True, 0.9), (False, 0.2), (True, 0.4)], other: [(True, 0.3), (False, 0.8)]}
    found = measure(
        [(day, f"e{n}", p) for day, scored in days.items() for n, (_, p) in enumerate(scored)],
        [
            (day, f"e{n}", label, day + timedelta(days=1))
            for day, scored in days.items()
            for n, (label, _) in enumerate(scored)
        ],
    )
    assert [(row["as_of"], row["roc_auc"]) for row in found] == [(DAY.isoformat(), 1.0), (other.isoformat(), 0.0)]


def test_a_label_that_was_known_when_the_day_was_scored_does_not_count(toy_warehouse):
    add_model(1)
    ((row),) = measure([(DAY, "a", 0.9), (DAY, "b", 0.1)], [(DAY, "a", True, DAY), (DAY, "b", False, KNOWN)])
    assert (row["matured"], row["positives"]) == (1, 0)


def test_predictions_that_were_superseded_are_not_measured(toy_warehouse):
    add_model(1)
    add_model(2)
    execute(
        "insert into ml.predictions (as_of, entity_id, model_version, probability, decision, superseded,"
        " features_version) values (%(day)s, 'a', 1, 0.1, false, true, 'x'), (%(day)s, 'a', 2, 0.9, true, false, 'x')",
        {"day": DAY},
    )
    with warehouse.transaction() as cursor:
        cursor.execute(
            "create temporary table landed_labels as select %s as as_of, 'a' as entity_id, true as label, %s as landed",
            (DAY, KNOWN),
        )
        cursor.execute(warehouse.statement("modelops/performance"), BOUND)
    assert rows("select model_version, predictions, brier from ml.performance") == [(2, 1, pytest.approx(0.01))]


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
        cursor.execute("delete from ml.reference_profiles; delete from ml.reference_edges")
        for feature, known in reference.items():
            shares = [(1, feature, name, share) for name, share in known["shares"].items()]
            cursor.executemany("insert into ml.reference_profiles values (%s, %s, %s, %s)", shares)
            if known["edges"] is not None:
                edges = (feature, known["edges"])
                cursor.execute("insert into ml.reference_edges values (1, %s, %s::double precision[])", edges)
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
