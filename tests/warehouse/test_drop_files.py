"""What each problem of a file gets: load, warn, quarantine or halt. `docs/drops.md` says the same in words.

The titles here are the first column of the tables there. Each test compares its row with what happens: what the problem
gets, and the words that one reads.
"""

import gzip
import json
import re
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.core import warehouse
from include.core.domain import Column, Rule, Source
from include.core.ledger import NotReadyError
from include.dataops import landing, preparation, reference
from include.dataops.drops import BadDropError, HalfWrittenDropError
from include.dataops.reference import Way
from include.flights.domain import domain as flights
from tests.conftest import REPO, use_database
from tests.toy_domain.domain import domain
from tests.toy_domain.feed import as_csv, rows_of
from tests.warehouse.chain import RUN, execute, rows, value
from tests.warehouse.drop_files import (
    DAY,
    VISITS,
    alerts,
    as_parquet,
    checksums,
    load,
    loaded,
    quarantined,
    write_drop,
)

GOOD = as_csv(rows_of(DAY)).encode()
EVE = DAY - timedelta(days=1)
HEADER = "visitor,ward,age,visit_date,minutes"
TODAY, YESTERDAY = "v1,north,20,2020-03-01,", "v2,south,30,2020-02-29,12"
ROWS = [(1, "v1", "north", 20, DAY, None), (2, "v2", "south", 30, EVE, 12)]
PLAIN = {
    "visitor": ["v1", "v2"],
    "ward": ["north", "south"],
    "age": [20, 30],
    "visit_date": [DAY, EVE],
    "minutes": [None, 12],
}


# {title: (what it gets, the words that one reads)}
PAGE = {
    title: (gets, re.findall(r"`([^`]+)`", words))
    for title, gets, words in re.findall(
        r"^\| ([^|]+?) \| ((?:load|warn|quarantine|halt)[^|]*?) \| ([^|]*?) ?\|",
        (REPO / "docs" / "drops.md").read_text(),
        flags=re.MULTILINE,
    )
}


def matches_page(title: str, gets: str, told: str = "") -> None:
    """The row of this problem says what it gets, and words of what is told."""
    gets_there, words = PAGE[title]
    assert gets_there == gets
    assert bool(words) == bool(told)
    for part in " ".join(words).split("..."):
        assert part.strip(" ") in told


def text(*lines: str, header: str = HEADER, end: str = "\n") -> bytes:
    return "".join(line + end for line in (header, *lines)).encode()


@pytest.fixture(scope="module")
def database(toy_template, new_database):
    return new_database(toy_template)


@pytest.fixture
def zone(database, postgres, tmp_path, monkeypatch):
    """A landing zone, and a warehouse that holds a good drop of the day: what a halt must not change."""
    use_database(postgres, database)
    monkeypatch.setenv("LANDING_URI", tmp_path.as_uri())
    execute("delete from quality.drops")
    execute("delete from ml.alerts")
    write_drop(tmp_path, GOOD)
    load()
    return tmp_path


def refuse(kind: type[Exception], words: str, file: Path, title: str | None = None) -> None:
    """The load halts: the message names the file and says what to do, and nothing has changed."""
    before = checksums()
    with pytest.raises(kind, match=words) as error:
        load()
    assert type(error.value) is kind
    assert str(file.parent) in str(error.value)
    assert re.search(r"Ask upstream|[Uu]pstream should|[Cc]lear this task", str(error.value))
    assert checksums() == before
    if title is not None:
        matches_page(title, "halt" if kind is BadDropError else "halt, tried again", str(error.value))


LOAD: dict[str, tuple[bytes, list[tuple[Any, ...]]]] = {
    "a plain file": (text(TODAY, YESTERDAY), ROWS),
    "columns in another order": (
        text(",2020-03-01,v1,20,north", "12,2020-02-29,v2,30,south", header="minutes,visit_date,visitor,age,ward"),
        ROWS,
    ),
    "quotes or spaces around the names of columns": (
        text(TODAY, YESTERDAY, header='"visitor", ward ,age,"visit_date",minutes'),
        ROWS,
    ),
    "a header and no rows": (text(), []),
    "a byte order mark (BOM) of UTF-8": (b"\xef\xbb\xbf" + text(TODAY, YESTERDAY), ROWS),
    "line ends of Windows (CRLF)": (text(TODAY, YESTERDAY, end="\r\n"), ROWS),
    "a header with another line end than the lines": (
        (HEADER + "\n").encode() + text(YESTERDAY, header=TODAY, end="\r\n"),
        ROWS,
    ),
    "a line end inside quotes": (
        text('"v\n1","nor\nth",20,2020-03-01,', YESTERDAY),
        [(1, "v\n1", "nor\nth", *ROWS[0][3:]), ROWS[1]],
    ),
    "commas and doubled quotes inside quotes": (
        text('"v, ""1""",north,20,2020-03-01,', YESTERDAY),
        [(1, 'v, "1"', *ROWS[0][2:]), ROWS[1]],
    ),
    "a quote in the middle of a value": (
        text('v"1",north,20,2020-03-01,', YESTERDAY),
        [(1, "v1", *ROWS[0][2:]), ROWS[1]],
    ),
    "umlauts and other letters in UTF-8": (
        text("Zoë 王,Süd,20,2020-03-01,", YESTERDAY),
        [(1, "Zoë 王", "Süd", *ROWS[0][3:]), ROWS[1]],
    ),
    "control characters in a text": (
        text("v\x01\x1b[0m\t,north,20,2020-03-01,", YESTERDAY),
        [(1, "v\x01\x1b[0m\t", *ROWS[0][2:]), ROWS[1]],
    ),
    "spaces around a text": (text(" v1, ,20,2020-03-01,", YESTERDAY), [(1, " v1", " ", *ROWS[0][3:]), ROWS[1]]),
}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("title", LOAD)
def test_what_does_no_harm_is_loaded(zone, title, ending):
    content, expected = LOAD[title]
    write_drop(zone, content, ending)
    assert load() == {"lines": len(expected), "raw_rows": len(expected), "quarantined_rows": 0}
    assert loaded() == expected
    assert alerts() == {}
    matches_page(title, "load")


