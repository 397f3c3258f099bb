"""Drops and archive on S3 by configuration alone: a URI and a connection, and the rows are those from a local folder.

Upstream is another program here: it writes through a client of its own, of which the chain's process knows nothing.
"""

import asyncio
import gzip
import io
import os
import time
from collections.abc import Callable
from datetime import date

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import ObjectStoragePath

from include.core import waiting
from include.core.ledger import NotReadyError
from include.dataops import drops
from include.flights.feed import write_drops as write_flights
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of, write_drops
from tests.warehouse.chain import check, checksum, feature_checksums, ingest, prepare, rows, value

DAY = date(2020, 3, 1)
LAST = date(2020, 3, 4)
VISITS = domain.source("visits")
Upload = Callable[[str, bytes], None]


@pytest.fixture
def landing(object_store, monkeypatch) -> ObjectStoragePath:
    """An empty landing zone on S3."""
    monkeypatch.setenv("LANDING_URI", f"{object_store}/landing")
    return ObjectStoragePath(f"{object_store}/landing")


@pytest.fixture
def landing_without_connection(s3_server, object_store, monkeypatch) -> str:
    """The same landing zone, reached as a machine with a role of its own would: by what its environment says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    uri = f"s3://{object_store.partition('@')[2]}/landing"
    monkeypatch.setenv("LANDING_URI", uri)
    return uri


@pytest.fixture
def upload(object_store) -> Upload:
    """Puts an object under the landing zone, as upstream does."""
    bucket = object_store.partition("@")[2]
    hook = S3Hook("aws_default")
    return lambda name, body: hook.load_bytes(body, f"landing/{name}", bucket, replace=True)


@pytest.fixture
def warehouse(toy_template, new_database) -> Callable[[], str]:
    """Makes a fresh warehouse of the toy domain, which is the one from then on."""
    return lambda: new_database(toy_template)


def names(folder: ObjectStoragePath) -> list[str]:
    folder.fs.invalidate_cache()
    return sorted(path.name for path in folder.iterdir())


def everything() -> dict[str, str | None]:
    tables = (("raw", "visits"), ("quarantine", "rows"), ("quality", "partitions"))
    return feature_checksums(domain) | {table: checksum(schema, table) for schema, table in tables}


def as_parquet(day: date) -> bytes:
    import pandas as pd

    buffer = io.BytesIO()
    frame = pd.DataFrame(rows_of(day), columns=VISITS.names)
    frame["minutes"] = pd.to_numeric(frame["minutes"]).astype("Int64")
    frame.to_parquet(buffer)
    return buffer.getvalue()


def test_the_feed_writes_what_is_not_there_and_the_same_bytes_as_into_a_folder(landing, upload, flight_drops):
    upload("2013-01-02/weather.csv", b"corrected")
    upload("2013-01-03/schedule.parquet", b"in another format")
    assert write_flights(landing, date(2013, 1, 2), date(2013, 1, 3)) == 4
    assert names(landing / "2013-01-02") == ["actuals.csv", "schedule.csv", "weather.csv"]
    assert names(landing / "2013-01-03") == ["actuals.csv", "schedule.parquet", "weather.csv"]
    assert (landing / "2013-01-02" / "weather.csv").read_bytes() == b"corrected"
    for file in ("2013-01-02/actuals.csv", "2013-01-02/schedule.csv", "2013-01-03/actuals.csv"):
        assert (landing / file).read_bytes() == (flight_drops / file).read_bytes()


def test_a_drop_that_is_still_being_written_is_not_there_yet(landing, upload):
    upload("2020-03-01/visits.csv.part", b"visitor,wa")
    with pytest.raises(NotReadyError, match="have not arrived"):
        drops.find(VISITS, [DAY])


def test_the_chain_leaves_the_same_rows_as_from_a_local_folder(warehouse, toy_landing, object_store, monkeypatch):
    def run() -> dict[str, str | None]:
        warehouse()
        prepare(domain, domain.first_day, LAST)
        return everything()

    from_folder = run()
    write_drops(ObjectStoragePath(f"{object_store}/landing"), domain.first_day, LAST)
    monkeypatch.setenv("LANDING_URI", f"{object_store}/landing")
    assert run() == from_folder
    assert value("select count(*) from raw.visits") > 0


def test_a_missing_drop_is_told_by_its_uri(warehouse, landing, object_store):
    warehouse()
    write_drops(landing, DAY, DAY)
    with pytest.raises(NotReadyError) as told:
        ingest(domain, DAY, LAST)
    assert f"3 drop(s) of visits have not arrived; the first is looked for at {object_store}/landing/2020-03-02" in str(
        told.value
    )


@pytest.mark.parametrize("zone", ["landing", "landing_without_connection"])
def test_a_drop_is_found_by_a_process_that_looked_for_it_before_it_came(request, zone, warehouse, upload):
    request.getfixturevalue(zone)
    warehouse()
    upload("2020-03-01/readme.txt", b"the folder is there, and is listed without the drop")
    with pytest.raises(NotReadyError):
        ingest(domain, DAY)
    assert "has not arrived" in drops.missing(domain, DAY)
    upload("2020-03-01/visits.csv", as_csv(rows_of(DAY)).encode())
    assert drops.missing(domain, DAY) is None
    assert ingest(domain, DAY)["visits"]["raw_rows"] == len(rows_of(DAY))


def missing_drop(day: date) -> str | None:
    """What the triggerer looks at."""
    return drops.missing(domain, day)


def test_a_drop_is_waited_for_in_the_triggerer_with_a_connection_of_its_own(object_store, upload, monkeypatch):
    # A connection that this process has not used yet: making its client takes an event loop, and one runs already.
    monkeypatch.setenv("AIRFLOW_CONN_DROPS", os.environ["AIRFLOW_CONN_AWS_DEFAULT"])
    monkeypatch.setenv("LANDING_URI", f"{object_store.replace('aws_default', 'drops')}/landing")
    monkeypatch.setattr(waiting, "SECONDS_BEFORE_FIRST_LOOK", 0)
    monkeypatch.setattr(waiting, "SECONDS_BETWEEN_LOOKS", 0.2)

    async def wait() -> dict[str, str | None]:
        trigger = waiting.NothingInTheWay(f"{__name__}:missing_drop", DAY.isoformat(), time.time() + 30)
        event = asyncio.create_task(anext(trigger.run()))
        await asyncio.sleep(1)
        assert not event.done()
        await asyncio.to_thread(upload, "2020-03-01/visits.csv", as_csv(rows_of(DAY)).encode())
        return (await event).payload

    assert asyncio.run(wait()) == {"pending": None}


def test_a_corrected_drop_is_read_anew_by_the_same_process(warehouse, landing, upload):
    warehouse()
    write_drops(landing, DAY, DAY)
    ingest(domain, DAY)
    upload("2020-03-01/visits.csv", as_csv(rows_of(DAY)[:3]).encode())
    assert ingest(domain, DAY)["visits"] == {"lines": 3, "raw_rows": 3, "quarantined_rows": 0}


@pytest.mark.parametrize(
    ("ending", "body"),
    [
        (".csv.gz", lambda day: gzip.compress(as_csv(rows_of(day)).encode())),
        (".parquet", as_parquet),
    ],
)
def test_a_drop_in_another_format_leaves_the_same_rows(warehouse, landing, upload, ending, body):
    loaded = []
    for form in (".csv", ending):
        warehouse()
        for day in (DAY, LAST):
            (landing / day.isoformat() / "visits.csv").unlink(missing_ok=True)
            content = as_csv(rows_of(day)).encode() if form == ".csv" else body(day)
            upload(f"{day}/visits{form}", content)
            ingest(domain, day)
            check(domain, day)
        loaded.append(checksum("raw", "visits"))
    assert rows("select distinct state from quality.partitions") == [("checked",)]
    assert loaded[0] == loaded[1]
