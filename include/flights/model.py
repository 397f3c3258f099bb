"""The candidates: scikit-learn pipelines that carry their own preprocessing.

Each takes a pandas DataFrame with the columns of the feature views (text columns are categories, the rest are
numbers, with NaN where a value is missing) and a boolean label. It uses the columns that it is fitted on, whichever
these are, so that a new feature view needs no change here. `without` names columns that a candidate leaves out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

SEED = 2013
CYCLIC = ["hour", "day_of_week"]


def logistic_regression(
    without: Sequence[str] = (), select: int | None = None, reduce: int | None = None, **params: Any
) -> Any:
    """A regularised linear model over scaled numbers and one-hot categories; hour and weekday are categories too.

    Rare categories share a column, and one that was never seen falls in with them. `select` keeps so many columns of
    the prepared matrix, those that differ most between the classes; `reduce` turns it into so many components.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    categories = OneHotEncoder(min_frequency=50, handle_unknown="infrequent_if_exist")
    prepare = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
                _columns("number", [*CYCLIC, *without]),
            ),
            ("categories", categories, _columns("object", without)),
            ("cyclic", categories, [name for name in CYCLIC if name not in without]),
        ]
    )
    steps = [prepare]
    if select is not None:
        steps.append(SelectKBest(f_classif, k=select))
    if reduce is not None:
        steps.append(TruncatedSVD(reduce, random_state=SEED))
    return make_pipeline(*steps, LogisticRegression(max_iter=500, random_state=SEED, **params))


def gradient_boosting(without: Sequence[str] = (), **params: Any) -> Any:
    """Boosted trees over binned features; missing values and categories are the trees' own business."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    prepare = ColumnTransformer(
        [
            (
                "categories",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=50),
                _columns("object", without),
            ),
            ("numbers", "passthrough", _columns("number", without)),
        ]
    )
    return make_pipeline(prepare, HistGradientBoostingClassifier(random_state=SEED, **params))


def blend(linear: Mapping[str, Any], trees: Mapping[str, Any], without: Sequence[str] = ()) -> Any:
    """The mean of the probabilities of both families, each with its own parameters."""
    from sklearn.ensemble import VotingClassifier

    families = [
        ("linear", logistic_regression(without, **linear)),
        ("trees", gradient_boosting(without, **trees)),
    ]
    return VotingClassifier(families, voting="soft")


def _columns(dtype: str, without: Sequence[str]) -> Any:
    """What chooses the columns of a dtype, except some, when the estimator is fitted."""
    from sklearn.compose import make_column_selector

    return make_column_selector(rf"^(?!(?:{'|'.join(without)})$)", dtype_include=dtype)
