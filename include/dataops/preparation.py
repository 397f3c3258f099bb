"""What has to stand before the first drop: schemas, tables, the registry of views and the sample feed's drops."""

from include.core import warehouse
from include.core.domain import Domain, load_object
from include.dataops import drops, feature_registry, landing, reference_tables


def create_tables(domain: Domain) -> None:
    """Make every table of the engine and of the domain. Safe to run again: nothing that exists is lost."""
    with warehouse.transaction() as cursor:
        warehouse.lock(cursor, "schema")
        cursor.execute(warehouse.statement("core/schema"))
        reference_tables.create_tables(cursor, domain)
        landing.create_tables(cursor, domain)
        feature_registry.register(cursor, domain)
        cursor.execute(warehouse.statement("core/reader"))


def write_sample_drops(domain: Domain) -> int:
    """Let the domain's feed write the drops of its calendar; returns how many files were missing."""
    return load_object(domain.feed)(drops.landing_zone(), domain.first_day, domain.last_day)
