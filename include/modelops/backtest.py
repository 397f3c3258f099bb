"""Live through past days under a policy of retraining, with the code that judges, trains and gates in life.

No Airflow, and no table is written: rows in, what would have happened out. Every policy begins with the same model,
fitted on all of the history. Where the gate would ask a person, the answer is yes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from include.core import warehouse
from include.core.domain import Candidate, Domain, Retraining, days_between
from include.dataops import feature_store
from include.modelops import drift, evaluation, fitting, gate, retraining, training
from include.modelops.harm import MaturedDay
from include.modelops.retraining import Coverage, Judgement, Seen, Told
from include.modelops.snapshot import Window, cut

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Policy:
    """A name, when to retrain, and on how many days before the gate window at most; None for all there are."""

    name: str
    retraining: Retraining
    days: int | None = None


def policies(domain: Domain) -> tuple[Policy, ...]:
    """What is compared: the usual ways, and the domain's own under the name 'domain'."""
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
class Rows:
    """All rows of a range of days in order of time: `keys` has as_of, entity_id, label (NaN where none came) and
    `landed`, the drop that brought it, as the number of days after `as_of` (a large number where none came).
    """

    first: date
    keys: "pd.DataFrame"
    features: "pd.DataFrame"

    @cached_property
    def day(self) -> "np.ndarray":
        """The day of each row, counted from `first`, shape (n,)."""
        return (self.keys["as_of"].to_numpy("datetime64[D]") - _day(self.first)).astype(int)

    @cached_property
    def labels(self) -> "np.ndarray":
        """The label of each row, False where none came, shape (n,)."""
        return self.keys["label"].eq(True).to_numpy()

    @cached_property
    def landed(self) -> "np.ndarray":
        """The drop that brought each label, counted from `first`, shape (n,)."""
        return self.day + self.keys["landed"].to_numpy(int)

    def number(self, day: date) -> int:
        """A day counted from `first`."""
        return (day - self.first).days

    def between(self, window: Window) -> slice:
        """The rows of a window, both days included."""
        import numpy as np

        first, last = (self.number(day) for day in window)
        return slice(*np.searchsorted(self.day, [first, last + 1]).tolist())

    def known(self, window: Window, known_at: date) -> "np.ndarray":
        """The places of the rows of a window whose labels had come by a drop, but not before they were scored."""
        import numpy as np

        found = np.arange(len(self.day))[self.between(window)]
        landed = self.landed[found]
        return found[(landed <= self.number(known_at)) & (landed > self.day[found])]


# Days after which a label that never came would have landed: later than any date.
NEVER = 10_000_000


def read_rows(domain: Domain, first: date, last: date) -> Rows:
    """The rows of the feature store with the labels that came by `last`. Raises NotReadyError for days not built."""
    import pandas as pd
    from psycopg2 import sql

    keys, features = feature_store.training_set(domain, first, last, labels=False).frames()
    columns = [*map(sql.Identifier, ("event_day",)), feature_store.entity_id(domain, "labels")]
    with warehouse.transaction() as cursor:
        cursor.execute(
            sql.SQL("select {}, label, landed - event_day from ({}) as labels").format(
                sql.SQL(", ").join(columns), feature_store.landed_labels(domain)
            ),
            feature_store.bounds(domain, first, last, last),
        )
        came = pd.DataFrame(cursor.fetchall(), columns=["as_of", "entity_id", "label", "landed"])
    keys = keys.merge(came, on=["as_of", "entity_id"], how="left", validate="one_to_one")
    keys["landed"] = keys["landed"].fillna(NEVER).astype(int)
    return Rows(first, keys, features)


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


def _day(day: date) -> "np.datetime64":
    import numpy as np

    return np.datetime64(day, "D")


@dataclass(frozen=True)
class Result:
    """A policy in numbers: means over the months, cost per row, how often it trained, asked a person, changed the model
    and alerted.

    `harm_since` to `harm_until` is the worst stretch of the year by calibration, looking back, None when none was worse
    than allowed; `days_to_detection` are those from its first day to the first alert about harm or drift in it, None
    when there was none.
    """

    policy: str
    roc_auc: float
    ece: float
    cost: float
    trainings: int
    questions: int
    promotions: int
    alerts: int
    harm_since: date | None
    harm_until: date | None
    days_to_detection: int | None


def result(backtest: Backtest, replay: Replay) -> Result:
    """What came of a replay, over all of its days whose labels came."""
    import numpy as np

    Served = tuple[np.ndarray, np.ndarray]
    served: list[Served] = []
    by_month: dict[tuple[int, int], list[Served]] = {}
    for day, version in replay.champions.items():
        found = backtest.rows.known((day, day), date.max)
        served.append((found, version.probabilities[found]))
        by_month.setdefault((day.year, day.month), []).append(served[-1])
    months = [_measures(backtest, parts) for parts in by_month.values()]
    stretch = worst_stretch(list(_excess(backtest, replay)), backtest.domain.monitoring.min_days)
    days = list(replay.champions)
    since, until = (days[stretch[0]], days[stretch[1]]) if stretch else (None, None)
    heard = [
        (day - since).days
        for day, alert in replay.alerts
        if since
        and until
        and since <= day <= until + timedelta(days=backtest.domain.label_days)
        and alert.kind in (retraining.HARM, retraining.DRIFT)
    ]
    return Result(
        replay.policy.name,
        float(np.mean([month["roc_auc"] for month in months])),
        float(np.mean([month["ece"] for month in months])),
        _measures(backtest, served)["cost"],
        len(replay.trainings),
        sum(route == gate.Route.ASK for route in replay.trainings.values()),
        sum(route != gate.Route.REJECT for route in replay.trainings.values()),
        len(replay.alerts),
        since,
        until,
        min(heard, default=None),
    )


def trailing(backtest: Backtest, replay: Replay) -> Iterator[tuple[date, float, float]]:
    """Of each day from the first full window on: calibration error and cost per row over the window that it ends."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for day, version in replay.champions.items():
        found = backtest.rows.known((day, day), date.max)
        parts.append((found, version.probabilities[found]))
        if len(parts) >= backtest.domain.monitoring.window and len(found):
            measures = _measures(backtest, parts[-backtest.domain.monitoring.window :])
            yield day, measures["ece"], measures["cost"]


def _measures(backtest: Backtest, parts: Sequence[tuple["np.ndarray", "np.ndarray"]]) -> dict[str, float]:
    import numpy as np

    found, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
    return evaluation.measures(backtest.rows.labels[found], probabilities, backtest.domain.costs)


def _excess(backtest: Backtest, replay: Replay) -> Iterator[float]:
    """By how many rows each day's predictions were further off than is allowed, in the mean."""
    allowed = backtest.domain.monitoring.max_ece
    for day, version in replay.champions.items():
        found = backtest.rows.known((day, day), date.max)
        gap = float((backtest.rows.labels[found] - version.probabilities[found]).sum())
        yield gap - allowed * len(found)


def worst_stretch(excess: Sequence[float], least: int) -> tuple[int, int] | None:
    """First and last place of the stretch with the largest sum (Kadane's rule); None when it is shorter than `least` or
    sums up to nothing.
    """
    best, found, start, total = 0.0, None, 0, 0.0
    for place, value in enumerate(excess):
        if total <= 0:
            start, total = place, 0.0
        total += value
        if total > best:
            best, found = total, (start, place)
    return found if found and found[1] - found[0] + 1 >= least else None
