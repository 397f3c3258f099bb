"""What a view's file says, what makes its version, and what follows from the views and drops that it reads."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.core.errors import DomainError
from include.core.feature_view import FEATURE_TYPES, RESERVED, FeatureView, Kind, normalised, read_views
from include.flights.domain import domain as flights
from tests.toy_domain.domain import domain as toy

VIEW = """\
-- One row per ward and as-of day: how long visits took.
-- owner: reception
-- lookback: 3
-- entity: ward text, where
-- feature: long_share double precision, share of long visits
select as_of, ward, avg(minutes) as long_share
from raw.visits
where as_of between %(start)s and %(end)s and remark <> 'It''s -- /* long */  ago'
group by as_of, ward
"""


def read(folder: Path, text: str, name: str = "ward_history") -> FeatureView:
    file = folder / "features" / f"{name}.sql"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return FeatureView.read(file)


# --- The file alone ---


def test_a_view_is_described_by_the_header_of_its_file(tmp_path):
    view = read(tmp_path, VIEW)
    assert (view.name, view.kind, view.owner, view.lookback) == ("ward_history", "features", "reception", 3)
    assert view.description == "One row per ward and as-of day: how long visits took."
    assert [(c.name, c.type, c.meaning) for c in view.entity] == [("ward", "text", "where")]
    assert [(c.name, c.type) for c in view.features] == [("long_share", "double precision")]


@pytest.mark.parametrize(
    ("line", "instead", "named"),
    [
        ("-- owner: reception\n", "", "owner"),
        ("-- lookback: 3\n", "", "lookback"),
        ("-- One row per ward", "-- Rows per ward", "One row per"),
        ("-- entity: ward text, where", "-- entity: ward text", "ward text"),
        ("share double precision, share", "share", "name type, meaning"),
        ("-- feature: long_share double precision, share of long visits\n", "", "declares no feature"),
        ("double precision", "real", "long_share is of type 'real'; there are text, boolean"),
        ("ward text", "ward varchar", "ward is of type 'varchar'"),
        ("lookback: 3", "lookback: 0", "lookback is '0'; give a number of drops, from 1 on"),
        ("lookback: 3", "lookback: -1", "lookback is '-1'"),
        ("lookback: 3", "lookback: 1.5", "lookback is '1.5'"),
        ("lookback: 3", "lookback: x", "lookback is 'x'"),
        ("lookback: 3", "lookback: 3 days", "lookback is '3 days'"),
        ("-- feature", "-- feature: as_of date, the day\n-- feature", "as_of"),
        ("-- feature", "-- feature: Wing text, where\n-- feature", "Wing"),
        ("-- feature", "-- feature: long_share integer, share\n-- feature", "long_share"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_by_what_is_wrong_with_it(tmp_path, line, instead, named):
    with pytest.raises(DomainError, match=re.escape(named)) as error:
        read(tmp_path, VIEW.replace(line, instead))
    assert "ward_history.sql" in str(error.value)


@pytest.mark.parametrize("name", [*RESERVED, "Ward", "1_ward", "ward-history", "w" * 51])
def test_a_name_that_no_table_of_a_view_can_have_is_refused(tmp_path, name):
    with pytest.raises(DomainError, match=rf"{name}\.sql: use lower case .* none of views, partitions"):
        read(tmp_path, VIEW, name)


@pytest.mark.parametrize("kind", FEATURE_TYPES)
def test_every_type_that_the_error_offers_is_taken(tmp_path, kind):
    assert read(tmp_path, VIEW.replace("double precision", kind)).features[0].type == kind


# --- Versions ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("how long visits took", "another description"),
        ("owner: reception", "owner: somebody else"),
        ("share of long visits", "another meaning"),
        ("select as_of,", "-- a remark\nselect   as_of,\n   "),
        ("from raw.visits", "from raw.visits -- it's a remark, and doesn't end the text"),
        ("from raw.visits", "from /* of\n all -- wards */ raw.visits"),
        ("group by", "\n\n\t group   by"),
        ("as_of, ward\n", "as_of, ward"),
        ("select as_of, ward,", "select as_of/* the day */, ward,"),
        ("select as_of, ward,", "select as_of,ward,"),
        ("from raw.visits", "from /* a /* nested */ remark */ raw.visits"),
    ],
)
def test_a_comment_or_spacing_leaves_the_version_as_it_is(tmp_path, old, new):
    assert old in VIEW
    assert read(tmp_path, VIEW.replace(old, new)).version == read(tmp_path, VIEW).version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("avg(minutes)", "max(minutes)"),
        ("lookback: 3", "lookback: 4"),
        ("long_share double precision", "long_share integer"),
        ("feature: long_share", "feature: other_share"),
        ("entity: ward text", "entity: ward bigint"),
        ("-- entity", "-- entity: wing text, where\n-- entity"),
        ("-- feature", "-- feature: visits integer, how many\n-- feature"),
        ("-- entity: ward", "-- feature: ward"),
        ("-- /* long */", "-- /* short */"),
        ("'It''s --", "'It''s --  "),
        ("  ago", " ago"),
        ("It''s", "it''s"),
        ("It''s -- /* long */  ago'", "It''s' -- /* long */  ago'"),
    ],
)
def test_what_decides_the_values_changes_the_version(tmp_path, old, new):
    assert old in VIEW
    assert read(tmp_path, VIEW.replace(old, new)).version != read(tmp_path, VIEW).version


SEPARATORS = st.lists(
    st.sampled_from([" ", "\n", "\t ", " -- it's\n", " --\n", "\n/* don't -- */ ", " /**/ ", " /* ' */ "]), min_size=1
).map("".join)
TOKENS = st.sampled_from(
    ["a", "sum(b)", "-1", "c / d", "''", "' -- x '", "'/* y */'", "'it''s  z'", "%(start)s", "x.y"]
)


@given(st.lists(st.tuples(TOKENS, SEPARATORS)), st.lists(TOKENS))
def test_what_stands_between_the_words_is_no_part_of_the_statement_and_the_words_all_are(parts, others):
    words = [word for word, _ in parts]
    text = "".join(word + between for word, between in parts)
    assert normalised(text) == normalised(" ".join(words))
    assert (normalised(text) == normalised(" ".join(others))) is (words == others)


# --- What follows from other files ---

HEADER = (
    "-- One row per ward and as-of day.\n-- owner: reception\n-- entity: ward text, where\n-- feature: n bigint, n\n"
)
FILES = {
    "tallies/ward_tally": (1, "raw.visits"),
    "tallies/bed_tally": (1, "raw.beds"),
    "labels/labels": (2, "raw.outcomes"),
    "features/due": (1, "raw.visits"),
    "features/busy": (3, "raw.visits join features.ward_tally"),
    "features/full": (2, "features.busy, features.bed_tally where n > features.limit_of(ward)"),
    "features/beds": (1, "raw.beds join reference.limits"),
}
SCHEMA = {
    "limits": "create table if not exists reference.limits (ward text, beds int);\n-- filled by hand\n",
    "limit_of": "create or replace function features.limit_of(text) returns int language sql as\n"
    "$$ select beds from reference.limits $$;",
    "unused": "create view reference.limits_of_all as select 1;",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """The sql/ of a small domain: two tallies, and views that read drops, tallies, each other and two definitions."""
    for name, text in SCHEMA.items():
        put(tmp_path, f"schema/{name}", text)
    for name, (lookback, reads) in FILES.items():
        put(tmp_path, name, statement(lookback, reads))
    return tmp_path


def put(folder: Path, name: str, text: str) -> None:
    file = folder / f"{name}.sql"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def statement(lookback: int, reads: str) -> str:
    return f"{HEADER}-- lookback: {lookback}\nselect as_of, ward, count(*) as n from {reads}\n"


def versions(folder: Path) -> dict[str, str]:
    return {view.name: view.version for view in read_views(folder)}


def changed_by(folder: Path, name: str, old: str, new: str) -> set[str]:
    """The views that have another version after this edit."""
    before = versions(folder)
    file = folder / f"{name}.sql"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    after = versions(folder)
    assert before.keys() == after.keys()
    return {view for view in after if after[view] != before[view]}


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("features/due", "count(*)", "sum(1)", {"due"}),
        ("features/busy", "lookback: 3", "lookback: 4", {"busy", "full"}),
        ("tallies/ward_tally", "count(*)", "sum(1)", {"ward_tally", "busy", "full"}),
        ("tallies/bed_tally", "count(*)", "sum(1)", {"bed_tally", "full"}),
        ("tallies/bed_tally", "count(*)", "count(*) -- all\n", set()),
        ("schema/limit_of", "select beds", "select 2 * beds", {"full"}),
        ("schema/limits", "beds int", "beds bigint", {"full", "beds"}),
        ("schema/limits", "by hand", "by a person", set()),
        ("schema/unused", "select 1", "select 2", set()),
    ],
)
def test_a_change_gives_another_version_to_what_it_reaches_and_to_nothing_else(folder, name, old, new, expected):
    assert changed_by(folder, name, old, new) == expected


@pytest.mark.parametrize("kind", ["materialized view", "unlogged table", "aggregate", "type"])
def test_whatever_a_schema_file_creates_counts_for_the_views_that_name_it(folder, kind):
    put(folder, "schema/limits", f"create {kind} reference.limits (beds = int);")
    assert changed_by(folder, "schema/limits", "int", "bigint") == {"full", "beds"}


def test_a_function_that_is_defined_for_two_types_in_two_files_counts_with_both(folder):
    put(folder, "schema/limit_of_more", "create function features.limit_of(int) returns int return 1;")
    assert changed_by(folder, "schema/limit_of", "select beds", "select 2 * beds") == {"full"}
    assert changed_by(folder, "schema/limit_of_more", "return 1", "return 2") == {"full"}


def test_two_domains_with_the_same_files_have_the_same_views(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "sql"
    shutil.copytree(folder, other)
    assert read_views(other) == read_views(folder)


def test_sources_are_those_of_a_view_and_of_all_that_it_reads(folder):
    sources = {view.name: view.sources for view in read_views(folder)}
    assert sources["due"] == sources["busy"] == ("visits",)
    assert sources["full"] == ("beds", "visits")
    assert sources["labels"] == ("outcomes",)


def test_names_are_found_however_they_are_written(folder):
    put(folder, "features/full", statement(2, 'FEATURES.Busy join Raw.beds on true, features."bed_tally"'))
    full = {view.name: view for view in read_views(folder)}["full"]
    assert (full.reads, full.sources) == (("bed_tally", "busy"), ("beds", "visits"))


def test_what_only_a_comment_names_is_not_read(folder):
    put(folder, "features/due", statement(1, "raw.visits -- not features.busy /* nor raw.beds */"))
    due = {view.name: view for view in read_views(folder)}["due"]
    assert (due.reads, due.sources) == ((), ("visits",))


def test_reach_adds_up_through_the_levels(folder):
    reach = {view.name: view.reach for view in read_views(folder)}
    assert reach == {"ward_tally": 1, "bed_tally": 1, "labels": 2, "due": 1, "busy": 3, "full": 4, "beds": 1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    lookbacks=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    names=st.permutations("abcdef"),
    edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))),
)
def test_each_view_comes_after_what_it_reads_and_its_reach_is_that_of_the_oldest_drop(
    tmp_path, lookbacks, names, edges
):
    shutil.rmtree(tmp_path / "features", ignore_errors=True)
    below = {n: [m for m in range(n) if (m, n) in edges] for n in range(len(lookbacks))}
    ages: list[set[int]] = []  # of the drops that each view reads, in days
    for n, lookback in enumerate(lookbacks):
        tables = ", ".join(["raw.visits", *(f"features.{names[m]}" for m in below[n])])
        put(tmp_path, f"features/{names[n]}", statement(lookback, tables))
        read_by_day = {0}.union(*(ages[m] for m in below[n]))
        ages.append({back + age for back in range(lookback) for age in read_by_day})
    views = read_views(tmp_path)
    order = [view.name for view in views]
    assert sorted(order) == sorted(names[: len(lookbacks)])
    for n in range(len(lookbacks)):
        view = views[order.index(names[n])]
        assert view.reads == tuple(sorted(names[m] for m in below[n]))
        assert view.reach == max(ages[n]) + 1
        assert all(order.index(name) < order.index(view.name) for name in view.reads)


@pytest.mark.parametrize(
    ("name", "reads", "told"),
    [
        ("tallies/ward_tally", "features.full", "these views read each other in a circle: .*busy.*"),
        ("features/busy", "features.full", "in a circle: .*(busy -> full|full -> busy)"),
        ("features/due", "raw.visits join features.due", "in a circle: due -> due"),
        ("tallies/bed_tally", "features.due", "bed_tally is a tally and reads due, which is none; tallies read drops"),
        ("tallies/bed_tally", "features.labels", "bed_tally is a tally and reads labels"),
        ("features/labels", "raw.visits", "more than one view is called labels; rename one of the files"),
        ("tallies/due", "raw.visits", "more than one view is called due"),
    ],
)
def test_views_that_do_not_fit_together_are_refused_by_name(folder, name, reads, told):
    put(folder, name, statement(1, reads))
    with pytest.raises(DomainError, match=told):
        read_views(folder)


@pytest.mark.parametrize("domain", [toy, flights], ids=lambda domain: domain.name)
def test_every_folder_of_a_domain_is_read_and_every_source_is_read_by_a_view(domain):
    views = domain.built_views
    assert {view.kind for view in views} == set(Kind)
    assert {view.name for view in views} == {
        path.stem for kind in Kind for path in (domain.folder / "sql" / kind).glob("*.sql")
    }
    assert {source for view in views for source in view.sources} == {source.name for source in domain.sources}
