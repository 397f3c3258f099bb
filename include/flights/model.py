"""The candidates: scikit-learn pipelines that carry their own preprocessing.

Each takes a pandas DataFrame with the columns of the feature views (text columns are categories, the rest are
numbers, with NaN where a value is missing) and a boolean label.
"""

from typing import Any

from include.flights.domain import domain

SEED = 2013
CATEGORIES = [feature.name for feature in domain.features if feature.type == "text"]
NUMBERS = [feature.name for feature in domain.features if feature.type != "text"]


def logistic_regression(**params: Any) -> Any:
    """A regularised linear model over scaled numbers and one-hot categories; hour and weekday are categories too."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    cyclic = ["hour", "day_of_week"]
    numbers = [name for name in NUMBERS if name not in cyclic]
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
            (
                "categories",
                OneHotEncoder(min_frequency=50, handle_unknown="infrequent_if_exist"),
                CATEGORIES + cyclic,
            ),
        ]
    )
    return make_pipeline(prepare, LogisticRegression(max_iter=500, random_state=SEED, **params))


def gradient_boosting(**params: Any) -> Any:
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
                CATEGORIES,
            ),
            ("numbers", "passthrough", NUMBERS),
        ]
    )
    return make_pipeline(prepare, HistGradientBoostingClassifier(random_state=SEED, **params))
