"""The flights of New York in 2013: which of today's departures will not be on time?

Light on purpose: every DAG file imports this. What is heavy (the feed, the estimators) is named by its path.
"""

from datetime import date, time, timedelta
from pathlib import Path

from include.core.domain import Candidate, Costs, Domain, Gate, Retraining, Windows
from include.flights.sources import ACTUALS, REFERENCES, SCHEDULE, WEATHER

# What the candidates hold beyond what skops trusts: the choice of their columns, and grown trees.
SELECTOR = "sklearn.compose._column_transformer.make_column_selector"
TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"

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
    candidates=(
        Candidate(
            "logistic_regression",
            "include.flights.model:logistic_regression",
            {"C": 0.05},
            trusted_types=("numpy.dtype", SELECTOR),
        ),
        Candidate(
            "gradient_boosting",
            "include.flights.model:gradient_boosting",
            {"learning_rate": 0.05, "max_iter": 150, "max_leaf_nodes": 15, "min_samples_leaf": 200},
            trusted_types=(TREES, SELECTOR),
        ),
    ),
    # A traveller who was not warned loses three times what a needless warning costs.
    costs=Costs(false_alarm=1.0, missed=3.0),
    windows=Windows(min_fit=28, validation=14, gate=14),
    # The floors sit below what an honest model reaches in its worst month, and above a model of chance.
    gate=Gate(min_rows=5_000, min_days=10, min_roc_auc=0.58, max_ece=0.15),
    retraining=Retraining(cadence=30, without_champion=7),
    drop_deadline=timedelta(hours=3),
    quality_deadline=timedelta(hours=12),
    decision_deadline=timedelta(hours=2),
    answer_within=timedelta(hours=24),
    retention=180,
)
