"""What the Model board reads: a year on a real Postgres, with the role that may only select; and what it says when
there is nothing to read.
"""

import json
import re
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest
from fastapi.testclient import TestClient

from include.core import warehouse
from include.dataops.preparation import create_tables
from local.postgres import READER
from plugins.board import files, project, reading, troubles
from plugins.board.app import app
from tests import board_year as year
from tests.toy_domain.domain import domain


@pytest.fixture(scope="module")
def year_template(toy_template, new_database) -> str:
    """A warehouse that holds the year."""
    name = new_database(toy_template)
    year.write()
    return name


def connection(host, database, login=READER) -> str:
    return json.dumps({"conn_type": "postgres", "host": str(host), "schema": database, "login": login})


@pytest.fixture
def read_as(postgres, new_database, monkeypatch):
    """Makes a copy of a warehouse, and points the connection of the page at it."""

    def make(template: str, login: str = READER) -> str:
        name = new_database(template)
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_READER", connection(postgres, name, login))
        return name

    return make


@pytest.fixture
def found(read_as, year_template) -> dict:
    read_as(year_template)
    return reading.read(366)


def rows(table: dict) -> list[dict]:
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def test_a_year_is_one_json_of_arrays_that_are_as_long_as_there_are_rows(found):
    assert found["state"] == "ready"
    assert found["span"] == {"first": str(year.FIRST), "from": str(year.FIRST), "last": str(year.LAST)}
    for name in ("days", *reading.BY_COLUMN):
        assert len({len(column) for column in found[name].values()}) == 1, name
    assert len(found["days"]["as_of"]) == year.DAYS
    assert len(json.dumps(found, allow_nan=False)) < 600_000


def test_days_say_how_far_they_came_and_a_missing_one_is_a_row_of_nothing(found):
    days = {row["as_of"]: row for row in rows(found["days"])}
    missing = days.pop(str(year.MISSING))
    assert {value for key, value in missing.items() if key != "as_of"} == {None}
    halted, waived, normal = (days[str(day)] for day in (year.HALTED, year.WAIVED, year.RESTATED))
    assert (halted["checked"], halted["failed"], halted["built"]) == ("failed", "outcomes", None)
    assert (waived["checked"], waived["waived"], waived["scored"]) == ("waived", "outcomes", "done")
    assert (normal["monitored"], normal["failed"], normal["provisional"]) == ("done", None, False)
    assert days[str(year.FIRST_SCORED)]["scored"] == "no_champion"
    assert days[str(year.LAST - timedelta(days=1))]["provisional"] is True
    assert days[str(year.LAST)]["provisional"] is None


def test_the_latest_look_at_a_day_counts_and_a_restated_day_shows_its_new_figures(found):
    looks = rows(found["performance"])
    keys = [(row["as_of"], row["window_days"]) for row in looks]
    assert len(keys) == len(set(keys))
    assert {row["window_days"] for row in looks} == {1, year.WINDOW}
    days = {row["as_of"]: row for row in looks if row["window_days"] == 1}
    restated = days[str(year.RESTATED)]
    assert restated["known_at"] == str(year.RESTATED + timedelta(days=10))
    assert (restated["matured"], restated["roc_auc"]) == (801, 0.5)
    assert [day for day, row in days.items() if row["provisional"]] == [str(year.LAST - timedelta(days=1))]


def test_a_shorter_span_ends_with_the_last_day_and_keeps_every_decision(read_as, year_template, found):
    short = reading.read(31)
    assert short["span"]["from"] == str(year.LAST - timedelta(days=30))
    assert short["span"]["first"] == str(year.FIRST)
    assert short["days"]["as_of"] == found["days"]["as_of"][-31:]
    assert short["decisions"] == found["decisions"]
    assert all(day >= short["span"]["from"] for name in ("alerts", "checks", "waivers") for day in short[name]["as_of"])


def test_a_window_of_another_length_is_left_out(read_as, year_template):
    read_as(year_template)
    with warehouse.transaction() as cursor:
        cursor.execute("update ml.performance set window_days = 14 where window_days > 1 and as_of < '2021-07-01'")
    assert set(reading.read(366)["performance"]["window_days"]) == {1, year.WINDOW}