WARN: dict[str, tuple[bytes, str, str]] = {
    "columns that nobody declared": (
        text(f"{TODAY},first,a", f"{YESTERDAY},,b", header=f"{HEADER},Note,rôle %s"),
        "extra_columns",
        r"2020-03-01/visits\.csv.*: Note, rôle %s\..*Declare them",
    ),
    "a comma at the end of every line": (
        text(f"{TODAY},", f"{YESTERDAY},", header=f"{HEADER},"),
        "extra_columns",
        "columns that the domain does not declare",
    ),
    "a name of more than sixty bytes": (
        text(f"{TODAY},x,y", f"{YESTERDAY},x,y", header=f"{HEADER},{'n' * 70}1,{'n' * 70}2"),
        "extra_columns",
        "n{70}1, n{70}2",
    ),
}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("title", WARN)
def test_columns_that_nobody_declared_are_left_out_with_an_alert(zone, title, ending):
    content, kind, words = WARN[title]
    write_drop(zone, content, ending)
    load()
    assert loaded() == ROWS
    assert list(alerts()) == [kind]
    assert re.search(words, alerts()[kind])
    matches_page(title, "warn", alerts()[kind])


ABSENT = "an optional column is missing"


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_an_optional_column_that_is_missing_is_loaded_as_nulls_with_an_alert(zone, ending):
    write_drop(zone, text(TODAY.removesuffix(","), header=HEADER.removesuffix(",minutes")), ending)
    assert load()["raw_rows"] == 1
    assert loaded() == ROWS[:1]
    assert list(alerts()) == ["absent_columns"]
    assert f"visits{ending} lacks the optional columns minutes" in alerts()["absent_columns"]
    matches_page(ABSENT, "warn", alerts()["absent_columns"])


def test_the_value_of_an_undeclared_column_is_kept_with_a_rejected_line(zone):
    write_drop(zone, text(f"{TODAY},fine", "v9,north,old,2020-03-01,,odd", header=f"{HEADER},note"))
    load()
    assert rows("select line, payload from quarantine.rows") == [
        (
            2,
            {"visitor": "v9", "ward": "north", "age": "old", "visit_date": "2020-03-01", "minutes": None}
            | {"+note": "odd"},
        )
    ]


def test_a_range_of_days_with_different_columns_leaves_what_its_days_leave(zone):
    write_drop(zone, text("v1,north,old,2020-02-29,", header=HEADER), day=EVE)
    write_drop(zone, text("v1,north,old,2020-03-01,,odd", header=f"{HEADER},note"))
    landing.load_source(domain, VISITS, EVE, DAY, RUN)
    at_once = checksums()
    for day in (DAY, EVE):
        load(day=day)
    assert checksums() == at_once
    execute("delete from raw.visits where as_of < %s", (DAY,))
    execute("delete from quarantine.rows where as_of < %s", (DAY,))
    execute("delete from quality.partitions where as_of < %s", (DAY,))


QUARANTINE: dict[str, tuple[str, str]] = {
    "a required value is missing": ("v9,,20,2020-03-01,", "ward is missing"),
    "a required value is empty in quotes": ('v9,"",20,2020-03-01,', "ward is missing"),
    "a number that is none": ("v9,north,twenty,2020-03-01,", "age is not a whole number"),
    "a number with decimals in a whole column": ("v9,north,12.0,2020-03-01,", "age is not a whole number"),
    "a number beyond its type": ("v9,north,99999999999,2020-03-01,", "age is not a whole number"),
    "a date that is none": ("v9,north,20,2020-02-30,", "visit_date is not a date (YYYY-MM-DD)"),
    "a date in another notation": ("v9,north,20,01/03/2020,", "visit_date is not a date (YYYY-MM-DD)"),
    "a date of another day than may be": (
        "v9,north,20,2020-03-02,5",
        "visit_date is after the day of the drop; minutes are known before the visit",
    ),
    "a text that is too long": (f"{'v' * 101},north,20,2020-03-01,", "visitor is longer than 100 characters"),
    "a broken rule": ("v9,north,20,2020-02-29,", "minutes are missing"),
    "the same key as a line before it": ("v1,south,44,2020-03-01,", "line 1 has the same key"),
    "several at once": (",,x,2020-03-01,", "visitor is missing; ward is missing; age is not a whole number"),
    "SQL in a value": ('v9,north,"\'); drop table raw.visits; --",2020-03-01,', "age is not a whole number"),
}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("title", QUARANTINE)
def test_a_line_that_cannot_be_right_goes_into_quarantine_with_its_reason(zone, title, ending):
    line, reason = QUARANTINE[title]
    write_drop(zone, text(TODAY, YESTERDAY, line, "v3,north,50,2020-03-01,"), ending)
    assert load() == {"lines": 4, "raw_rows": 3, "quarantined_rows": 1}
    assert [row[0] for row in loaded()] == [1, 2, 4]
    assert quarantined() == [(3, reason)]
    assert alerts() == {}
    matches_page(title, "quarantine", reason)


