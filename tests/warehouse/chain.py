"""Drive the stages of the chain as the DAGs do, and look at what they left in the warehouse."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from psycopg2 import sql

from include.core import warehouse
from include.core.domain import Domain, days_between
from include.core.ledger import Passage
from include.dataops import feature_build, landing, quality

RUN = "manual__test"


def ingest(domain: Domain, start: date, end: date | None = None) -> dict[str, dict[str, int]]:
    """Load the drops of every source for the range; returns the counts per source."""
    end = end or start
    counts = {source.name: landing.load_source(domain, source, start, end, RUN) for source in domain.sources}
    landing.record_ingested(days_between(start, end), RUN, Passage.CHAIN)
    return counts


def check(domain: Domain, start: date, end: date | None = None) -> None:
    """Check the range as the chain does."""
    quality.check_days(domain, start, end or start, RUN, Passage.CHAIN)


def build(domain: Domain, start: date, end: date | None = None) -> dict[str, int]:
    """Build every view for the range, whether it is stale or not."""
    return feature_build.build(domain, [view.name for view in domain.built_views], start, end or start, RUN)


def prepare(domain: Domain, start: date, end: date) -> None:
    """Ingest, check and build the range."""
    ingest(domain, start, end)
    check(domain, start, end)
    build(domain, start, end)


def vouch(domain: Domain, start: date, end: date) -> None:
    """Mark every drop of the range as checked without running Soda."""
    execute(
        "update quality.partitions set state = 'checked' where as_of between %s and %s and source = any(%s)",
        (start, end, [source.name for source in domain.sources]),
    )


def rows(query: str | sql.Composable, parameters: Any = None) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with warehouse.transaction() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def value(query: str | sql.Composable, parameters: Any = None) -> Any:
    """The one value of a query."""
    ((found,),) = rows(query, parameters)
    return found


def execute(statement: str | sql.Composable, parameters: Any = None) -> int:
    """Run a statement; returns the number of rows it touched."""
    with warehouse.transaction() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def checksum(schema: str, table: str, without: Iterable[str] = ("recorded_at", "run_id")) -> str | None:
    """A hash of all rows of a table, whatever their order; None when it is empty."""
    query = sql.SQL(
        "select md5(string_agg(hash, '' order by hash)) from"
        " (select md5((to_jsonb(t) - %s::text[])::text) as hash from {} t) as hashed"
    )
    with warehouse.transaction() as cursor:
        cursor.execute(query.format(sql.Identifier(schema, table)), (list(without),))
        return cursor.fetchone()[0]  # type: ignore[index]


def feature_checksums(domain: Domain) -> dict[str, str | None]:
    """The hash of the table of every view: tallies, labels and features."""
    return {view.name: checksum("features", view.name) for view in domain.built_views}


def clear_features(domain: Domain) -> None:
    """Forget everything that is built, as if no view had ever been."""
    names = ("partitions", "statistics", *(view.name for view in domain.built_views))
    tables = sql.SQL(", ").join(sql.Identifier("features", name) for name in names)
    execute(sql.SQL("truncate {}").format(tables))
