"""The smallest domain that uses every part of the contract: which of today's visits will take long?

Eight visitors a day for twelve days, two wards, a leap day and the end of a month. The engine runs it unchanged,
which is what shows that the engine knows no business.
"""

from datetime import date, time, timedelta
from pathlib import Path

from include.core.domain import (
    Candidate,
    Column,
    Costs,
    Domain,
    Gate,
    Monitoring,
    Reference,
    Retraining,
    Rule,
    Slice,
    Source,
    Windows,
)

domain = Domain(
    name="toy",
    folder=Path(__file__).parent,
    timezone="Europe/Berlin",
    drop_at=time(4, 30),
    first_day=date(2020, 2, 26),
    history_through=date(2020, 3, 3),
    last_day=date(2020, 3, 8),
    feed="tests.toy_domain.feed:write_drops",
    reference=(
        Reference(
            "wards",
            "tests.toy_domain.feed:wards_csv",
            columns=(
                Column("ward", "text", "where", required=True, longest=10),
                Column("beds", "integer", "number of beds", minimum=1),
                Column("opened", "date", "day of its first visit"),
                Column("wing", "text", "part of the building", choices=("old", "new")),
            ),
            key=("ward",),
        ),
    ),
    sources=(
        Source(
            "visits",
            columns=(
                Column("visitor", "text", "who comes", required=True),
                Column("ward", "text", "where", required=True),
                Column("age", "integer", "years", required=True),
                Column("visit_date", "date", "day of the visit", required=True, days=(None, 0)),
                Column("minutes", "integer", "how long it took; none before it is over"),
            ),
            key=("visitor", "visit_date"),
            rules=(
                Rule("visit_date < as_of or minutes is null", "minutes are known before the visit"),
                Rule("visit_date = as_of or minutes is not null", "minutes are missing"),
            ),
        ),
    ),
    unit="visits_due",
    unit_key=("visitor",),
    label_days=2,
    min_coverage=0.95,
    candidates=(
        Candidate(
            "logistic_regression",
            "tests.toy_domain.model:logistic_regression",
            {"C": 1.0},
            calibration=None,
        ),
    ),
    trusted_types=("numpy.dtype",),
    costs=Costs(false_alarm=1.0, missed=3.0),
    windows=Windows(min_fit=1, calibration=1, validation=1, gate=2),
    gate=Gate(min_rows=10, min_days=2, min_roc_auc=0.6, max_ece=0.5, max_age=10, bootstraps=200),
    slices=(Slice("ward", "ward"),),
    monitoring=Monitoring(window=4, min_days=2, max_ece=0.9, max_cost=4.0),
    retraining=Retraining(cadence=3, without_champion=1),
    drop_deadline=timedelta(seconds=45),
    quality_deadline=timedelta(minutes=30),
    decision_deadline=timedelta(minutes=2),
    answer_within=timedelta(hours=1),
    retention=6,
)