def test_slices_are_those_of_the_last_window_with_all_rows_first(found):
    slices = rows(found["slices"])
    assert (slices[0]["slice"], slices[0]["slice_group"]) == ("", "")
    groups = {(name, group) for name, of in year.GROUPS.items() for group in of}
    assert {(row["slice"], row["slice_group"]) for row in slices[1:]} == groups
    assert {row["as_of"] for row in slices} == {str(year.LAST - timedelta(days=year.LABEL_DAYS))}


def test_the_saving_is_that_of_final_days_in_their_latest_look(found):
    days = [row for row in rows(found["performance"]) if row["window_days"] == 1 and not row["provisional"]]
    (saving,) = found["saving"]
    assert saving["days"] == len(days)
    assert saving["rows"] == sum(row["matured"] for row in days)
    for name in ("cost", "baseline_cost"):
        assert saving[name] == pytest.approx(sum(row[name] * row["matured"] for row in days), rel=1e-4)


def test_drift_is_a_matrix_of_features_and_days_with_the_scores_last(found):
    drift = found["drift"]
    assert drift["features"] == [*sorted(year.FEATURES), "probability"]
    with warehouse.transaction() as cursor:
        cursor.execute("select feature, as_of, psi, js_distance, missing, unseen from ml.drift")
        known = cursor.fetchall()
    cells = sum(value is not None for line in drift["psi"] for value in line)
    assert cells == len(known)
    for feature, as_of, *values in known[::97]:
        line, day = drift["features"].index(feature), (as_of - year.FIRST).days
        for measure, value in zip(("psi", "js_distance", "missing", "unseen"), values, strict=True):
            assert drift[measure][line][day] == (None if value is None else pytest.approx(value, abs=1e-4))


def test_who_is_champion_is_told_by_the_last_change_and_who_waits_by_the_ledger(found):
    changes = rows(found["changes"])
    assert [row["challenger_version"] for row in changes] == [1, 3, 5, 6, 5, 8]
    assert changes[-2]["rolled_back"] == 6
    assert [(row["model_version"], row["as_of"]) for row in found["waiting"]] == [(9, str(year.day(363)))]
    assert found["versions"]["model_version"] == [row[0] for row in year.TRAININGS]


def test_judgements_are_the_latest_and_say_since_when_they_are_so(read_as, toy_template):
    read_as(toy_template)
    year.write(harm=True)
    judged = {row["signal"]: row for row in reading.read(366)["judgements"]}
    assert set(judged) == {"calibration", "cost", "labels"}
    calibration = judged["calibration"]
    assert (calibration["as_of"], calibration["state"]) == (str(year.LAST), "harm")
    assert calibration["same_from"] == str(year.day(346))
    assert calibration["low"] > calibration["allowed"]
    assert judged["labels"]["same_from"] == str(year.FIRST_SCORED)


