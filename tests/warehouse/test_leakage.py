"""No row of a view, and no row for training, knows what came later. A view that does is found, and named."""

import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import cache
from textwrap import dedent

import pytest
from psycopg2.sql import SQL, Identifier

from include.core.domain import Column, Domain, Source
from include.dataops import preparation, reference
from include.dataops.reference import Way
from include.flights.domain import domain as whole_year
from tests.toy_domain.domain import domain as toy
from tests.toy_domain.feed import write_drops
from tests.warehouse.chain import checksum, feature_checksums, ingest, rows, value, vouch
from tests.warehouse.leakage import DAMAGES, TRAINING_SET, kept, leaks, named, spoil

flights = replace(whole_year, first_day=date(2013, 1, 27))
DOMAINS = {domain.name: domain for domain in (flights, toy)}
LAST = {"flights": date(2013, 2, 3), "toy": toy.last_day}
# The first day, the end of a month, the last day but one.
CUT_OFFS = {
    "flights": (date(2013, 1, 27), date(2013, 1, 31), date(2013, 2, 2)),
    "toy": (date(2020, 2, 26), date(2020, 2, 29), date(2020, 3, 7)),
}
MIDDLE = {"flights": date(2013, 1, 31), "toy": date(2020, 3, 4)}
# Of these only whole rows can come and go: the day alone decides them, or a number flies once a day.
FIXED = {"flight_schedule.day_of_week", "flight_schedule.days_to_holiday", "flight_number_tally.flights"}

CASES = [
    pytest.param(name, view, cut_off, id=f"{name}-{view}-{cut_off}")
    for name, domain in DOMAINS.items()
    for cut_off in CUT_OFFS[name]
    for view in (*(view.name for view in domain.built_views), TRAINING_SET)
]


@pytest.fixture(scope="module")
def held(new_database, flight_drops, tmp_path_factory):
    """Points the connection at a fresh warehouse that holds the drops of a domain, vouched for."""

    @cache
    def template(name: str) -> str:
        landing = flight_drops
        if name == "toy":
            landing = tmp_path_factory.mktemp("toy")
            write_drops(landing, toy.first_day, toy.last_day)
        database = new_database("template1")
        preparation.create_tables(DOMAINS[name])
        reference.load_files(reference.find_files(DOMAINS[name]))
        reference.publish(DOMAINS[name], Way.COPY)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LANDING_URI", landing.as_uri())
            ingest(DOMAINS[name], DOMAINS[name].first_day, LAST[name])
        vouch(DOMAINS[name], DOMAINS[name].first_day, LAST[name])
        return database

    return lambda name: new_database(template(name))


@pytest.fixture(scope="module")
def found(held):
    """What the sentinel finds in a domain as it is; every view of it is tried at once."""

    @cache
    def of(name: str, cut_off: date) -> list[str]:
        held(name)
        return leaks(DOMAINS[name], cut_off)

    return of


@pytest.mark.parametrize(("name", "view", "cut_off"), CASES)
def test_nothing_that_comes_later_moves_what_a_day_holds(found, name, view, cut_off):
    assert [line for line in found(name, cut_off) if line.startswith(f"{view}.")] == []


@pytest.mark.parametrize("name", DOMAINS)
def test_what_comes_on_the_day_itself_moves_every_column_of_every_view(held, name):
    """The test above can fail: the sentinel sees every column, each time the drop of the day is spoilt too."""
    held(name)
    domain = DOMAINS[name]
    columns = {
        f"{view.name}.{column.name}"
        for view in domain.built_views
        for column in view.features
        if (column.name not in {key.name for key in view.entity} or view.name == domain.unit)
    }
    keys = {f"{domain.unit}.{name}" for name in domain.unit_key}
    training = {f"{TRAINING_SET}.{name}" for name in ("row", "label", "data_hash")}
    moved = named(leaks(domain, MIDDLE[name], spoil_from=MIDDLE[name]))
    assert columns - keys - FIXED | training <= moved
    assert {f"{view.name}.row" for view in domain.built_views} <= moved


