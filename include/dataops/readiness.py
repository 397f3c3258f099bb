"""What the stages of a day wait for, in words. The triggerer knows no more than the day: the domain is bound here."""

from datetime import date

from include.dataops import drops, feature_build
from include.project import domain


def missing_drop(as_of: date) -> str | None:
    """The files that ingestion still waits for, and where they are looked for."""
    return drops.missing(domain, as_of)


def unusable_lookback(as_of: date) -> str | None:
    """The earlier days that the features of this one need and nobody vouches for."""
    return feature_build.unusable_lookback(domain, as_of)