def test_what_is_not_a_number_reaches_the_page_as_nothing(read_as, year_template):
    read_as(year_template)
    with warehouse.transaction() as cursor:
        cursor.execute("update ml.performance set cost = 'NaN', ece = 'Infinity'")
        cursor.execute("update ml.drift set psi = 'Infinity'")
    found = reading.read(366)
    assert set(found["performance"]["cost"]) == {None}
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from ml.alerts",
        "insert into quality.stages (as_of, stage, state, run_id) values ('2021-01-01', 'x', 'x', 'x')",
        "update ml.decisions set comment = ''",
        "truncate ml.performance",
        "create table public.mine (a integer)",
        "create table ml.mine (a integer)",
        "drop table ml.alerts",
        "alter role flightline_reader superuser",
    ],
)
def test_the_role_of_the_page_cannot_write_even_when_it_asks_for_it(postgres, read_as, year_template, statement):
    name = read_as(year_template)
    with (
        closing(psycopg2.connect(host=str(postgres), dbname=name, user=READER)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("show default_transaction_read_only")
        assert cursor.fetchone() == ("on",)
        connection.rollback()
        cursor.execute("set default_transaction_read_only = off")
        connection.commit()
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_the_role_reads_tables_that_are_made_later_but_not_what_a_run_stages(postgres, read_as, toy_template):
    name = read_as(toy_template)
    with warehouse.transaction() as cursor:
        cursor.execute("create table raw.later as select 1 as a; create table staging.later as select 1 as a")
    with (
        closing(psycopg2.connect(host=str(postgres), dbname=name, user=READER)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select a from raw.later")
        assert cursor.fetchone() == (1,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("select a from staging.later")


def test_a_warehouse_without_tables_says_what_to_do_first(read_as):
    read_as("template1")
    found = reading.read(366)
    assert found["state"] == "empty"
    assert "no tables" in found["what"]
    assert "make run" in found["next"] and "prepare_project" in found["next"]


def test_a_warehouse_without_drops_says_what_to_do_first(read_as, toy_template):
    read_as(toy_template)
    found = reading.read(366)
    assert found["state"] == "empty"
    assert "no drop" in found["what"] and "make run" in found["next"]


def test_a_day_that_was_only_ingested_is_shown_with_no_champion(read_as, toy_template):
    read_as(toy_template)
    with warehouse.transaction() as cursor:
        cursor.execute(
            "insert into quality.stages (as_of, stage, state, run_id) values ('2021-01-01', 'ingested', 'done', 'run')"
        )
    found = reading.read(366)
    assert found["state"] == "ready"
    assert found["days"]["ingested"] == ["done"]
    assert found["changes"]["challenger_version"] == found["drift"]["features"] == found["judgements"] == []


def test_a_missing_connection_is_told_with_the_next_step(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    with pytest.raises(troubles.UnavailableError) as told:
        reading.read(366)
    assert told.value.state == "no_connection"
    assert "AIRFLOW_CONN_WAREHOUSE_READER" in told.value.next_step


SECRET = {"login": "some_login", "password": "some-password", "schema": "some_database"}


@pytest.mark.parametrize(
    ("host", "state"), [("/nowhere/at/all", "down"), ("127.0.0.1", "down"), (None, "refused")], ids=str
)
def test_a_warehouse_that_is_down_or_refuses_is_told_without_credentials(postgres, monkeypatch, host, state, caplog):
    known = {"conn_type": "postgres", "host": host or str(postgres), **SECRET, **({"port": 1} if host else {})}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_READER", json.dumps(known))
    app.dependency_overrides[reading_user()] = lambda: None
    try:
        reply = TestClient(app).get("/data")
    finally:
        app.dependency_overrides.clear()
    assert reply.status_code == 503
    assert reply.json()["state"] == state
    shown = reply.text + caplog.text
    assert not any(secret in shown for secret in (*SECRET.values(), str(postgres), "Traceback"))


def test_a_role_that_was_not_granted_anything_is_told_to_let_the_tables_be_prepared(read_as, year_template):
    read_as(year_template)
    with warehouse.transaction() as cursor:
        cursor.execute("revoke usage on schema ml from flightline_reader")
    with pytest.raises(troubles.UnavailableError) as told:
        reading.read(366)
    assert told.value.state == "refused"
    create_tables(domain)
    assert reading.read(366)["state"] == "ready"


def test_tables_of_an_earlier_release_are_told(read_as, year_template):
    read_as(year_template)
    with warehouse.transaction() as cursor:
        cursor.execute("alter table ml.performance drop column baseline_cost")
    with pytest.raises(troubles.UnavailableError) as told:
        reading.read(366)
    assert told.value.state == "old_tables"


def test_a_warehouse_that_hangs_is_given_up_and_read_again_later(read_as, year_template, monkeypatch):
    read_as(year_template)
    monkeypatch.setattr(reading, "STATEMENT_TIMEOUT", "300ms")
    with warehouse.transaction() as cursor:
        cursor.execute("lock table ml.alerts in access exclusive mode")
        with pytest.raises(troubles.UnavailableError) as told:
            reading.read(366)
    assert told.value.state == "slow"
    assert reading.read(366)["state"] == "ready"


def reading_user():
    from airflow.api_fastapi.core_api.security import get_user

    return get_user


@pytest.fixture
def browser():
    """A client of the page alone, with a user."""
    app.dependency_overrides[reading_user()] = lambda: None
    yield TestClient(app)
    app.dependency_overrides.clear()


@pytest.mark.parametrize("path", ["/", "/data", "/static/x/board.js", "/static/x/plotly.min.js", "/static/x/nothing"])
def test_nothing_is_served_without_a_user(path):
    assert TestClient(app).get(path).status_code == 401


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_pages_that_fastapi_adds_by_itself_are_not_there(path):
    assert TestClient(app).get(path).status_code == 404


def test_the_page_may_load_nothing_from_elsewhere(browser):
    reply = browser.get("/")
    assert reply.status_code == 200
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';") and "script-src" not in policy
    assert "frame-ancestors 'self'" in policy and "http" not in policy
    assert "//" not in reply.text.replace("<!doctype html>", "")
    assert "{{" not in reply.text


def test_every_file_of_the_page_is_there_packed_and_kept_by_the_browser_until_it_changes(browser):
    names = re.findall(r'(?:src|href)="(static/[^"]+)"', browser.get("/").text)
    assert {name.rpartition("/")[2] for name in names} >= {"board.js", "board.css", "plotly.min.js", "theme.js"}
    for name in names:
        reply = browser.get(f"/{name}")
        assert reply.status_code == 200, name
        assert reply.headers["Content-Encoding"] == "gzip"
        assert "immutable" in reply.headers["Cache-Control"] and "private" in reply.headers["Cache-Control"]
        again = browser.get(f"/{name}", headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        plain = browser.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert plain.content == reply.content and "Content-Encoding" not in plain.headers
    assert "immutable" not in browser.get("/static/of-an-earlier-release/board.js").headers["Cache-Control"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.html", "..%2f..%2fmodel_board.py", "app.py"])
def test_no_other_file_is_served(browser, name):
    assert browser.get(f"/static/x/{name}").status_code == 404


WRITES_HTML = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")


def test_data_becomes_text_and_never_mark_up():
    for file in files.STATIC.glob("*.js"):
        text = file.read_text()
        assert not any(way in text for way in WRITES_HTML)


def test_the_days_that_can_be_asked_for_have_bounds(browser):
    assert browser.get("/data?days=0").status_code == 422
    assert browser.get("/data?days=100000").status_code == 422
    assert browser.get("/data?days=1%3Bdrop").status_code == 422


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, "ground") for text in ("text", "quiet", "strong", "other", "harm", "warn", "fine")),
        *((text, "panel") for text in ("text", "quiet")),
        *((text, f"{text}-soft") for text in ("harm", "warn", "fine")),
        *((text, "warn-soft") for text in ("text", "strong")),
    ],
)
def test_every_text_of_the_page_can_be_read_on_its_ground_in_both_themes(theme, text, ground):
    style = re.findall(r":root[^{]*\{(.*?)\}", (files.STATIC / "board.css").read_text(), re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", style))
    light, dark = sorted((luminance(colours[name]) for name in (text, ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_URI": "http://mlflow:5000/"}, "http://mlflow:5000"),
        ({"MLFLOW_TRACKING_URI": "databricks"}, None),
        ({"MLFLOW_TRACKING_URI": "sqlite:///x.db"}, None),
        ({"MLFLOW_UI_URL": "https://ml.example", "MLFLOW_TRACKING_URI": "http://mlflow:5000"}, "https://ml.example"),
        ({"MLFLOW_TRACKING_URI": "https://user:word@ml.example/a"}, "https://ml.example/a"),
        ({"MLFLOW_UI_URL": "javascript:alert(1)"}, None),
    ],
    ids=str,
)
def test_the_address_of_mlflow_is_one_for_a_browser_and_has_no_password(monkeypatch, told, expected):
    for name in ("MLFLOW_UI_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
        if name in told:
            monkeypatch.setenv(name, told[name])
    assert project.mlflow_url() == expected


def test_airflow_imports_one_light_file_and_finds_the_page_in_it():
    from airflow.plugins_manager import _load_plugins_from_plugin_directory

    from tests.conftest import REPO

    found, errors = _load_plugins_from_plugin_directory(str(REPO / "plugins"))
    assert errors == {}
    (board,) = found
    assert board.name == "model_board"
    assert board.external_views[0]["url_route"] == "model-board"
    assert board.fastapi_apps[0]["url_prefix"] == "/model-board"