def test_a_day_with_nothing_after_it_cannot_be_tried(held):
    held("toy")
    with pytest.raises(ValueError, match="2020-03-08 has no drops after it: the warehouse holds 2020-02-26 to"):
        leaks(toy, toy.last_day)


@pytest.mark.parametrize("name", DOMAINS)
def test_the_drops_are_put_back_even_if_a_view_cannot_be_built_from_spoilt_rows(held, name):
    held(name)
    domain, since = DOMAINS[name], MIDDLE[name]
    before = {source.name: checksum("raw", source.name) for source in domain.sources}
    with suppress(RuntimeError), kept(domain, since):
        spoil(domain, since, ())
        assert {source.name: checksum("raw", source.name) for source in domain.sources} != before
        raise RuntimeError
    assert {source.name: checksum("raw", source.name) for source in domain.sources} == before
    assert value("select to_regnamespace('kept') is null")


def test_nothing_stays_built_from_spoilt_rows(held):
    held("toy")
    leaks(toy, MIDDLE["toy"])
    assert set(feature_checksums(toy).values()) == {None}
    assert rows("select view, as_of from features.partitions") == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", DOMAINS)
def test_a_damage_spoils_every_later_row_and_no_other(held, name, damage):
    """Each value that can be another one is; a key is never there twice, so that every view can still be built."""
    held(name)
    domain, cut_off = DOMAINS[name], MIDDLE[name]
    for source in domain.sources:
        table, key = Identifier("raw", source.name), SQL(", ").join(map(Identifier, source.key))
        earlier = SQL("select md5(string_agg(t::text, '' order by t::text)) from {} as t where as_of < %s").format(
            table
        )
        later = SQL("select count(*), count(distinct (as_of, {})) from {} where as_of >= %s").format(key, table)
        before, ((many, _),) = value(earlier, (cut_off,)), rows(later, (cut_off,))
        with kept(domain, cut_off):
            spoil(domain, cut_off, DAMAGES[damage])
            assert value(earlier, (cut_off,)) == before
            expected = len(DAMAGES[damage]) * many
            assert rows(later, (cut_off,)) == [(expected, expected)]
            for column in source.columns:
                assert unspoilt(source, column, damage) == 0, f"{source.name}.{column.name}"


# Which values a damage has left as they may not be; `now` is the value, `was` what it was, `all_of` what all were.
UNSPOILT = {
    "falsified": "now = was and (select count(distinct {name}) from {kept}) > 1",
    "set to the highest": "now is null or now < ({all_of} desc limit 1)",
    "set to the lowest": "now is null or now > ({all_of} limit 1)",
    "emptied": "now is not null",
}


def unspoilt(source: Source, column: Column, damage: str) -> int:
    """How many of the later rows have a value that this damage should not have left."""
    excused = {"set to the highest": column.name in source.key, "set to the lowest": column.name in source.key}
    excused["emptied"] = column.required
    if damage not in UNSPOILT or excused.get(damage):
        return 0
    name, kept_rows = Identifier(column.name), Identifier("kept", source.name)
    all_of = SQL("select {0} from {1} where {0} is not null order by {0}").format(name, kept_rows)
    return value(
        SQL(
            "select count(*) from (select raw.{name} as now, kept.{name} as was"
            " from {raw} as raw join {kept} as kept using (as_of, line)) as both_values where {wrong}"
        ).format(
            name=name,
            raw=Identifier("raw", source.name),
            kept=kept_rows,
            wrong=SQL(UNSPOILT[damage]).format(name=name, kept=kept_rows, all_of=all_of),
        )
    )


def planted(domain: Domain, folder, files: dict[str, str]) -> Domain:
    """The domain with these files below sql/, added or in place of its own."""
    shutil.copytree(domain.folder, folder)
    for path, text in files.items():
        (folder / "sql" / path).write_text(dedent(text).strip() + "\n")
    return replace(domain, folder=folder)


def columns_of_views(found: list[str]) -> set[str]:
    return {name for name in named(found) if not name.startswith(f"{TRAINING_SET}.") and not name.endswith(".row")}


