"""Whatever is done to a file: its valid rows are loaded, or the file is halted as a whole, with a reason.

A second opinion in plain Python (`oracle.py`) reads each spoilt file too, and says which of the two it must be.
"""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.core import warehouse
from include.core.domain import Domain, Source
from include.core.ledger import NotReadyError
from include.dataops import landing, preparation, reference
from include.dataops.drops import BadDropError
from include.dataops.reference import Way
from include.flights.domain import domain as flights
from include.flights.feed import airlines_csv
from tests.toy_domain.domain import domain as toy
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse import oracle
from tests.warehouse.chain import RUN
from tests.warehouse.drop_files import as_parquet, write_drop
from tests.warehouse.mutations import MUTATIONS, flip, truncate

EXAMPLES = 500


class Subject(NamedTuple):
    """A source, a day, the valid file that is spoilt, and what the rules of its domain say in Python."""

    domain: Domain
    source: Source
    day: date
    content: bytes
    rule: Callable[[oracle.Row], bool]


def visit_is_right(row: oracle.Row) -> bool:
    return (row["minutes"] is None) == (row["visit_date"] == VISITS.day)


DAY = date(2020, 3, 1)
VISITS = Subject(toy, toy.source("visits"), DAY, as_csv(rows_of(DAY)).encode(), visit_is_right)
FLIGHTS = """\
flight_date,carrier,flight,origin,dest,distance,sched_dep_time,sched_arr_time
2013-01-05,UA,1545,EWR,IAH,1400,515,819
2013-01-05,AA,1141,JFK,MIA,1089,540,850
2013-01-05,B6,725,JFK,BQN,1576,545,1022
2013-01-05,DL,461,LGA,ATL,762,600,837
2013-01-05,UA,1545,LGA,IAH,1416,0,2400
2013-01-05,9E,1,EWR,ORD,1,2400,0
"""
SCHEDULE = Subject(flights, flights.source("schedule"), date(2013, 1, 5), FLIGHTS.encode(), lambda row: True)
SUBJECTS = {"visits": VISITS, "visits again": VISITS, "schedule": SCHEDULE}
NUMBERS = st.integers(0, 1 << 16)
CHANGES = st.lists(st.tuples(st.sampled_from(MUTATIONS), NUMBERS, NUMBERS), min_size=1, max_size=4)
# How the spoilt text is written down; the last ones spoil the file of that format once more.
WRAPPINGS = st.sampled_from(
    [".csv", ".csv", ".csv", ".csv.gz", ".csv.gz", ".parquet", "flipped .csv.gz", "cut .csv.gz", "flipped .parquet"]
)


@pytest.fixture(scope="module")
def zone(new_database, tmp_path_factory):
    """A landing zone and a warehouse of both domains."""
    new_database("template1")
    for domain in (toy, flights):
        preparation.create_tables(domain)
    reference.load_files(reference.find_files(flights))
    reference.publish(flights, Way.COPY)
    folder = tmp_path_factory.mktemp("landing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDING_URI", folder.as_uri())
        yield folder


def known_values() -> dict[str, set[str]]:
    with airlines_csv().open() as file:
        return {"airlines.carrier": {row["carrier"] for row in csv.DictReader(file)}}


def spoil(content: bytes, changes: list[tuple[Callable[[bytes, int, int], bytes], int, int]]) -> bytes:
    for change, at, what in changes:
        content = change(content, at, what)
    return content


def wrap(content: bytes, wrapping: str, subject: Subject, at: int, what: int) -> tuple[bytes, str]:
    """The bytes of the file in this wrapping, and its ending."""
    spoilt, _, ending = wrapping.rpartition(" ")
    if ending == ".parquet":
        try:
            drop = oracle.read_csv(content, subject.source)
        except oracle.NotReadableError:
            return content, ".csv"
        content = as_parquet({name: [record[name] for record in drop.records] for name in drop.columns})
    elif ending == ".csv.gz":
        content = gzip.compress(content, 1)
    if spoilt:
        content = {"flipped": flip, "cut": truncate}[spoilt](content, at, what)
    return content, ending