def test_of_lines_with_the_same_key_the_first_valid_one_stays(zone):
    spoilt, first, later = "v7,north,old,2020-03-01,", "v7,north,44,2020-03-01,", "v7,south,45,2020-03-01,"
    write_drop(zone, text(spoilt, first, later, YESTERDAY, spoilt, later))
    load()
    assert [row[:4] for row in loaded()] == [(2, "v7", "north", 44), (4, *ROWS[1][1:4])]
    assert quarantined() == [
        (1, "age is not a whole number"),
        (3, "line 2 has the same key"),
        (5, "age is not a whole number"),
        (6, "line 2 has the same key"),
    ]


def test_a_line_that_spans_several_lines_of_the_file_has_one_number(zone):
    write_drop(zone, text('"v\n1\n",north,20,2020-03-01,', 'v2,"a\nb",old,2020-03-01,', YESTERDAY))
    load()
    assert [row[0] for row in loaded()] == [1, 3]
    assert quarantined() == [(2, "age is not a whole number")]
    assert value("select payload ->> 'ward' from quarantine.rows") == "a\nb"


HALT: dict[str, tuple[bytes, type[Exception], str]] = {
    "a required column is missing": (
        text("v1,north,2020-03-01,", header="visitor,ward,visit_date,minutes"),
        BadDropError,
        "which lacks age: visits has the columns visitor,ward,age,visit_date,minutes",
    ),
    "a column is there twice": (
        text(f"{TODAY},20", header=f"{HEADER},age"),
        BadDropError,
        "names 'age' more than once",
    ),
    "more than 500 columns": (
        text(header=",".join([HEADER, *(f"c{n}" for n in range(500))])),
        BadDropError,
        "which has 505 columns",
    ),
    "semicolons instead of commas": (
        text(TODAY, YESTERDAY).replace(b",", b";"),
        BadDropError,
        "which lacks visitor, ward, age, visit_date: .* separated by commas",
    ),
    "tabs instead of commas": (
        text(TODAY, YESTERDAY).replace(b",", b"\t"),
        BadDropError,
        "which lacks visitor, ward, age, visit_date: .* separated by commas",
    ),
    "no header": (text(YESTERDAY, header=TODAY), BadDropError, "begins with 'v1,north,20,2020-03-01,', which lacks"),
    "a header that is no line of CSV": (
        text(TODAY, header=f'"{HEADER}'),
        BadDropError,
        "has a header that is no line of CSV",
    ),
    "an empty file": (b"", BadDropError, "is empty, without even a header"),
    "a first line of more than 64 KB": (
        b"x" * 70_000 + b"\n",
        BadDropError,
        "has no line end in its first 65,536 bytes",
    ),
    "the last line has no end": (
        text(TODAY, YESTERDAY)[:-1],
        HalfWrittenDropError,
        "ends in the middle of a line, so it is only half written.*rename.*end its last line",
    ),
    "cut in the middle of a line": (text(TODAY, YESTERDAY)[:-9], HalfWrittenDropError, "ends in the middle of a line"),
    "cut in the middle of its header": (
        text()[:-9],
        HalfWrittenDropError,
        "ends in the middle of its header, so it is only half written",
    ),
    "cut inside quotes": (text(TODAY, 'v2,"south')[:-1], HalfWrittenDropError, "ends in the middle of a line"),
    "cut between CR and LF": (
        text(TODAY, YESTERDAY, end="\r\n")[:-1],
        HalfWrittenDropError,
        "ends in the middle of a line",
    ),
    "a very long line without an end": (
        text(TODAY) + b"v" * 1_000_000,
        HalfWrittenDropError,
        "ends in the middle of a line",
    ),
    "a quote that is never closed": (
        text(TODAY, 'v2,"south,30,2020-02-29,12', "v3,north,50,2020-03-01,"),
        BadDropError,
        r"not readable as CSV: unterminated CSV quoted field \(line \d\)",
    ),
    "a line with too few values": (
        text(TODAY, "v2,south,30", YESTERDAY),
        BadDropError,
        r'not readable as CSV: missing data for column "visit_date" \(line 3\)',
    ),
    "a line with too many values": (
        text(TODAY, f"{YESTERDAY},1"),
        BadDropError,
        r"not readable as CSV: extra data after last expected column \(line 3\)",
    ),
    "a blank line": (
        text(TODAY, "", YESTERDAY),
        BadDropError,
        r'not readable as CSV: missing data for column "ward" \(line 3\)',
    ),
    "line ends of CR alone": (text(TODAY, YESTERDAY, end="\r"), BadDropError, "ends its lines with CR alone"),
    "line ends of two kinds": (
        text(TODAY) + text(header=YESTERDAY, end="\r\n"),
        BadDropError,
        r"not readable as CSV: unquoted carriage return found in data \(line 3\)",
    ),
    "a zero byte in the header": (text(header=f"{HEADER}\0"), BadDropError, "has zero bytes in its header"),
    "a zero byte in a line": (
        text(TODAY, "v2,so\0th,30,2020-02-29,12"),
        BadDropError,
        r'invalid byte sequence for encoding "UTF8": 0x00 \(line 3\)',
    ),
    "a header that is not UTF-8": (
        text(f"{TODAY},", header=f"{HEADER},größe").decode().encode("latin-1"),
        BadDropError,
        "has a header that is not UTF-8",
    ),
    "a line that is not UTF-8": (
        text(TODAY).replace(b"v1", b"v\xff"),
        BadDropError,
        r'invalid byte sequence for encoding "UTF8": 0xff \(line 2\)',
    ),
    "an umlaut in Latin-1": (
        text("Jürgen,north,20,2020-03-01,").decode().encode("latin-1"),
        BadDropError,
        r'invalid byte sequence for encoding "UTF8": 0xfc.* \(line 2\)',
    ),
    "UTF-16": (text(TODAY).decode().encode("utf-16"), BadDropError, "has zero bytes in its header"),
    "a line of nothing but \\\\.": (  # as Markdown writes it
        text(TODAY, "\\.", YESTERDAY),
        BadDropError,
        r"is not readable: a line holds nothing but '\\\.'",
    ),
}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("title", HALT)
def test_what_cannot_be_read_for_sure_halts_the_day(zone, title, ending):
    content, kind, words = HALT[title]
    refuse(kind, words, write_drop(zone, content, ending), title)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_the_end_marker_of_copy_never_drops_what_follows_it(zone, end):
    content = (HEADER + "\n").encode() + text("\\.", YESTERDAY, YESTERDAY, header=TODAY, end=end)
    for lead in (0, 1, 2, 3):  # across the borders of the blocks that COPY reads
        filler = ("v8,north,20,2020-03-01," + end) * ((1 << 16) // 24)
        padded = content.replace(TODAY.encode(), filler.encode() + b"v" * lead + TODAY.encode())
        refuse(BadDropError, "a line holds nothing but", write_drop(zone, padded))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_a_half_written_file_is_loaded_by_the_same_call_when_it_is_complete(zone, ending):
    content = as_parquet(PLAIN) if ending == ".parquet" else text(TODAY, YESTERDAY)
    whole = write_drop(zone, content, ending).read_bytes()
    file = zone / DAY.isoformat() / f"visits{ending}"
    file.write_bytes(whole[:-1])
    refuse(HalfWrittenDropError, "half written", file)
    file.write_bytes(whole)
    load()
    assert loaded() == ROWS


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


ZIPPED = gzip.compress(GOOD, 1)
PARQUET = as_parquet({"visitor": [f"v{n}" for n in range(1000)], "ward": ["north"] * 1000}, compression="snappy")
DAMAGED: dict[str, tuple[str, bytes, type[Exception], str]] = {
    "a .gz that ends too early": (".csv.gz", ZIPPED[:-12], HalfWrittenDropError, "ends before its data do"),
    "a .gz that ends in its checksum": (".csv.gz", ZIPPED[:-3], HalfWrittenDropError, "ends before its data do"),
    "a damaged .gz": (".csv.gz", flipped(ZIPPED, len(ZIPPED) // 2), BadDropError, "is not readable"),
    "a .gz with a wrong checksum": (".csv.gz", flipped(ZIPPED, len(ZIPPED) - 6), BadDropError, "CRC check failed"),
    "something else after the end of a .gz": (".csv.gz", ZIPPED + b"more", BadDropError, "Not a gzipped file"),
    "a .gz that is none": (".csv.gz", GOOD, BadDropError, "Not a gzipped file"),
    "an empty .gz": (".csv.gz", b"", BadDropError, "is empty"),
    "a .csv that is zipped": (".csv", ZIPPED, BadDropError, "header"),
    "a Parquet file that ends too early": (".parquet", PARQUET[:-100], HalfWrittenDropError, "ends before its data do"),
    "a Parquet file with a damaged footer": (
        ".parquet",
        flipped(PARQUET, len(PARQUET) - 6),
        BadDropError,
        "not readable",
    ),
    "a Parquet file that is none": (".parquet", GOOD, BadDropError, "not readable: Parquet magic bytes not found"),
    "an empty Parquet file": (".parquet", b"", BadDropError, "not readable: Parquet file size is 0 bytes"),
    "a Parquet file without a required column": (
        ".parquet",
        as_parquet({name: values for name, values in PLAIN.items() if name != "age"}),
        BadDropError,
        "which lacks age",
    ),
    "lists or structures in a Parquet file": (
        ".parquet",
        as_parquet({**PLAIN, "minutes": [[1], [2, 3]], "more": [{"a": 1}, None]}),
        BadDropError,
        "columns with lists or structures in them: minutes, more",
    ),
    "a type of Parquet that has no text": (
        ".parquet",
        as_parquet({**PLAIN, "ward": [b"\xff\xfe", b"south"]}),
        BadDropError,
        "is not readable: Invalid UTF8",
    ),
}


@pytest.mark.parametrize("title", DAMAGED)
def test_a_damaged_file_halts_the_day(zone, title):
    ending, content, kind, words = DAMAGED[title]
    file = write_drop(zone, GOOD, ending)
    file.write_bytes(content)
    refuse(kind, words, file, title)


PAGE_DAMAGED = "a Parquet file with a damaged page"


def test_a_damaged_page_of_a_parquet_file_halts_the_day(zone):
    columns = {name: values * 500 for name, values in PLAIN.items()}
    columns["visitor"] = [f"v{n}" for n in range(1000)]
    content = as_parquet(columns, compression="snappy", use_dictionary=False)
    refuse(BadDropError, "is not readable", write_drop(zone, flipped(content, 60), ".parquet"), PAGE_DAMAGED)


PARQUET_LOAD: dict[str, dict[str, Any]] = {
    "a plain Parquet file": {},
    "Parquet: whole numbers of any width": {
        "age": pa.array([20, 30], pa.int64()),
        "minutes": pa.array([None, 12], pa.uint8()),
    },
    "Parquet: whole numbers kept as floats": {"minutes": pa.array([None, 12.0], pa.float64())},
    "Parquet: decimals without a fraction": {"minutes": pa.array([None, 12], pa.decimal128(5, 0))},
    "Parquet: dates as date32 or date64": {"visit_date": pa.array([DAY, EVE], pa.date64())},
    "Parquet: dates and numbers as text": {"visit_date": ["2020-03-01", "2020-02-29"], "age": ["20", "30"]},
    "Parquet: texts from a dictionary": {"ward": pa.array(["north", "south"]).dictionary_encode()},
    "Parquet: texts of other kinds": {
        "visitor": pa.array(["v1", "v2"], pa.large_string()),
        "ward": pa.array(["north", "south"], pa.string_view()),
    },
    "Parquet: texts as bytes": {"ward": pa.array([b"north", b"south"])},
}


@pytest.mark.parametrize("title", PARQUET_LOAD)
def test_a_parquet_file_is_loaded_whatever_its_types_if_their_values_are_right(zone, title):
    write_drop(zone, as_parquet({**PLAIN, **PARQUET_LOAD[title]}), ".parquet")
    assert load() == {"lines": 2, "raw_rows": 2, "quarantined_rows": 0}
    assert loaded() == ROWS
    assert alerts() == {}
    matches_page(title, "load")


def test_an_optional_column_of_a_parquet_file_may_hold_nothing_at_all(zone):
    write_drop(
        zone, as_parquet({**{name: values[:1] for name, values in PLAIN.items()}, "minutes": pa.nulls(1)}), ".parquet"
    )
    load()
    assert loaded() == ROWS[:1]


def test_a_parquet_file_without_rows_is_a_day_without_rows(zone):
    write_drop(zone, as_parquet({name: pa.array([], pa.string()) for name in PLAIN}), ".parquet")
    assert load() == {"lines": 0, "raw_rows": 0, "quarantined_rows": 0}


def test_the_columns_of_a_parquet_file_are_judged_as_those_of_a_csv(zone):
    write_drop(zone, as_parquet({"note": ["a", None], **dict(reversed(PLAIN.items()))}), ".parquet")
    load()
    assert loaded() == ROWS
    assert "visits.parquet has columns that the domain does not declare: note" in alerts()["extra_columns"]


PARQUET_QUARANTINE: dict[str, tuple[dict[str, Any], str]] = {
    "Parquet: numbers with a fraction in a whole column": ({"age": [20.5, 30.0]}, "age is not a whole number"),
    "Parquet: moments where a date should be": (
        {"visit_date": [datetime(2020, 3, 1), datetime(2020, 2, 29)]},  # noqa: DTZ001
        "visit_date is not a date (YYYY-MM-DD)",
    ),
    "Parquet: an empty text": ({"ward": ["", "south"]}, "ward is missing"),
    "Parquet: yes or no where a number should be": ({"age": [True, False]}, "age is not a whole number"),
}


@pytest.mark.parametrize("title", PARQUET_QUARANTINE)
def test_a_value_of_a_parquet_file_that_cannot_be_right_is_quarantined(zone, title):
    columns, reason = PARQUET_QUARANTINE[title]
    write_drop(zone, as_parquet({**PLAIN, **columns}), ".parquet")
    load()
    assert quarantined()[0] == (1, reason)
    matches_page(title, "quarantine", reason)


def test_a_backslash_and_a_full_stop_are_a_text_like_others_in_a_parquet_file(zone):
    write_drop(zone, as_parquet({**PLAIN, "visitor": ["\\.", "v2"]}), ".parquet")
    load()
    assert loaded()[0][1] == "\\."


TWO_FILES, FOLDER, UNREACHABLE = (
    "two files for one source",
    "a folder in place of the file",
    "a file that the system does not give out",
)


def test_two_files_for_one_source_halt_the_day(zone):
    file = write_drop(zone, GOOD)
    file.with_suffix(".parquet").write_bytes(as_parquet(PLAIN))
    refuse(BadDropError, r"holds visits\.csv and visits\.parquet, and only one of them", file, TWO_FILES)


def test_a_folder_in_place_of_the_file_halts_the_day(zone):
    file = write_drop(zone, GOOD)
    file.unlink()
    file.mkdir()
    refuse(BadDropError, "is a folder", file, FOLDER)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that the system refuses to read")
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_a_file_that_the_system_does_not_give_out_is_tried_again(zone, ending):
    file = write_drop(zone, GOOD, ending)
    file.unlink()
    file.symlink_to("/proc/self/mem")
    refuse(NotReadyError, "cannot be reached: .*Errno", file, UNREACHABLE)


HUGE = "a value of ten million characters"


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_huge_value_is_quarantined_and_memory_does_not_grow_with_it(zone, ending):
    write_drop(zone, text(TODAY, f"{'v' * 10_000_000},north,20,2020-03-01,", YESTERDAY), ending)
    tracemalloc.start()
    try:
        counts = landing.load_source(domain, VISITS, DAY, DAY, RUN)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counts == {"lines": 3, "raw_rows": 2, "quarantined_rows": 1}
    assert quarantined() == [(2, "visitor is longer than 100 characters")]
    assert value("select length(payload ->> 'visitor') from quarantine.rows") == 10_000_000
    assert peak < 2_000_000
    matches_page(HUGE, "quarantine", quarantined()[0][1])


READINGS = Source(
    "readings",
    columns=(
        Column("key", "text", "which", required=True),
        Column("small", "smallint", "a number"),
        Column("whole", "integer", "a number"),
        Column("big", "bigint", "a number"),
        Column("real", "double precision", "a number"),
        Column("day", "date", "a day"),
        Column("moment", "timestamptz", "a moment"),
        Column("yes", "boolean", "yes or no"),
        Column("share", "text", "a word with a sign", choices=("5 %", "10 %")),
    ),
    key=("key",),
    rules=(Rule("share <> '10 %' or key <> '99 %'", "99 % are not 10 %"),),
)
READER = replace(domain, sources=(READINGS,))
REFUSED = object()


@pytest.fixture
def read(zone):
    """What becomes of texts in a column: {text: its value in raw, or REFUSED}."""
    with warehouse.transaction() as cursor:
        landing.create_tables(cursor, READER)

    def read_column(name: str, texts: Mapping[str, Any]) -> dict[str, Any]:
        lines = [f"{number},{json.dumps(text, ensure_ascii=False)}" for number, text in enumerate(texts)]
        write_drop(zone, text(*lines, header=f"key,{name}"), source=READINGS)
        load(READER, READINGS)
        found: dict[str, Any] = dict.fromkeys(texts, REFUSED)
        at = READINGS.names.index(name) + 1
        found |= {list(texts)[int(row[1])]: row[at] for row in loaded(READINGS)}
        reasons = {reason for _, reason in quarantined(READINGS)}
        assert len(reasons) <= 1
        return found

    return read_column


# Another notation than 30 has nothing to do with the number: either it is that number for sure, or it is refused.
WHOLE = {
    "30": 30,
    " 30 ": 30,
    "+5": 5,
    "-5": -5,
    "-0": 0,
    "007": 7,
    "2147483647": 2147483647,
    "2147483648": REFUSED,
    "12.0": REFUSED,
    "1e3": REFUSED,
    "1,000": REFUSED,
    "1.000,5": REFUSED,
    "1 000": REFUSED,
    "NaN": REFUSED,
    "inf": REFUSED,
    "NA": REFUSED,
    "null": REFUSED,
    "--5": REFUSED,
    "\u0663\u0660": REFUSED,
    "\uff13\uff10": REFUSED,
    "\u00a030": REFUSED,
    # What Postgres takes for a whole number since version 16.
    "0x1A": 26,
    "0o17": 15,
    "0b11": 3,
    "1_000": 1000,
}
REAL = {
    "30": 30.0,
    " 1.5 ": 1.5,
    "+5": 5.0,
    ".5": 0.5,
    "5.": 5.0,
    "007": 7.0,
    "1e3": 1000.0,
    "1E-3": 0.001,
    "0.1": 0.1,
    "1,000": REFUSED,
    "1.000,5": REFUSED,
    "1_000": REFUSED,
    "1e400": REFUSED,
    "1e-400": REFUSED,
    "NA": REFUSED,
    "\u0663\u0660": REFUSED,
    "0x1A": 26.0,
}
NOT_FINITE = {"NaN": REFUSED, "inf": REFUSED, "-Infinity": REFUSED}
DAYS = {
    "2020-03-01": date(2020, 3, 1),
    "2020-02-29": date(2020, 2, 29),
    "2019-02-29": REFUSED,
    "01/02/2020": REFUSED,
    "2020-3-1": REFUSED,
    "2020-03-1 ": REFUSED,
    " 020-03-01": REFUSED,
    "2020/03/01": REFUSED,
    "20200301": REFUSED,
    "1.3.2020": REFUSED,
    "March 1, 2020": REFUSED,
    "1-Mar-2020": REFUSED,
    "2020-03-01 00:00": REFUSED,
    "2020-03-01T12:00:00Z": REFUSED,
    "2020-03-01 BC": REFUSED,
    "2020-061": REFUSED,
    "0000-01-01": REFUSED,
    "yesterday": REFUSED,
    "today": REFUSED,
    "now": REFUSED,
    "epoch": REFUSED,
    "infinity": REFUSED,
    "-infinity": REFUSED,
    "\u0662\u0660\u0662\u0660-03-01": REFUSED,
}
NOON = datetime(2020, 3, 1, 12, tzinfo=UTC)
MOMENTS = {
    "2020-03-01T12:00:00Z": NOON,
    "2020-03-01T12:00Z": NOON,
    "2020-03-01 12:00:00+00": NOON,
    "2020-03-01T13:00:00+01:00": NOON,
    "2020-03-01T07:00:00-0500": NOON,
    "2020-03-01T17:45:00.000+05:45": NOON,
    "2020-03-01T12:00:00.123456Z": NOON.replace(microsecond=123456),
    "2020-03-01T12:00:00": REFUSED,
    "2020-03-01 12:00": REFUSED,
    "2020-03-01": REFUSED,
    "2020-03-01+01:00": REFUSED,
    "2020-03-01T12:00.00+0000": REFUSED,  # to Postgres this is twelve minutes past midnight
    "2020-03-01T10:a0:3MZ": REFUSED,  # and this three minutes past ten
    "2020-03-01T12:0Z": REFUSED,
    " 020-03-01T12:00:00+00:00": REFUSED,
    "2020-03-01T12:00:00+00:0 ": REFUSED,
    "2020-03-01T12:0 :00Z": REFUSED,
    "2020--3-01T12:00:00Z": REFUSED,
    "2020-03-01T25:00Z": REFUSED,
    "2020-03-01T12:00:00 Europe/Berlin": REFUSED,
    "2020-03-01T12:00:00 CET": REFUSED,
    "2020-03-01T12:00:00 Etc/GMT-05": REFUSED,
    "01/03/2020 12:00Z": REFUSED,
    "20200301T120000Z": REFUSED,
    "1583064000": REFUSED,
    "now": REFUSED,
    "yesterday": REFUSED,
    "infinity": REFUSED,
    "-infinity": REFUSED,
}
YES = {"true": True, "f": False, "1": True, "no": False, "TRUE": True, "2": REFUSED, "ja": REFUSED, "NA": REFUSED}


@pytest.mark.parametrize(
    ("column", "texts", "reason"),
    [
        ("whole", WHOLE, "whole is not a whole number"),
        ("small", {"32767": 32767, "32768": REFUSED}, "small is not a whole number"),
        ("big", {"9223372036854775807": 2**63 - 1, "9223372036854775808": REFUSED}, "big is not a whole number"),
        ("real", REAL, "real is not a number"),
        ("real", NOT_FINITE, "real is not a finite number"),
        ("day", DAYS, "day is not a date (YYYY-MM-DD)"),
        ("moment", MOMENTS, "moment is not a moment with its offset (YYYY-MM-DDTHH:MM+00:00)"),
        ("yes", YES, "yes is not yes or no"),
        ("share", {"5 %": "5 %", "10 %": "10 %", "5%": REFUSED}, "share is none of 5 %, 10 %"),
    ],
)
def test_a_value_is_read_in_one_way_or_not_at_all(read, column, texts, reason):
    assert read(column, texts) == texts
    assert {told for _, told in quarantined(READINGS)} == {reason}


def test_a_percent_sign_in_a_rule_is_a_percent_sign(zone, read):
    write_drop(zone, text("99 %,10 %", "98 %,10 %", header="key,share"), source=READINGS)
    load(READER, READINGS)
    assert quarantined(READINGS) == [(1, "99 % are not 10 %")]


@pytest.fixture(scope="module")
def flight_database(new_database):
    """A warehouse with the reference tables of the flights and no drop."""
    name = new_database("template1")
    preparation.create_tables(flights)
    reference.load_files(reference.find_files(flights))
    reference.publish(flights, Way.COPY)
    return name


@pytest.fixture
def flight_zone(flight_database, postgres, tmp_path, monkeypatch):
    use_database(postgres, flight_database)
    monkeypatch.setenv("LANDING_URI", tmp_path.as_uri())
    return tmp_path


WINTER, SPRING_FORWARD, FALL_BACK = date(2013, 1, 5), date(2013, 3, 10), date(2013, 11, 3)


def test_a_flight_is_compared_with_what_may_be(flight_zone):
    expected = {
        "2013-01-05,UA,1545,EWR,IAH,1400,515,819": None,
        "2013-01-05,ZZ,1545,EWR,IAH,1400,515,819": "carrier is not in reference.airlines",
        "2013-01-05,ua,1545,EWR,IAH,1400,515,819": "carrier is not in reference.airlines",
        "2013-01-05,UA,0,EWR,IAH,1400,515,819": "flight is below 1",
        "2013-01-05,UA,9999,EWR,IAH,1400,515,819": None,
        "2013-01-05,UA,10000,EWR,IAH,1400,515,819": "flight is above 9999",
        "2013-01-05,UA,7,BOS,IAH,1400,515,819": "origin is none of EWR, JFK, LGA",
        "2013-01-05,UA,7,LGA,HOUST,1400,515,819": "dest is longer than 4 characters",
        "2013-01-05,UA,8,LGA,KIAH,1400,0,2400": None,
        "2013-01-05,UA,9,LGA,IAH,1400,-1,2401": "sched_dep_time is below 0; sched_arr_time is above 2400",
        "2013-01-04,UA,10,EWR,IAH,1400,515,819": "flight_date is before the day of the drop",
        "2013-01-06,UA,10,EWR,IAH,1400,515,819": "flight_date is after the day of the drop",
    }
    source = flights.source("schedule")
    write_drop(flight_zone, text(*expected, header=",".join(source.names)), source=source, day=WINTER)
    load(flights, source, WINTER)
    found = dict(quarantined(source, WINTER))
    assert {line: found.get(number) for number, line in enumerate(expected, 1)} == expected


def test_an_outcome_may_be_late_but_not_early(flight_zone):
    source = flights.source("actuals")
    expected = {
        -8: "flight_date is before day -7 of the drop",
        -7: None,
        0: None,
        1: "flight_date is after the day of the drop",
    }
    lines = [
        f"{WINTER + timedelta(days=days)},UA,{9 + days},EWR,IAH,515,517,2,830,11,227,N14228,2013-01-05T09:00:00+00:00"
        for days in expected
    ]
    write_drop(flight_zone, text(*lines, header=",".join(source.names)), source=source, day=WINTER)
    load(flights, source, WINTER)
    found = dict(quarantined(source, WINTER))
    assert {days: found.get(number) for number, days in enumerate(expected, 1)} == expected


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (WINTER, "2013-01-04T10:00:00Z", "2013-01-05T09:59:59Z"),
        (SPRING_FORWARD, "2013-03-09T10:00:00Z", "2013-03-10T08:59:59Z"),
        (SPRING_FORWARD + timedelta(days=1), "2013-03-10T09:00:00Z", "2013-03-11T08:59:59Z"),
        (FALL_BACK, "2013-11-02T09:00:00Z", "2013-11-03T09:59:59Z"),
        (FALL_BACK + timedelta(days=1), "2013-11-03T10:00:00Z", "2013-11-04T09:59:59Z"),
    ],
    ids=["winter", "23 hours", "the day after 23 hours", "25 hours", "the day after 25 hours"],
)
def test_a_moment_lies_between_the_drop_before_and_this_one(flight_zone, day, first, last):
    source = flights.source("weather")
    moments = [datetime.fromisoformat(moment) for moment in (first, last)]
    outside = [moments[0] - timedelta(seconds=1), moments[1] + timedelta(seconds=1)]
    write_drop(
        flight_zone,
        text(*(f"EWR,{moment.isoformat()}" for moment in (*moments, *outside)), header="origin,observed_at"),
        source=source,
        day=day,
    )
    load(flights, source, day)
    assert [row[2] for row in loaded(source, day)] == moments
    assert quarantined(source, day) == [
        (3, "observed_at is before the drop of the day before"),
        (4, "observed_at is after the drop"),
    ]


def test_a_moment_of_a_parquet_file_needs_a_zone_and_any_will_do(flight_zone):
    source = flights.source("weather")
    noon = datetime(2013, 1, 5, 4, tzinfo=UTC)
    zones = ("UTC", "America/New_York", "Asia/Kolkata", "+05:45")
    for unit in ("s", "us", "ns"):
        for zone in zones:
            moments = pa.array([noon], pa.timestamp(unit, zone))
            write_drop(flight_zone, as_parquet({"origin": ["EWR"], "observed_at": moments}), ".parquet", source, WINTER)
            load(flights, source, WINTER)
            assert [row[2] for row in loaded(source, WINTER)] == [noon]
    bare = pa.array([noon.replace(tzinfo=None)], pa.timestamp("us"))
    write_drop(flight_zone, as_parquet({"origin": ["EWR"], "observed_at": bare}), ".parquet", source, WINTER)
    load(flights, source, WINTER)
    ((_, reason),) = quarantined(source, WINTER)
    assert reason.startswith("observed_at is not a moment with its offset")


TITLES = [
    *LOAD,
    *WARN,
    ABSENT,
    *QUARANTINE,
    *HALT,
    *DAMAGED,
    PAGE_DAMAGED,
    *PARQUET_LOAD,
    *PARQUET_QUARANTINE,
    TWO_FILES,
    FOLDER,
    UNREACHABLE,
    HUGE,
]


def test_the_page_about_drops_has_a_row_for_each_of_these_problems_and_no_other():
    assert sorted(PAGE) == sorted(TITLES)
