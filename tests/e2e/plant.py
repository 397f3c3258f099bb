"""Register a planted model as the challenger of a day: python -m tests.e2e.plant <as-of day> inverted|clairvoyant

It runs in the copy of the project, with the environment of its services, and registers as train_model would.
"""

import os
import sys
from datetime import date
from typing import Any

from local import environment, postgres, settings

Rows = tuple[Any, Any]


def inverted(before: Rows, _: Rows) -> Any:
    """A model that was fitted on the opposite of every label."""
    from tests.toy_domain.model import logistic_regression

    features, labels = before
    return logistic_regression().fit(features, ~labels)


def clairvoyant(_: Rows, gate: Rows) -> Any:
    """A model that has learned the answers of the gate window by heart, and says that it has not seen them."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    features, labels = gate
    numbers = make_column_transformer((SimpleImputer(), ["age", "long_share_3d"]))
    return make_pipeline(numbers, KNeighborsClassifier(n_neighbors=1, algorithm="brute")).fit(features, labels)


def main(day: str, kind: str) -> int:
    """Fit and register."""
    here = settings.load()
    os.environ |= environment.service_environment(here, postgres.socket_folder(here))
    from include.project import domain
    from tests.warehouse.trained import plant

    fit = {"inverted": inverted, "clairvoyant": clairvoyant}[kind]
    plant(domain, date.fromisoformat(day), fit, run_id=f"planted__{kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
