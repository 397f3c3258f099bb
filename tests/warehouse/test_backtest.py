"""The policies of retraining on the real year: what is alerted, what is not, and what asks for a training."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from include.core.domain import days_between
from include.dataops import backfill, landing, preparation
from include.dataops import reference as reference_data
from include.dataops.reference import Way
from include.flights.domain import domain
from include.modelops import backtest, backtest_result, backtest_rows, drift, evaluation
from include.modelops.backtest import Backtest
from include.modelops.backtest_result import worst_stretch
from include.modelops.harm import Name, State
from include.modelops.retraining import HARM
from tests.warehouse.chain import RUN, vouch

FIRST, LAST = domain.history_through + timedelta(days=1), domain.last_day
APRIL = days_between(date(2013, 4, 1), date(2013, 4, 30))
JULY = days_between(date(2013, 7, 1), date(2013, 7, 31))
STORMS = [date(2013, *day) for day in ((5, 23), (6, 13), (7, 1), (12, 10), (12, 14), (12, 17))]


@pytest.fixture(scope="module")
def year(new_database, tmp_path_factory) -> Backtest:
    """The year of flights, from the drops to the rows of the feature store, and the linear candidate."""
    new_database("template1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", tmp_path_factory.mktemp("year").as_uri())
        preparation.create_tables(domain)
        reference_data.load_files(reference_data.find_files(domain))
        reference_data.publish(domain, Way.COPY)
        preparation.write_sample_drops(domain)
        for source in domain.sources:
            landing.load_source(domain, source, domain.first_day, domain.last_day, RUN)
        vouch(domain, domain.first_day, domain.last_day)
        for chunk in backfill.plan(domain, f"{domain.first_day}", f"{domain.last_day}", [], rebuild=False):
            backfill.build_chunk(domain, chunk, [], RUN, rebuild=False)
        rows = backtest_rows.read_rows(domain, domain.first_day, domain.last_day)
    return Backtest(domain, domain.candidate("logistic_regression"), rows)


def replay(year: Backtest, name: str) -> backtest.Replay:
    (policy,) = (policy for policy in backtest.policies(domain) if policy.name == name)
    return year.run(policy, FIRST, LAST)


@pytest.fixture(scope="module")
def frozen(year) -> backtest.Replay:
    """The model of January to March, for the rest of the year."""
    return replay(year, "never")


def test_the_frozen_model_ranks_as_well_as_it_ever_did_while_its_probabilities_are_wrong(year, frozen):
    (july,) = (version for version in {id(v): v for v in frozen.champions.values()}.values())
    found = year.rows.known((JULY[0], JULY[-1]), date.max)
    assert july.fitted_through == date(2013, 3, 31)
    assert july.probabilities[found].mean() < 0.2
    assert year.rows.labels[found].mean() > 0.3
    measures = evaluation.measures(year.rows.labels[found], july.probabilities[found], domain.costs)
    assert measures["roc_auc"] > 0.68


def test_the_july_miscalibration_is_alerted_within_ten_matured_days(frozen):
    matured_by = JULY[9] + timedelta(days=domain.label_days)
    assert [day for day, alert in frozen.alerts if alert.kind == HARM and JULY[0] <= day <= matured_by]
    calibration = {
        day: next(signal for signal in judged.signals if signal.name is Name.CALIBRATION).state
        for day, judged in frozen.judgements.items()
    }
    assert {calibration[day] for day in JULY} == {State.HARM}


def test_raw_drift_in_april_alerts_nobody(year, frozen):
    numbers = [feature.name for feature in domain.features if feature.type != "text"]
    for day in APRIL:
        reference = year.reference(frozen.champions[day])
        shares = drift.shares(domain, reference, year.rows.features[year.rows.between((day, day))])
        psi = [drift.population_stability_index(reference[name]["shares"], shares[name]) for name in numbers]
        assert sum(value > 0.2 for value in psi) >= len(numbers) / 2
    assert [day for day, _ in frozen.alerts if day <= APRIL[-1]] == []


def test_storm_days_cause_no_training(year, frozen):
    asked = replay(year, "harm").trainings
    assert asked
    for storm in STORMS:
        looked_at = days_between(storm, storm + timedelta(days=domain.label_days))
        assert not set(asked) & set(looked_at)
        # Even with nothing but that day's news a model that never changes would not be called harmful by it.
        before, after = (frozen.judgements[storm + timedelta(days=n)] for n in (1, domain.label_days))
        assert {s.name for s in after.signals if s.state is State.HARM} <= {
            s.name for s in before.signals if s.state is State.HARM
        }


def test_the_policy_of_the_domain_alerts_rarely_and_is_the_cheapest_of_those_that_do(year):
    own = backtest.Policy("own", domain.retraining)
    quiet = [replay(year, name) for name in ("never", "monthly", "rolling 90 days", "harm")]
    ran = year.run(own, FIRST, LAST)
    assert len(ran.alerts) <= 12
    assert set(ran.trainings)
    cost = backtest_result.result(year, ran).cost
    assert all(cost <= backtest_result.result(year, other).cost for other in quiet)


def test_a_replay_gives_the_same_again(year, frozen):
    again = Backtest(domain, year.candidate, year.rows).run(frozen.policy, FIRST, FIRST + timedelta(days=40))
    assert {day: frozen.judgements[day] for day in again.judgements} == again.judgements


def test_a_label_counts_from_the_drop_that_brought_it(year):
    day = date(2013, 7, 10)
    at_once, later = (len(year.rows.known((day, day), day + timedelta(days=ago))) for ago in (1, 2))
    rows = year.rows.between((day, day))
    assert 0 < at_once <= later <= rows.stop - rows.start
    assert len(year.rows.known((day, day), day)) == 0


@pytest.mark.parametrize(
    ("excess", "least", "found"),
    [
        ([-1, 2, 3, -4, 1], 2, (1, 2)),
        ([-1, 2, 3, -4, 1], 3, None),
        ([-1, -2], 1, None),
        ([], 1, None),
        ([3, -1, 3, -9, 4], 1, (0, 2)),
    ],
)
def test_the_worst_stretch_has_the_largest_sum(excess, least, found):
    assert worst_stretch(excess, least) == found


def test_what_the_year_shows_does_not_hang_on_the_number_of_draws(year, frozen):
    other = replace(domain, monitoring=replace(domain.monitoring, bootstraps=300))
    ran = Backtest(other, year.candidate, year.rows)
    ran._models = year._models
    found = ran.run(frozen.policy, FIRST, date(2013, 7, 31))
    assert [day for day, _ in found.alerts if day <= APRIL[-1]] == []
    assert [day for day, _ in found.alerts if JULY[0] <= day]
