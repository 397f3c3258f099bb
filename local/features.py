"""The registry of the feature store, for people: views, owners, coverage, and what is stale.

A day is stale when a build would give something else now: the view or one below it has changed, or a drop that it
read was replaced. Compared is with the files as they are now, also when nothing was prepared since.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import psycopg2
from rich import box
from rich.console import Console
from rich.table import Table

from include.core.domain import Domain
from include.core.feature_view import FeatureView, Kind
from include.dataops import feature_registry
from local import environment, lock, postgres, settings
from local.guardian import Guard
from local.settings import LocalError, Settings

WIDTH = 110
INGESTED = "select min(as_of), max(as_of) from quality.partitions"


def main() -> int:
    """Print the registry."""
    from include.project import domain

    here = settings.load()
    try:
        with _warehouse(here):
            show(here, domain)
        return 0
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1


def show(here: Settings, domain: Domain) -> None:
    """Print a line a view, then the stale ranges and what mends them."""
    stale, first, last = _read(here, domain)
    total = (last - first).days + 1
    table = Table("view", "kind", "owner", "version", box=box.SIMPLE, show_edge=False)
    for name in ("drops", "days built", "stale"):
        table.add_column(name, justify="right")
    for view in sorted(domain.built_views, key=lambda view: (list(Kind).index(view.kind), view.name)):
        table.add_row(view.name, view.kind, view.owner, view.version, str(view.reach), *_coverage(view, stale, total))
    console = Console()
    console.print(f"Features of {domain.name}, {first} to {last}\n", highlight=False)
    # As wide as it has to be: a name that is cut off is of no use.
    Console(width=max(console.width, WIDTH)).print(table)
    console.print()
    outdated = feature_registry.only(stale, feature_registry.OTHER_VERSION, feature_registry.OTHER_DROPS)
    missing = feature_registry.only(stale, feature_registry.MISSING)
    for title, of_kind in (("Stale", outdated), ("Not built", missing)):
        if of_kind:
            console.print(f"{title}: {feature_registry.told(of_kind)}", highlight=False, soft_wrap=True)
    if stale:
        days = [day for of_view in stale.values() for day in of_view]
        console.print(
            f"To build it: trigger backfill_features with start {min(days)} and end {max(days)}; with dry_run it says"
            " what it would do.",
            highlight=False,
            soft_wrap=True,
        )


def _coverage(view: FeatureView, stale: feature_registry.Stale, total: int) -> tuple[str, str]:
    """Days built of all that are ingested, and how many of these are stale."""
    states = list(stale.get(view.name, {}).values())
    missing = states.count(feature_registry.MISSING)
    return f"{total - missing} of {total}", str(len(states) - missing or "")


def _read(here: Settings, domain: Domain) -> tuple[feature_registry.Stale, date, date]:
    """What is missing or stale from the first to the last day that is ingested."""
    try:
        with postgres.connect(here, "warehouse") as connection, connection.cursor() as cursor:
            cursor.execute(INGESTED)
            first, last = cursor.fetchone()
            if first is None:
                raise LocalError("Nothing is ingested yet. Run: make run")
            return feature_registry.stale_days(cursor, domain.built_views, first, last), first, last
    except psycopg2.errors.UndefinedTable:
        raise LocalError("The warehouse has no tables yet, or those of an earlier version. Run: make run") from None


@contextmanager
def _warehouse(here: Settings) -> Iterator[None]:
    """The Postgres that runs, or one for this block only."""
    if postgres.find_postmaster(here):
        yield
        return
    if not here.postgres_data.exists():
        raise LocalError("There is no warehouse yet. Run: make run")
    with lock.hold(here, "features"):
        guard = Guard(here)
        try:
            postgres.start(here, environment.service_environment(here, postgres.socket_folder(here)))
            yield
        finally:
            postgres.stop(here)
            guard.release()


if __name__ == "__main__":
    sys.exit(main())
