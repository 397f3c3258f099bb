"""The as-of day of a run, and the bounds of the domain's calendar in Airflow's words."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from include.core.domain import Domain
from include.core.errors import DomainError


def as_of_day(partition_key: str | None) -> date:
    """The day that a partition key names; a DomainError says how to start a run that has one."""
    if partition_key is None:
        raise DomainError(
            "This run has no partition key, so it is of no day. Start it with one: in the UI fill in the partition"
            " key (YYYY-MM-DD), or replay the day with airflow backfill create --dag-id ingest_sources."
        )
    try:
        return date.fromisoformat(partition_key)
    except ValueError:
        raise DomainError(f"The partition key {partition_key!r} is not a day. Write it as YYYY-MM-DD.") from None


def head_bounds(domain: Domain) -> dict[str, Any]:
    """start_date and end_date of the head: its first drop and, for a calendar that ends, its last.

    Past the last day no run is made: there will never be a drop for it.
    """
    zone = ZoneInfo(domain.timezone)
    bounds: dict[str, Any] = {"start_date": datetime.combine(domain.first_day, domain.drop_at, zone)}
    if domain.last_day is not None:
        bounds["end_date"] = datetime.combine(domain.last_day, domain.drop_at, zone) + timedelta(minutes=1)
    return bounds