LEAKING_FLIGHTS = {
    "features/late_today.sql": """
        -- One row per carrier and as-of day: how many of the day's own flights were not on time.
        -- owner: nobody
        -- lookback: 1
        -- entity: carrier text, airline code
        -- feature: late_today double precision, share of the flights of the day
        select flight_date as as_of, carrier,
            avg(features.not_on_time(arr_delay)::integer)::double precision as late_today
        from raw.actuals
        where flight_date between %(start)s and %(end)s
        group by 1, 2
    """,
    "features/late_always.sql": """
        -- One row per carrier and as-of day: how many outcomes were not on time, over whatever is built at once.
        -- owner: nobody
        -- lookback: 1
        -- entity: carrier text, airline code
        -- feature: late_always double precision, share of all outcomes
        select distinct as_of, carrier,
            (sum(late) over all_days)::double precision / sum(flights) over all_days as late_always
        from features.carrier_origin_tally
        where as_of between %(start)s and %(end)s
        window all_days as (
            partition by carrier order by as_of rows between unbounded preceding and unbounded following
        )
    """,
    "features/late_around.sql": """
        -- One row per carrier and as-of day: how many outcomes were not on time in the week around the day.
        -- owner: nobody
        -- lookback: 4
        -- entity: carrier text, airline code
        -- feature: late_around double precision, share of the outcomes of seven drops
        select as_of, carrier, late_around
        from (
            select as_of, carrier,
                (sum(sum(late)) over week / sum(sum(flights)) over week)::double precision as late_around
            from features.carrier_origin_tally
            where as_of between %(start)s::date - 3 and %(end)s::date + 3
            group by as_of, carrier
            window week as (
                partition by carrier order by as_of range between '3 days' preceding and '3 days' following
            )
        ) as centred
        where as_of between %(start)s and %(end)s
    """,
    "features/departure_weather.sql": """
        -- One row per airport of departure, hour and as-of day: the weather at that hour.
        -- owner: nobody
        -- lookback: 1
        -- entity: origin text, airport of departure
        -- entity: hour smallint, scheduled hour of departure, local
        -- feature: temp_at_departure double precision, degrees Fahrenheit
        select due.as_of, due.origin, due.hour, max(weather.temp) as temp_at_departure
        from (
            select distinct as_of, origin, (sched_dep_time / 100)::smallint as hour
            from raw.schedule
            where as_of between %(start)s and %(end)s
        ) as due
        left join raw.weather
            on weather.origin = due.origin
            and date_trunc('hour', weather.observed_at)
                = (due.as_of + due.hour * interval '1 hour') at time zone 'America/New_York'
        group by 1, 2, 3
    """,
    "tallies/departures_tally.sql": """
        -- One row per airport of departure and day: how many of its flights were not on time, by the day of the flight.
        -- owner: nobody
        -- lookback: 1
        -- entity: origin text, airport of departure
        -- feature: departed integer, flights
        -- feature: departed_late integer, flights not on time
        select flight_date as as_of, origin, count(*)::integer as departed,
            (count(*) filter (where features.not_on_time(arr_delay)))::integer as departed_late
        from raw.actuals
        where flight_date between %(start)s and %(end)s
        group by 1, 2
    """,
    "features/departures.sql": """
        -- One row per airport of departure and as-of day: how many flights were not on time in a week.
        -- owner: nobody
        -- lookback: 7
        -- entity: origin text, airport of departure
        -- feature: departed_late_7d double precision, share over seven days
        select due.as_of, due.origin, sum(departed_late)::double precision / sum(departed) as departed_late_7d
        from (select distinct as_of, origin from raw.schedule where as_of between %(start)s and %(end)s) as due
        left join features.departures_tally as past
            on past.origin = due.origin and past.as_of between due.as_of - 6 and due.as_of
        group by 1, 2
    """,
    "labels/labels.sql": """
        -- One row per flight: whether it was not on time, on the day of the flight.
        -- owner: nobody
        -- lookback: 1
        -- entity: event_day date, the day the flight was due
        -- entity: carrier text, airline code
        -- entity: flight integer, flight number
        -- entity: origin text, airport of departure
        -- feature: label boolean, 15 minutes late or more, or no arrival
        select flight_date as as_of, flight_date as event_day, carrier, flight, origin,
            features.not_on_time(arr_delay) as label
        from raw.actuals
        where flight_date between %(start)s and %(end)s
    """,
}
# What should be named of each. Where the rows depend on the range, it is the rows that come and go.
LEAKING_COLUMNS = {
    "late_today.late_today",
    "late_always.late_always",
    "late_around.late_around",
    "departure_weather.temp_at_departure",
    "departures_tally.departed",
    "departures_tally.departed_late",
    "departures.departed_late_7d",
    "labels.label",
}


