"""Train on a frozen snapshot: fit and calibrate the candidates, pick the cheapest, make it again on all it may see.

Candidates are fitted on the window `fit`, calibrated on `calibration` and compared on `validation`; one that needs no
calibration is fitted on both. The winner is made again on all three. The gate window is never fitted, calibrated or
selected on. Every step takes the snapshot as `freeze_snapshot` gave it: it may run on another machine, and what is
changed in the domain meanwhile changes nothing.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from include.core.domain import Candidate, Domain
from include.core.errors import DomainError
from include.modelops import card, drift, evaluation, figures, fitting, registry, tracking
from include.modelops.snapshot import Cut, Snapshot, Window, drop, freeze, read_window

# A snapshot on its way from task to task.
Frozen = Mapping[str, Any]
Validated = Mapping[str, Any]


def freeze_snapshot(domain: Domain, as_of: date, airflow_run: str) -> dict[str, Any]:
    """Freeze the rows of all windows and open the MLflow run, see `snapshot.freeze`; as JSON."""
    return freeze(domain, as_of, airflow_run).to_json()


def remove_snapshot(domain: Domain, as_of: date, airflow_run: str) -> None:
    """Remove what the training made beside its version: the table, files between tasks, open runs. Safe to repeat."""
    drop(as_of, airflow_run)
    tracking.close(domain, as_of, airflow_run)


def fit_candidate(domain: Domain, name: str, snapshot: Frozen) -> None:
    """Fit the candidate called `name`, and hand it on."""
    candidate, frozen = domain.candidate(name), Snapshot.from_json(snapshot)
    run = tracking.open_candidate(domain, frozen.mlflow_run, candidate)
    with tracking.failing(run):
        described = {"family": candidate.family, "calibration": candidate.calibration, "compute": candidate.compute}
        tracking.log(run, params={**described, **candidate.params, "data_hash": frozen.data_hash})
        windows = frozen.windows
        last = windows.fit[1] if candidate.calibration else windows.calibration[1]
        tracking.hand_on(run, "fitted", _fitted(domain, candidate, frozen, (windows.fit[0], last)))


def calibrate_candidate(domain: Domain, name: str, snapshot: Frozen) -> None:
    """Make probabilities of the candidate's scores, by days that it was not fitted on, and hand it on."""
    candidate, frozen = domain.candidate(name), Snapshot.from_json(snapshot)
    if candidate.calibration is None:
        return
    run = tracking.open_candidate(domain, frozen.mlflow_run, candidate)
    with tracking.failing(run):
        fitted = tracking.take_over(domain, run, "fitted")
        calibrated = _calibrated(domain, candidate, fitted, frozen, frozen.windows.calibration)
        tracking.hand_on(run, "calibrated", calibrated)


def validate_candidate(domain: Domain, name: str, snapshot: Frozen) -> dict[str, Any]:
    """Measure the candidate on the validation window, in its run of MLflow too.

    Returns {"candidate", "measures", "intervals", "slices", "curve"}, all JSON, see `evaluation`.
    """
    candidate, frozen = domain.candidate(name), Snapshot.from_json(snapshot)
    run = tracking.open_candidate(domain, frozen.mlflow_run, candidate)
    with tracking.failing(run):
        model = tracking.take_over(domain, run, "calibrated" if candidate.calibration else "fitted")
        keys, features = read_window(domain, frozen, frozen.windows.validation)
        labels = keys["label"].to_numpy(bool)
        with fitting.own_fault(candidate, "validated"):
            probabilities = model.predict_proba(features)[:, 1]
            measures = evaluation.measures(labels, probabilities, domain.costs)
        intervals = evaluation.intervals(labels, probabilities, keys["as_of"].to_numpy("datetime64[D]"), domain.costs)
        groups = evaluation.slice_groups(domain.slices, features)
        tracking.log(run, metrics=with_intervals(measures, intervals))
        curves = (figures.roc, figures.precision_recall, figures.calibration)
        tracking.log_pictures(run, {curve.__name__: curve(labels, probabilities) for curve in curves})
        tracking.finish(run)
    return {
        "candidate": name,
        "measures": measures,
        "intervals": {measure: list(bounds) for measure, bounds in intervals.items()},
        "slices": evaluation.slice_measures(labels, probabilities, groups, domain.costs),
        "curve": evaluation.calibration_curve(labels, probabilities),
    }


