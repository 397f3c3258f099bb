"""How far a day's values lie from those the champion was fitted on. Pure: shares in, distances out."""

from collections.abc import Iterable, Mapping
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
    """The reference of every feature and of the scores ('probability'): {"shares", "edges", "categories"}.

    A number has edges and no categories, a text has categories, all there were, and no edges.
    """
    import pandas as pd

    known: dict[str, dict[str, Any]] = {}
    for feature in domain.features:
        values = features[feature.name]
        if feature.type == "text":
            known[feature.name] = {
                "shares": category_shares(values),
                "edges": None,
                "categories": sorted(values.dropna().unique()),
            }
        else:
            edges = numeric_edges(values)
            known[feature.name] = {"shares": numeric_shares(values, edges), "edges": edges, "categories": None}
    probabilities = pd.Series(scores)
    edges = numeric_edges(probabilities)
    known["probability"] = {"shares": numeric_shares(probabilities, edges), "edges": edges, "categories": None}
    return known


def shares(
    domain: Domain, reference: Mapping[str, Mapping[str, Any]], features: "pd.DataFrame"
) -> dict[str, dict[str, float]]:
    """The share of rows in each bin of a reference, for every feature, as `shares.sql` counts them."""
    found = {}
    for feature in domain.features:
        values, known = features[feature.name], reference[feature.name]
        if feature.type == "text":
            named = known["shares"].keys() - {MISSING, OTHER}
            found[feature.name] = _shares_of_texts(values, named)
        else:
            found[feature.name] = numeric_shares(values, known["edges"])
    return found


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
    """The share of rows in each bin, by its number, and in 'missing'. A bin without rows is left out."""
    import numpy as np

    known = values.dropna().to_numpy()
    counts = np.bincount(np.searchsorted(edges, known, side="right"))
    return _shares({**{str(n): int(rows) for n, rows in enumerate(counts)}, MISSING: len(values) - len(known)})


def category_shares(values: "pd.Series") -> dict[str, float]:
    """The share of each of the most frequent categories, of 'other' and of 'missing'.

    A category that is called like one of these two has no bin of its own, and is in 'other'.
    """
    counted = values.value_counts().drop([MISSING, OTHER], errors="ignore")
    return _shares_of_texts(values, counted.head(TOP_CATEGORIES).index)


def _shares_of_texts(values: "pd.Series", named: Iterable[str]) -> dict[str, float]:
    counts = values.value_counts()
    known = {name: int(counts.get(name, 0)) for name in named}
    return _shares({**known, OTHER: int(counts.sum()) - sum(known.values()), MISSING: len(values) - int(counts.sum())})


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: rows / total for name, rows in counts.items() if rows}