def expect(content: bytes, ending: str, source: Source) -> oracle.Drop:
    """What the file holds, to the second opinion."""
    if ending == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        try:
            table = parquet.ParquetFile(io.BytesIO(content)).read(use_threads=False)
            records = table.to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise oracle.NotReadableError("no Parquet") from error
        if not {column.name for column in source.columns if column.required} <= set(table.column_names):
            raise oracle.NotReadableError("columns are missing")
        return oracle.Drop(tuple(table.column_names), records)
    if ending == ".csv.gz":
        try:
            content = gzip.decompress(content)
        except Exception as error:
            raise oracle.NotReadableError("no gzip") from error
    return oracle.read_csv(content, source)


def look(subject: Subject) -> tuple[Any, ...]:
    """All that a load may change for this day, in one query: raw, quarantine, the two ledgers and the alerts."""
    columns = ", ".join(subject.source.names)
    query = f"""
        select
            (select array_agg(array[to_jsonb(line), jsonb_build_array({columns})] order by line)
                from raw.{subject.source.name} where as_of = %(day)s),
            (select array_agg(array[to_jsonb(line), to_jsonb(reason), payload] order by line)
                from quarantine.rows where as_of = %(day)s and source = %(source)s),
            (select to_jsonb(p) - 'recorded_at'
                from quality.partitions p where as_of = %(day)s and source = %(source)s),
            (select count(*) from quality.drops),
            (select count(*) from ml.alerts),
            (select count(*) from pg_tables where schemaname = 'staging')
    """  # noqa: S608
    with warehouse.transaction() as cursor:
        cursor.execute(query, {"day": subject.day, "source": subject.source.name})
        return cursor.fetchone() or ()


def as_text(drop: oracle.Drop, source: Source, number: int) -> dict[str, str | None]:
    """The record as quarantine keeps it; undeclared columns without a value are left out."""
    record = drop.records[number - 1]
    undeclared = {f"+{name}": text for name, text in record.items() if name not in source.names and text is not None}
    return {name: record.get(name) for name in source.names} | undeclared


def test_valid_rows_are_loaded_or_the_file_is_halted_whatever_is_done_to_it(zone):
    seen: Counter[str] = Counter()
    known = known_values()
    for subject in (VISITS, SCHEDULE):
        write_drop(zone, subject.content, source=subject.source, day=subject.day)
        counts = landing.load_source(subject.domain, subject.source, subject.day, subject.day, RUN)
        number = subject.content.count(b"\n") - 1
        assert counts == {"lines": number, "raw_rows": number, "quarantined_rows": 0}

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(list(SUBJECTS)), CHANGES, WRAPPINGS, NUMBERS, NUMBERS)
    def hold(name, changes, wrapping, at, what):
        subject = SUBJECTS[name]
        source = subject.source
        content, ending = wrap(spoil(subject.content, changes), wrapping, subject, at, what)
        file = write_drop(zone, b"", ending, source, subject.day)
        file.write_bytes(content)
        try:
            drop = expect(content, ending, source)
        except oracle.NotReadableError:
            drop = None
        before = look(subject)
        try:
            counts = landing.load_source(subject.domain, source, subject.day, subject.day, RUN)
        except (BadDropError, NotReadyError) as error:
            seen["halted"] += 1
            # Of damage within a Parquet file one way of reading sees more than another.
            assert drop is None or wrapping == "flipped .parquet"
            assert str(file) in str(error)
            assert "Ask upstream" in str(error) or "half written" in str(error)
            assert look(subject) == before
            return
        seen["loaded"] += 1
        seen["loaded in part"] += counts["quarantined_rows"] > 0 and counts["raw_rows"] > 0
        assert drop is not None
        rows = oracle.accepted(drop, source, subject.day, known, subject.rule)
        found, quarantined, partition, *_, staging_tables = look(subject)
        in_raw = {line: tuple(values) for line, values in found or []}
        rejected = {line: (reason, payload) for line, reason, payload in quarantined or []}
        plain = {line: tuple(v.isoformat() if isinstance(v, date) else v for v in row) for line, row in rows.items()}
        assert in_raw == plain
        assert set(rejected) == set(range(1, len(drop.records) + 1)) - set(in_raw)
        for line, (reason, payload) in rejected.items():
            assert reason
            if not any(len(name.encode()) > 60 for name in drop.columns):
                assert payload == as_text(drop, source, line)
        assert counts == {"lines": len(drop.records), "raw_rows": len(in_raw), "quarantined_rows": len(rejected)}
        assert partition.items() >= counts.items()
        assert staging_tables == before[-1]

    hold()
    assert min(seen["halted"], seen["loaded"], seen["loaded in part"]) > EXAMPLES // 20
