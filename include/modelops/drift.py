"""How far a day's values lie from those the champion was fitted on. Pure: shares in, distances out."""

from collections.abc import Mapping
from math import log, log2, sqrt
from typing import TYPE_CHECKING, Any

from include.core.domain import Domain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MISSING = "missing"
OTHER = "other"
NUMERIC_BINS = 10
TOP_CATEGORIES = 15
SMALLEST_SHARE = 1e-4


def population_stability_index(expected: Mapping[str, float], actual: Mapping[str, float]) -> float:
    """Sum over bins of (a - e) ln(a / e), both shares at least 0.0001 (Siddiqi 2006, Credit Risk Scorecards)."""
    total = 0.0
    for name in sorted(expected.keys() | actual.keys()):
        e = max(expected.get(name, 0.0), SMALLEST_SHARE)
        a = max(actual.get(name, 0.0), SMALLEST_SHARE)
        total += (a - e) * log(a / e)
    return total


def jensen_shannon_distance(expected: Mapping[str, float], actual: Mapping[str, float]) -> float:
    """The square root of the Jensen-Shannon divergence to base 2: 0 for equal shares, 1 for disjoint (Lin 1991)."""
    divergence = 0.0
    for name in sorted(expected.keys() | actual.keys()):
        e, a = expected.get(name, 0.0), actual.get(name, 0.0)
        middle = (e + a) / 2
        divergence += sum(share / 2 * log2(share / middle) for share in (e, a) if share > 0)
    return sqrt(max(divergence, 0.0))


def profile(domain: Domain, features: "pd.DataFrame", scores: "np.ndarray") -> dict[str, dict[str, Any]]:
    """The reference of every feature and of the scores ('probability'): {"shares", "edges"}; edges of numbers only."""
    import pandas as pd

    known: dict[str, dict[str, Any]] = {}
    for feature in domain.features:
        values = features[feature.name]
        if feature.type == "text":
            known[feature.name] = {"shares": category_shares(values), "edges": None}
        else:
            edges = numeric_edges(values)
            known[feature.name] = {"shares": numeric_shares(values, edges), "edges": edges}
    probabilities = pd.Series(scores)
    edges = numeric_edges(probabilities)
    known["probability"] = {"shares": numeric_shares(probabilities, edges), "edges": edges}
    return known


def numeric_edges(values: "pd.Series") -> list[float]:
    """The inner edges of ten bins with equal numbers of rows; fewer where values repeat. Bin n holds values from
    edge n-1 (included) to edge n, as Postgres' width_bucket counts them.
    """
    import numpy as np

    known = values.dropna().to_numpy()
    if not len(known):
        return []
    return np.unique(np.quantile(known, np.arange(1, NUMERIC_BINS) / NUMERIC_BINS, method="lower")).tolist()


def numeric_shares(values: "pd.Series", edges: list[float]) -> dict[str, float]:
    """The share of rows in each bin, by its number, and in 'missing'."""
    import numpy as np

    bins = np.searchsorted(edges, values.to_numpy(), side="right").astype(str).astype(object)
    bins[values.isna().to_numpy()] = MISSING
    return _shares(bins)


def category_shares(values: "pd.Series") -> dict[str, float]:
    """The share of each of the most frequent categories, of 'other' and of 'missing'."""
    frequent = values.value_counts().head(TOP_CATEGORIES).index
    named = values.where(values.isin(frequent) | values.isna(), OTHER).fillna(MISSING)
    return _shares(named.tolist())


def _shares(bins: object) -> dict[str, float]:
    from collections import Counter

    counts = Counter(bins)  # type: ignore[call-overload]
    total = sum(counts.values())
    return {name: number / total for name, number in counts.items()}