@pytest.fixture(scope="module")
def leaking_flights(held, tmp_path_factory):
    """What the sentinel finds in flights with every leak that there is planted."""
    held("flights")
    folder = tmp_path_factory.mktemp("leaking") / "flights"
    return leaks(planted(flights, folder, LEAKING_FLIGHTS), MIDDLE["flights"])


@pytest.mark.parametrize("column", sorted(LEAKING_COLUMNS))
def test_a_planted_leak_is_found_and_its_view_and_column_are_named(leaking_flights, column):
    assert column in named(leaking_flights)


def test_no_view_is_named_that_neither_leaks_nor_reads_one_that_does(leaking_flights):
    assert columns_of_views(leaking_flights) == LEAKING_COLUMNS


def test_a_view_that_leaks_through_a_tally_is_named_after_it_and_with_it(leaking_flights):
    (tally,) = (line for line in leaking_flights if line.startswith("departures_tally.departed_late,"))
    (view,) = (line for line in leaking_flights if line.startswith("departures.departed_late_7d,"))
    assert leaking_flights.index(tally) < leaking_flights.index(view)
    assert view.endswith("(it reads departures_tally)")
    assert "it reads" not in tally


def test_a_label_taken_before_it_landed_is_found_in_the_training_set(leaking_flights):
    assert {f"{TRAINING_SET}.label", f"{TRAINING_SET}.row", f"{TRAINING_SET}.data_hash"} <= named(leaking_flights)


ONLY_IN_A_RANGE = """
    -- One row per ward and as-of day: how many of the day's own visits were long, of those that the range brought.
    -- owner: nobody
    -- lookback: 1
    -- entity: ward text, where
    -- feature: peeked double precision, share of the visits of the day
    select due.as_of, due.ward, avg((outcome.minutes >= 30)::integer)::double precision as peeked
    from raw.visits as due
    left join raw.visits as outcome
        on outcome.visit_date = due.as_of and outcome.ward = due.ward and outcome.minutes is not null
        and outcome.as_of between %(start)s and %(end)s
    where due.as_of between %(start)s and %(end)s and due.visit_date = due.as_of
    group by 1, 2
"""
# On its own morning a day finds nothing after the end of its range. In a long range only the last days do.
ONLY_ONCE_BUILT_AGAIN = ONLY_IN_A_RANGE.replace(
    "outcome.as_of between %(start)s and %(end)s", "outcome.as_of between %(end)s and %(end)s::date + 2"
)
# Reads what is built of the labels, and so nothing when a day is built for the first time.
FROM_LATER_LABELS = """
    -- One row per ward and as-of day: how many of the day's own visits were long, of those whose label is built.
    -- owner: nobody
    -- lookback: 1
    -- entity: ward text, where
    -- feature: peeked double precision, share of the visits of the day
    select due.as_of, due.ward, avg(labels.label::integer)::double precision as peeked
    from raw.visits as due
    left join features.labels on labels.event_day = due.as_of and labels.visitor = due.visitor
    where due.as_of between %(start)s and %(end)s and due.visit_date = due.as_of
    group by 1, 2
"""


@pytest.mark.parametrize("cut_off", [toy.first_day, MIDDLE["toy"]], ids=str)
@pytest.mark.parametrize(
    "view",
    [ONLY_IN_A_RANGE, ONLY_ONCE_BUILT_AGAIN, FROM_LATER_LABELS],
    ids=["only in a range", "only once built again", "only once later labels are built"],
)
def test_a_leak_that_shows_in_one_way_of_building_only_is_found(held, tmp_path, view, cut_off):
    held("toy")
    found = leaks(planted(toy, tmp_path / "toy", {"features/peeking.sql": view}), cut_off)
    assert columns_of_views(found) == {"peeking.peeked"}
