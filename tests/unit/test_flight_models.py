"""The candidates of the flights on made-up rows: they take what they never saw, and hold no type that is not listed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from include.flights.domain import domain
from include.modelops.model_files import CALIBRATORS

NAMES = [candidate.name for candidate in domain.candidates]
TEXTS = [feature.name for feature in domain.features if feature.type == "text"]


def made_up(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Features of all columns of the domain, with missing values, and labels that hang on some of them."""
    drawn = np.random.default_rng(seed)
    features = pd.DataFrame({feature.name: drawn.normal(size=rows) for feature in domain.features})
    for name in TEXTS:
        features[name] = drawn.choice(["A", "B", "C", "rare"], size=rows, p=[0.5, 0.3, 0.19, 0.01]).astype(object)
    features["hour"] = drawn.integers(5, 23, rows).astype(float)
    features["day_of_week"] = drawn.integers(1, 8, rows).astype(float)
    features.loc[drawn.random(rows) < 0.2, "distance"] = np.nan
    labels = features["minute"] + 0.2 * features["hour"] + drawn.normal(size=rows) > 3
    return features, labels.to_numpy()


@pytest.fixture(scope="module")
def fitted() -> dict[str, object]:
    """Every candidate, fitted on the same rows; the trees are fewer and smaller than in earnest."""
    features, labels = made_up(2000, seed=1)
    models = {}
    for candidate in domain.candidates:
        small = {"trees": {"max_iter": 5}} if "trees" in candidate.params else {}
        if "max_iter" in candidate.params:
            small = {"max_iter": 5}
        models[candidate.name] = replace(candidate, params={**candidate.params, **small}).estimator()
        models[candidate.name].fit(features, labels)
    return models


@pytest.mark.parametrize("name", NAMES)
def test_a_candidate_takes_missing_rare_and_unknown_values(fitted, name):
    features, labels = made_up(500, seed=2)
    for column in TEXTS:
        features.loc[::3, column] = "never seen"
        features.loc[::7, column] = np.nan
    features.loc[::5, "block_minutes"] = np.nan
    probabilities = fitted[name].predict_proba(features)[:, 1]
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert probabilities[labels].mean() > probabilities[~labels].mean()


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_of_nothing_but_unknown_values_score_alike(fitted, name):
    features, _ = made_up(3, seed=3)
    features[TEXTS] = "never seen"
    features = pd.concat([features.iloc[[0]]] * 3, ignore_index=True)
    assert len(set(fitted[name].predict_proba(features)[:, 1])) == 1


def test_the_candidates_hold_exactly_the_types_that_the_domain_lists(fitted):
    from skops import io

    held = {name for model in fitted.values() for name in io.get_untrusted_types(data=io.dumps(model))}
    assert held - set(CALIBRATORS) == set(domain.trusted_types)


def test_feature_selection_and_reduction_narrow_what_the_linear_model_sees(fitted):
    def width(name: str) -> int:
        return fitted[name][-1].coef_.shape[1]

    assert width("logistic_regression_selected") == 40
    assert width("logistic_regression_reduced") == 30
    assert width("logistic_regression") > 40


def test_a_new_column_is_used_and_one_that_is_left_out_is_not():
    from sklearn.metrics import roc_auc_score

    features, labels = made_up(1000, seed=4)
    told = features.assign(told=labels.astype(float))
    for candidate in domain.candidates:
        if candidate.family == "blend" or "reduce" in candidate.params or "select" in candidate.params:
            continue  # made of the others, or told to leave columns out
        quick = {"max_iter": 20} if candidate.family == "gradient_boosting" else {}
        knows = replace(candidate, params={**candidate.params, **quick}).estimator().fit(told, labels)
        without = replace(candidate, params={**candidate.params, **quick, "without": ["told"]}).estimator()
        without.fit(told, labels)
        assert roc_auc_score(labels, knows.predict_proba(told)[:, 1]) > 0.995, candidate.name
        assert roc_auc_score(labels, without.predict_proba(told)[:, 1]) < 0.99, candidate.name
