"""What train_model does, and a model that is planted as it would register one."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from include.core.domain import Domain
from include.modelops import card, drift, registry, training
from include.modelops.snapshot import Snapshot, read_window
from tests.warehouse.chain import RUN

# From the rows before the gate window and those in it, each as (features, labels), to a fitted model.
Plant = Callable[[tuple[pd.DataFrame, np.ndarray], tuple[pd.DataFrame, np.ndarray]], Any]


def train(domain: Domain, as_of: date, run_id: str = RUN) -> int:
    """Every task of train_model, one after the other; returns the version."""
    snapshot = training.freeze_snapshot(domain, as_of, run_id)
    try:
        validated = []
        for candidate in domain.candidates:
            for step in (training.fit_candidate, training.calibrate_candidate):
                step(domain, candidate.name, snapshot)
            validated.append(training.validate_candidate(domain, candidate.name, snapshot))
        return training.register_challenger(domain, snapshot, validated)
    finally:
        training.remove_snapshot(domain, as_of, run_id)


def plant(domain: Domain, as_of: date, fit: Plant, run_id: str) -> int:
    """Register what `fit` makes as the challenger of a day, on a data hash of its own; returns the version."""
    snapshot = training.freeze_snapshot(domain, as_of, run_id) | {"data_hash": run_id}
    try:
        frozen = Snapshot.from_json(snapshot)
        before, gate = (
            _rows(domain, frozen, window)
            for window in ((frozen.windows.fit[0], frozen.windows.validation[1]), frozen.windows.gate)
        )
        model, candidate = fit(before, gate), domain.candidate("logistic_regression")
        facts = card.gather(domain, candidate, frozen, [], fitted_rows=len(before[0]), gate_rows=len(gate[0]))
        profile = drift.profile(domain, before[0], model.predict_proba(gate[0])[:, 1])
        return registry.register(
            domain, candidate, model, before[0], facts=facts, profile=profile, mlflow_run=frozen.mlflow_run
        )
    finally:
        training.remove_snapshot(domain, as_of, run_id)


def _rows(domain: Domain, frozen: Snapshot, window: tuple[date, date]) -> tuple[pd.DataFrame, np.ndarray]:
    keys, features = read_window(domain, frozen, window)
    return features, keys["label"].to_numpy(bool)
