"""The one candidate: a linear model over the age and the ward."""

from typing import Any


def logistic_regression(**params: Any) -> Any:
    """Scaled numbers and one-hot categories; an unknown ward counts as none."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "long_share_3d"]),
            ("categories", OneHotEncoder(handle_unknown="ignore"), ["ward"]),
        ]
    )
    return make_pipeline(prepare, LogisticRegression(random_state=0, **params))
