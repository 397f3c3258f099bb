"""The one line a fork changes: which domain this deployment runs."""

from include.flights.domain import domain

__all__ = ["domain"]
