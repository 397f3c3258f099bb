"""The flights of New York in 2013: which of today's departures will not be on time?

Light on purpose: every DAG file imports this. What is heavy (the feed, the estimators) is named by its path.
"""

from datetime import date, time, timedelta
from pathlib import Path

from include.core.domain import Candidate, Costs, Domain, Gate, Monitoring, Retraining, Slice, Windows
from include.flights.sources import ACTUALS, REFERENCES, SCHEDULE, WEATHER

MODEL = "include.flights.model"
LINEAR = {"C": 0.05}
TREES = {"learning_rate": 0.05, "max_iter": 150, "max_leaf_nodes": 15, "min_samples_leaf": 200}

domain = Domain(
    name="flights",
    folder=Path(__file__).parent,
    timezone="America/New_York",
    drop_at=time(5, 0),
    first_day=date(2013, 1, 1),
    history_through=date(2013, 3, 31),
    last_day=date(2013, 12, 31),
    feed="include.flights.feed:write_drops",
    reference=REFERENCES,
    sources=(SCHEDULE, ACTUALS, WEATHER),
    unit="flight_schedule",
    unit_key=("carrier", "flight", "origin"),
    # 99.97 % of a day's outcomes have landed by the next drop, the stragglers by the one after it.
    label_days=2,
    min_coverage=0.98,
    # A linear model that is fitted by its likelihood is calibrated as it is, and so are trees, nearly. What is
    # calibrated on the last weeks follows the season of these, so trees stand for election both ways.
    candidates=(
        Candidate("logistic_regression", f"{MODEL}:logistic_regression", LINEAR, calibration=None),
        Candidate(
            "logistic_regression_selected", f"{MODEL}:logistic_regression", {"select": 40, **LINEAR}, calibration=None
        ),
        Candidate(
            "logistic_regression_reduced", f"{MODEL}:logistic_regression", {"reduce": 30, **LINEAR}, calibration=None
        ),
        Candidate("gradient_boosting", f"{MODEL}:gradient_boosting", TREES, calibration=None),
        Candidate("gradient_boosting_calibrated", f"{MODEL}:gradient_boosting", TREES, calibration="sigmoid"),
        Candidate("blend", f"{MODEL}:blend", {"linear": LINEAR, "trees": TREES}, calibration=None),
    ),
    # What they hold beyond what skops trusts: the choice of their columns, grown trees, the two halves of the blend.
    trusted_types=(
        "numpy.dtype",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.utils._bunch.Bunch",
    ),
    # A traveller who was not warned loses three times what a needless warning costs.
    costs=Costs(false_alarm=1.0, missed=3.0),
    windows=Windows(min_fit=28, calibration=28, validation=14, gate=14),
    # The floors sit below what an honest model reaches in its worst month, and above a model of chance.
    gate=Gate(
        min_rows=5_000,
        min_days=10,
        min_roc_auc=0.58,
        max_ece=0.15,
        max_age=30,
        # Above an honest model's best two weeks of the year.
        max_roc_auc=0.85,
        margins={"roc_auc": 0.02, "average_precision": 0.03, "brier": 0.01, "ece": 0.03},
        slice_margin=0.03,
        min_slice_rows=500,
    ),
    slices=(
        Slice("origin", "origin"),
        Slice(
            "carriers",
            "carrier",
            {"regional": ("9E", "EV", "MQ", "OO", "YV"), "low cost": ("B6", "F9", "FL", "VX", "WN")},
        ),
    ),
    # Over four weeks a storm does not matter; fewer days would take April's thunderstorms for a broken model.
    monitoring=Monitoring(window=28, min_days=14, max_ece=0.1),
    retraining=Retraining(cadence=30, without_champion=7),
    drop_deadline=timedelta(hours=3),
    quality_deadline=timedelta(hours=12),
    decision_deadline=timedelta(hours=2),
    answer_within=timedelta(hours=24),
    retention=180,
)
