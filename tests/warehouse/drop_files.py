"""Write the files of a drop in every format, load them, and look at what became of their lines."""

import gzip
from collections.abc import Mapping
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

from psycopg2 import sql

from include.core.domain import Domain, Source
from include.dataops import landing
from tests.toy_domain.domain import domain as toy
from tests.warehouse.chain import RUN, rows, value

DAY = date(2020, 3, 1)
VISITS = toy.source("visits")
TABLES = (("raw", "visits"), ("quarantine", "rows"), ("quality", "partitions"), ("quality", "drops"), ("ml", "alerts"))


def write_drop(zone: Path, content: bytes, ending: str = ".csv", source: Source = VISITS, day: date = DAY) -> Path:
    """Put one file in the place of a drop; its files in other formats are removed."""
    folder = zone / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.glob(f"{source.name}.*"):
        other.unlink()
    file = folder / f"{source.name}{ending}"
    file.write_bytes(gzip.compress(content, 1) if ending == ".csv.gz" else content)
    return file


def as_parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    """The bytes of a Parquet file with these columns, each a list or an array of pyarrow."""
    import pyarrow as pa
    from pyarrow import parquet

    buffer = BytesIO()
    parquet.write_table(pa.table(dict(columns)), buffer, **options)
    return buffer.getvalue()


def load(domain: Domain = toy, source: Source = VISITS, day: date = DAY) -> dict[str, int]:
    """Load the drop of a day; its lines must all be in raw or in quarantine, and counted in both ledgers."""
    counts = landing.load_source(domain, source, day, day, RUN)
    assert counts["lines"] == counts["raw_rows"] + counts["quarantined_rows"]
    assert counts["raw_rows"] == value(f"select count(*) from raw.{source.name} where as_of = %s", (day,))  # noqa: S608
    assert counts["quarantined_rows"] == len(quarantined(source, day))
    numbers = rows(
        f"select line from raw.{source.name} where as_of = %s"  # noqa: S608
        " union all select line from quarantine.rows where as_of = %s and source = %s order by 1",
        (day, day, source.name),
    )
    assert [number for (number,) in numbers] == list(range(1, counts["lines"] + 1))
    both_ledgers = (
        "select lines, raw_rows, quarantined_rows from quality.partitions"
        " join quality.drops using (as_of, source, file_sha256, lines, raw_rows, quarantined_rows)"
        " where as_of = %s and source = %s"
    )
    assert rows(both_ledgers, (day, source.name)) == [tuple(counts.values())]
    return counts


def loaded(source: Source = VISITS, day: date = DAY) -> list[tuple[Any, ...]]:
    """The line number and the values of every row of a day in raw, in order."""
    columns = ", ".join(source.names)
    return rows(f"select line, {columns} from raw.{source.name} where as_of = %s order by line", (day,))  # noqa: S608


def quarantined(source: Source = VISITS, day: date = DAY) -> list[tuple[int, str]]:
    """The line number and the reason of every rejected line of a day, in order."""
    query = "select line, reason from quarantine.rows where source = %s and as_of = %s order by line"
    return rows(query, (source.name, day))  # type: ignore[return-value]


def alerts() -> dict[str, str]:
    """The message of every alert, by its kind."""
    return dict(rows("select kind, message from ml.alerts"))  # type: ignore[arg-type]


def checksums() -> list[str]:
    """A hash of all rows of each table that a load may change, apart from the run and the time."""
    query = (
        "select md5(string_agg(told, '\n' order by told))"
        " from (select (to_jsonb(t) - 'recorded_at' - 'run_id')::text as told from {} t) as _"
    )
    one = sql.SQL("select array[{}]").format(
        sql.SQL(", ").join(sql.SQL(f"({query})").format(sql.Identifier(*table)) for table in TABLES)
    )
    return value(one)
