"""Live through past days under a policy of retraining, with the code that judges, trains and gates in life.

No Airflow, and no table is written: rows in, what would have happened out. Every policy begins with the same model,
fitted on all of the history. Where the gate would ask a person, the answer is yes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.core.domain import Candidate, Domain, Retraining, days_between
from include.modelops import drift, evaluation, fitting, gate, retraining, training
from include.modelops.backtest_rows import Rows
from include.modelops.harm import MaturedDay
from include.modelops.retraining import Coverage, Judgement, Seen, Told
from include.modelops.snapshot import Window, cut

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Policy:
    """A name, when to retrain, and on how many days before the gate window at most; None for all there are."""

    name: str
    retraining: Retraining
    days: int | None = None


def policies(domain: Domain) -> tuple[Policy, ...]:
    """What is compared: the usual ways, each with the limits and the pause of the domain."""
    own = domain.retraining
    never = replace(own, cadence=None, on_harm=False, on_drift=None)
    return (
        Policy("never", never),
        Policy("every 14 days", replace(never, cadence=14)),
        Policy("monthly", replace(never, cadence=30)),
        Policy("rolling 90 days", replace(never, cadence=30), days=90),
        Policy("drift", replace(never, on_drift=0.2)),
        Policy("harm", replace(never, on_harm=True)),
        Policy("monthly and harm", replace(never, cadence=30, on_harm=True)),
    )


@dataclass(frozen=True)
class Version:
    """A model of the replay: the last day it was fitted on, the places of the rows it was fitted on, and its
    probability for every row, shape (n,); NaN where it is never asked.
    """

    number: int
    fitted_through: date
    fitted_on: "np.ndarray"
    probabilities: "np.ndarray"


@dataclass
class Replay:
    """What would have happened: who was champion of each day, what was judged, which trainings were asked for and how
    the gate answered.
    """

    policy: Policy
    champions: dict[date, Version] = field(default_factory=dict)
    judgements: dict[date, Judgement] = field(default_factory=dict)
    trainings: dict[date, str] = field(default_factory=dict)

    @property
    def alerts(self) -> list[tuple[date, retraining.Alert]]:
        """The alerts that were sent, with their days."""
        return [
            (day, alert)
            for day, judgement in self.judgements.items()
            for alert in judgement.alerts
            if alert.within_budget
        ]


class Backtest:
    """Replays on the same rows; models that several policies come to are fitted once."""

    def __init__(self, domain: Domain, candidate: Candidate, rows: Rows) -> None:
        self.domain, self.candidate, self.rows = domain, candidate, rows
        self._models: dict[tuple[Window, Window | None, date], Version] = {}
        self._references: dict[int, dict[str, dict[str, Any]]] = {}

    def run(self, policy: Policy, first: date, last: date) -> Replay:
        """Every day from `first` to `last` under a policy, as if on its morning."""
        windows = self.domain.windows
        if policy.days is not None:
            kept = policy.days - windows.calibration - windows.validation
            windows = replace(windows, max_fit=max(kept, windows.min_fit))
        domain = replace(self.domain, retraining=policy.retraining, windows=windows)
        history = (self.rows.first, first - timedelta(days=1))
        champion = self._model(history, None, history[1] + timedelta(days=domain.label_days))
        replay, asked = Replay(policy), history[1]
        for day in days_between(first, last):
            replay.champions[day] = champion
            seen = self._seen(domain, replay, day, (day - asked).days)
            judged = retraining.judge(seen, domain.costs, domain.monitoring, domain.retraining, domain.windows)
            replay.judgements[day] = judged
            if judged.answer.retrain:
                asked = day
                challenger = self._train(domain, day)
                decision = self._compare(domain, day, challenger, champion)
                replay.trainings[day] = decision.route
                if decision.route is not gate.Route.REJECT:
                    champion = challenger
        return replay

    def _seen(self, domain: Domain, replay: Replay, day: date, days_since_request: int) -> Seen:
        champion = replay.champions[day]
        last = day - timedelta(days=domain.label_days)
        scored = [known for known in _window(last, domain.monitoring.window) if known in replay.champions]
        shares = {known: self._coverage(known, day) for known in scored}
        final = [
            known
            for known in scored
            if shares[known] >= domain.min_coverage and replay.champions[known].number == champion.number
        ]
        late = [known for known in scored if shares[known] < domain.min_coverage]
        coverage = None
        if scored:
            since = last if last in late else None
            while since and since - timedelta(days=1) in late:
                since -= timedelta(days=1)
            coverage = Coverage(last, shares[last], domain.min_coverage, since)
        return Seen(
            as_of=day,
            champion=champion.number,
            days=[self._matured_day(known, day, champion) for known in final],
            coverage=coverage,
            drift=self._drift(domain, day, champion) if domain.retraining.on_drift is not None else {},
            told=[
                Told(on, alert.kind, alert.subject)
                for on, judged in replay.judgements.items()
                for alert in judged.alerts
            ],
            days_since_request=days_since_request,
            matured_days=(last - self.rows.first).days + 1,
        )

    def _coverage(self, scored: date, known_at: date) -> float:
        rows = self.rows.between((scored, scored))
        return len(self.rows.known((scored, scored), known_at)) / max(rows.stop - rows.start, 1)

    def _matured_day(self, scored: date, known_at: date, version: Version) -> MaturedDay:
        found = self.rows.known((scored, scored), known_at)
        return matured_day(scored, self.rows.labels[found], version.probabilities[found], self.domain)

    def _drift(self, domain: Domain, day: date, champion: Version) -> dict[str, float]:
        rows = self.rows.between((day, day))
        reference = self.reference(champion)
        shares = drift.shares(domain, reference, self.rows.features[rows])
        return {
            name: drift.population_stability_index(reference[name]["shares"], today) for name, today in shares.items()
        }

    def _train(self, domain: Domain, as_of: date) -> Version:
        """The challenger of a training that is asked for on a day."""
        return self._model(*training.final_windows(self.candidate, cut(domain, as_of)), as_of)

    def _model(self, window: Window, held_out: Window | None, known_at: date) -> Version:
        key = (window, held_out, known_at)
        if key not in self._models:
            found = self.rows.known(window, known_at)
            model = fitting.fitted(self.candidate, self.rows.features.iloc[found], self.rows.labels[found])
            if held_out:
                apart = self.rows.known(held_out, known_at)
                model = fitting.calibrated(
                    self.candidate, model, self.rows.features.iloc[apart], self.rows.labels[apart]
                )
            through = (held_out or window)[1]
            number = len(self._models) + 1
            self._models[key] = Version(number, through, found, self._predict(model, window, through))
        return self._models[key]

    def _predict(self, model: Any, window: Window, through: date) -> "np.ndarray":
        """The probability of every row that the model may be measured on: those after the days it was fitted on. The
        first model is compared on days of the history too, which the gate then points out.
        """
        import numpy as np

        first = 0 if self._models == {} else self.rows.between((window[0], through)).stop
        probabilities = np.full(len(self.rows.day), np.nan)
        if first < len(probabilities):
            probabilities[first:] = model.predict_proba(self.rows.features.iloc[first:])[:, 1]
        return probabilities

    def reference(self, version: Version) -> dict[str, dict[str, Any]]:
        """What drift is measured against, see `drift.profile`."""
        import numpy as np

        if version.number not in self._references:
            features = self.rows.features.iloc[version.fitted_on]
            unseen = version.probabilities[~np.isnan(version.probabilities)]
            self._references[version.number] = drift.profile(self.domain, features, unseen)
        return self._references[version.number]

    def _compare(self, domain: Domain, as_of: date, challenger: Version, champion: Version) -> gate.Decision:
        found = self.rows.known(cut(domain, as_of).gate, as_of)
        rows = gate.Rows(
            self.rows.keys["as_of"].to_numpy("datetime64[D]")[found],
            self.rows.labels[found],
            evaluation.slice_groups(domain.slices, self.rows.features.iloc[found]),
        )
        contenders = [
            gate.Contender(version.number, version.fitted_through, version.probabilities[found])
            for version in (challenger, champion)
        ]
        return gate.choose_route(rows, *contenders, as_of=as_of, gate=domain.gate, costs=domain.costs)


def matured_day(as_of: date, labels: "np.ndarray", probabilities: "np.ndarray", domain: Domain) -> MaturedDay:
    """The sums of a day that harm is judged by, as monitoring takes them in SQL. Both arrays have shape (n,)."""
    return MaturedDay(
        as_of,
        len(labels),
        int(labels.sum()),
        float(probabilities.sum()),
        tuple(evaluation.calibration_gaps(labels, probabilities).tolist()),
        float(evaluation.row_costs(labels, probabilities, domain.costs).sum()),
    )


def _window(last: date, days: int) -> Sequence[date]:
    return days_between(last - timedelta(days=days - 1), last)
