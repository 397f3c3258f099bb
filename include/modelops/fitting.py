"""Fit and calibrate a candidate: data frames in, an estimator out. The same rows give the same bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.core.domain import Candidate
from include.core.errors import DomainError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def fitted(candidate: Candidate, features: "pd.DataFrame", labels: "np.ndarray") -> Any:
    """A fresh estimator fitted on the rows; `labels` (bool) has shape (n,). Raises DomainError when that fails."""
    from threadpoolctl import threadpool_limits

    # A product of matrices is summed in another order by another number of threads, and then has other last bits.
    with threadpool_limits(limits=1, user_api="blas"), own_fault(candidate, "fitted"):
        return candidate.estimator().fit(features, labels)


def calibrated(candidate: Candidate, estimator: Any, features: "pd.DataFrame", labels: "np.ndarray") -> Any:
    """The fitted estimator with a calibrator behind it that is fitted on these rows, which must be of other days."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"), own_fault(candidate, "calibrated"):
        return CalibratedClassifierCV(FrozenEstimator(estimator), method=candidate.calibration).fit(features, labels)


@contextmanager
def own_fault(candidate: Candidate, what: str) -> Iterator[None]:
    """Makes a DomainError of what fails in this block, so that it is not tried again: on the same rows and with the
    same seed it would fail again. Only memory may be more at the next try.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise DomainError(
            f"Candidate {candidate.name} cannot be {what} ({type(error).__name__}: {error})."
            " Mend it, or take it out of the candidates, then clear the run."
        ) from error