def collect(groups: Iterable[Any]) -> list[Validated]:
    """What is known of those candidates that got so far, from the results of the mapped groups.

    Airflow gives the results of a group as a sequence with gaps for those that failed; of a group with one member it
    gives that one's result, and None where all failed.
    """
    whole = ([group] if isinstance(group, Mapping) else group or () for group in groups)
    return [validated for group in whole for validated in group if validated]


def register_challenger(domain: Domain, snapshot: Frozen, validated: Iterable[Validated]) -> int:
    """Pick the winner, make it again on all days before the gate window, and register it; returns its version.

    `validated` is what `validate_candidate` gave for those candidates that got so far. On a retry that finds the
    version whole, nothing is fitted.
    """
    frozen, found = Snapshot.from_json(snapshot), list(validated)
    candidate = pick(domain, found)
    (measured,) = (one for one in found if one["candidate"] == candidate.name)
    version = registry.find(domain, frozen.data_hash) or _make_version(domain, candidate, frozen, found)
    tracking.log(
        frozen.mlflow_run,
        params={"candidate": candidate.name, **candidate.params, "version": version},
        metrics=with_intervals(measured["measures"], measured["intervals"]),
    )
    tracking.finish(frozen.mlflow_run)
    return version


def pick(domain: Domain, validated: Iterable[Validated]) -> Candidate:
    """The candidate with the lowest cost on the validation window; of equals, the one declared first.

    One that failed is not among `validated`, and one whose cost is not a number cannot win. Raises DomainError when
    none is left.
    """
    costs = {found["candidate"]: found["measures"]["cost"] for found in validated}
    left = [candidate for candidate in domain.candidates if math.isfinite(costs.get(candidate.name, math.nan))]
    if not left:
        raise DomainError(
            f"None of the {len(domain.candidates)} candidates could be validated. The logs of fit_candidate,"
            " calibrate_candidate and validate_candidate say why; mend the cause and clear the run."
        )
    return min(left, key=lambda candidate: costs[candidate.name])


def final_windows(candidate: Candidate, windows: Cut) -> tuple[Window, Window | None]:
    """The days that the winner is fitted on, and those that it is calibrated on, if it is: all before the gate's."""
    first, last = windows.fit[0], windows.validation[1]
    if candidate.calibration is None:
        return (first, last), None
    start, end = windows.calibration
    held_out = last - (end - start)
    return (first, held_out - timedelta(days=1)), (held_out, last)


def with_intervals(measures: Mapping[str, float], intervals: Mapping[str, Iterable[float]]) -> dict[str, float]:
    """Metrics as MLflow keeps them: each measure, and its low and high."""
    found = dict(measures)
    for name, (low, high) in intervals.items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def _make_version(domain: Domain, candidate: Candidate, frozen: Snapshot, validated: list[Validated]) -> int:
    """The reference profile for drift is made of the rows it was fitted on, and of its scores on the gate window:
    scores on rows that a model was fitted on are too sure of themselves.
    """
    for_fit, held_out = final_windows(candidate, frozen.windows)
    model = _fitted(domain, candidate, frozen, for_fit)
    if held_out:
        model = _calibrated(domain, candidate, model, frozen, held_out)
    _, features = read_window(domain, frozen, (frozen.windows.fit[0], frozen.windows.validation[1]))
    _, unseen = read_window(domain, frozen, frozen.windows.gate)
    return registry.register(
        domain,
        candidate,
        model,
        features,
        facts=card.gather(domain, candidate, frozen, validated, fitted_rows=len(features), gate_rows=len(unseen)),
        profile=drift.profile(domain, features, model.predict_proba(unseen)[:, 1]),
        mlflow_run=frozen.mlflow_run,
    )


def _fitted(domain: Domain, candidate: Candidate, frozen: Snapshot, window: Window) -> Any:
    keys, features = read_window(domain, frozen, window)
    return fitting.fitted(candidate, features, keys["label"].to_numpy(bool))


def _calibrated(domain: Domain, candidate: Candidate, fitted: Any, frozen: Snapshot, window: Window) -> Any:
    keys, features = read_window(domain, frozen, window)
    return fitting.calibrated(candidate, fitted, features, keys["label"].to_numpy(bool))
