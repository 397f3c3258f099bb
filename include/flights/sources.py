"""What a drop holds: the columns of each file, and which rows are accepted into `raw`. The rest is quarantined."""

from include.core.domain import Column, Reference, Source

AIRPORTS_OF_NEW_YORK = ("EWR", "JFK", "LGA")


def clock(name: str, meaning: str, required: bool = False) -> Column:
    """A time of day as hhmm. The latest is 2400: that is how the data set writes midnight."""
    return Column(name, "smallint", f"{meaning}, local hhmm", required, minimum=0, maximum=2400)


def delay(name: str, meaning: str) -> Column:
    """Minutes. Nothing is more than a day early or four days late; what claims so is a broken clock."""
    return Column(name, "integer", meaning, minimum=-1440, maximum=5760)


CARRIER = Column("carrier", "text", "airline, two characters", required=True, reference="airlines.carrier")
FLIGHT = Column("flight", "integer", "flight number", required=True, minimum=1, maximum=9999)
ORIGIN = Column("origin", "text", "airport of departure", required=True, choices=AIRPORTS_OF_NEW_YORK)
DEST = Column("dest", "text", "airport of arrival", required=True, longest=4)
SCHED_DEP_TIME = clock("sched_dep_time", "scheduled departure", required=True)

SCHEDULE = Source(
    "schedule",
    columns=(
        Column("flight_date", "date", "day of departure: that of the drop", required=True, days=(0, 0)),
        CARRIER,
        FLIGHT,
        ORIGIN,
        DEST,
        Column("distance", "integer", "distance in miles", required=True, minimum=1, maximum=6000),
        SCHED_DEP_TIME,
        clock("sched_arr_time", "scheduled arrival", required=True),
    ),
    key=("carrier", "flight", "origin"),
)

ACTUALS = Source(
    "actuals",
    columns=(
        # An outcome may be late, and is none before the day of departure.
        Column("flight_date", "date", "day of departure", required=True, days=(-7, 0)),
        CARRIER,
        FLIGHT,
        ORIGIN,
        DEST,
        SCHED_DEP_TIME,
        clock("dep_time", "departure (none if cancelled)"),
        delay("dep_delay", "minutes late at departure"),
        clock("arr_time", "arrival (none if cancelled or diverted)"),
        delay("arr_delay", "minutes late at arrival"),
        Column("air_time", "integer", "minutes in the air", minimum=1, maximum=1440),
        Column("tailnum", "text", "registration of the aeroplane"),
        Column("landed_at", "timestamptz", "moment at which the outcome was known", required=True, within_drop=True),
    ),
    key=("flight_date", "carrier", "flight", "origin"),
)

WEATHER = Source(
    "weather",
    columns=(
        Column("origin", "text", "airport of the station", required=True, choices=AIRPORTS_OF_NEW_YORK),
        Column("observed_at", "timestamptz", "moment of the observation", required=True, within_drop=True),
        Column("temp", "double precision", "temperature, degrees Fahrenheit", minimum=-40, maximum=130),
        Column("dewp", "double precision", "dew point, degrees Fahrenheit", minimum=-60, maximum=100),
        Column("humid", "double precision", "relative humidity, percent", minimum=0, maximum=100),
        Column("wind_dir", "double precision", "direction of the wind, degrees", minimum=0, maximum=360),
        Column("wind_speed", "double precision", "speed of the wind, miles an hour", minimum=0, maximum=250),
        Column("wind_gust", "double precision", "speed of gusts, miles an hour", minimum=0, maximum=300),
        Column("precip", "double precision", "precipitation in the hour, inches", minimum=0, maximum=15),
        Column("pressure", "double precision", "pressure at sea level, millibars", minimum=850, maximum=1100),
        Column("visib", "double precision", "visibility, miles", minimum=0, maximum=100),
    ),
    key=("origin", "observed_at"),
)

REFERENCES = (
    Reference(
        "airlines",
        "include.flights.feed:airlines_csv",
        columns=(
            Column("carrier", "text", "two characters", required=True),
            Column("name", "text", "name of the airline", required=True),
        ),
        key=("carrier",),
    ),
    Reference(
        "airports",
        "include.flights.feed:airports_csv",
        columns=(
            Column("faa", "text", "code of the airport", required=True),
            Column("name", "text", "name of the airport", required=True),
            Column("lat", "double precision", "latitude, degrees"),
            Column("lon", "double precision", "longitude, degrees"),
            Column("alt", "integer", "altitude, feet"),
            Column("tz", "double precision", "hours from UTC"),
            Column("dst", "text", "rule of daylight saving time"),
            Column("tzone", "text", "name of the time zone"),
        ),
        key=("faa",),
    ),
    Reference(
        "planes",
        "include.flights.feed:planes_csv",
        columns=(
            Column("tailnum", "text", "registration", required=True),
            Column("year", "integer", "year of manufacture"),
            Column("type", "text", "type of aeroplane"),
            Column("manufacturer", "text", "manufacturer"),
            Column("model", "text", "model"),
            Column("engines", "integer", "number of engines"),
            Column("seats", "integer", "number of seats"),
            Column("speed", "integer", "cruising speed, miles an hour"),
            Column("engine", "text", "type of engine"),
        ),
        key=("tailnum",),
    ),
)
