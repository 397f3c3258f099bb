"""Alerts are kept once, sent once to real receivers, and whatever becomes of the receivers never fails a task."""

import json
import logging
import time
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from include.core import alerts, notify, warehouse
from include.core.alerts import alert_on_failure, raise_alert
from include.core.ledger import Stage, record
from tests.ports import free_port
from tests.warehouse.alert_receivers import mailbox, silence, webhook

DAY, NEXT = date(2020, 3, 3), date(2020, 3, 4)
HARM = {
    "since": date(2020, 3, 1),
    "certainty": "400 outcomes of 3 days, 80 % of them in",
    "next_step": "Look at the report.",
}
BODY = (
    "It costs more than allowed.\n\nSince: 2020-03-01\n\n"
    "How sure: 400 outcomes of 3 days, 80 % of them in\n\nWhat to do: Look at the report."
)
TITLE = "2020-03-03: harm: cost"


@pytest.fixture
def connect(monkeypatch):
    """Makes a connection `alerts` that leads to these URLs."""

    def make(*urls: str) -> None:
        config = [{"path": url} for url in urls]
        extra = {"config": config[0] if len(config) == 1 else config}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS", json.dumps({"conn_type": "apprise", "extra": extra}))

    return make


@pytest.fixture
def hook():
    with webhook() as known:
        yield known


def harm(as_of: date = DAY, message: str = "It costs more than allowed.", **more) -> None:
    raise_alert(as_of, "harm", "cost", message, **{**HARM, **more})


def rows() -> list[tuple]:
    with warehouse.transaction() as cursor:
        cursor.execute("select as_of, kind, subject, message, delivery from ml.alerts order by as_of, kind, subject")
        return cursor.fetchall()


def deliveries() -> list[str]:
    return [row[-1] for row in rows()]


def test_an_alert_reaches_a_webhook_with_what_it_is_about_since_when_how_sure_and_what_to_do(
    toy_warehouse, hook, connect
):
    connect(hook.url)
    harm()
    (posted,) = hook.posted
    assert (posted["title"], posted["message"], posted["type"]) == (TITLE, BODY, "warning")
    assert rows() == [(DAY, "harm", "cost", "It costs more than allowed.", "sent")]
    with warehouse.transaction() as cursor:
        cursor.execute("select since, certainty, next_step from ml.alerts")
        assert cursor.fetchone() == tuple(HARM.values())


def test_an_alert_that_says_nothing_of_certainty_is_its_message_alone(toy_warehouse, hook, connect):
    connect(hook.url)
    raise_alert(DAY, "task_failed", "score_batch.score_day", "No rows.")
    (posted,) = hook.posted
    assert (posted["title"], posted["message"]) == ("2020-03-03: task failed: score_batch.score_day", "No rows.")


def test_of_a_very_long_message_the_beginning_is_sent_and_all_of_it_is_kept(toy_warehouse, hook, connect):
    connect(hook.url)
    raise_alert(DAY, "task_failed", "score_batch.score_day", "x" * 100_000)
    assert hook.posted[0]["message"] == "x" * alerts.LONGEST + " ... (all of it is in ml.alerts)"
    assert [len(row[3]) for row in rows()] == [100_000]


def test_an_alert_reaches_a_mailbox(toy_warehouse, connect):
    with mailbox() as box:
        connect(box.url)
        harm()
    (mail,) = box.mails
    assert (mail["subject"], mail["to"]) == (TITLE, "team@example.org")
    text = mail.get_body(("plain",)).get_content()
    assert [line.strip() for line in text.split("\n") if line.strip()] == BODY.split("\n\n")
    assert deliveries() == ["sent"]


def test_an_alert_reaches_every_receiver_of_the_connection(toy_warehouse, hook, connect):
    with mailbox() as box, webhook() as other:
        connect(hook.url, box.url, other.url)
        harm()
        assert [len(hook.posted), len(box.mails), len(other.posted)] == [1, 1, 1]
    assert deliveries() == ["sent"]


def test_the_same_alert_of_a_day_is_sent_once_and_says_the_last_of_what_it_was_told(toy_warehouse, hook, connect):
    connect(hook.url)
    harm()
    harm(message="It costs even more.")
    assert len(hook.posted) == 1
    assert rows() == [(DAY, "harm", "cost", "It costs even more.", "sent")]


@pytest.mark.parametrize(
    "other", [(NEXT, "harm", "cost"), (DAY, "unknown", "cost"), (DAY, "harm", "calibration")], ids=str
)
def test_another_day_kind_or_subject_is_another_alert(toy_warehouse, hook, connect, other):
    connect(hook.url)
    harm()
    raise_alert(*other, "It is another one.")
    assert [posted["message"] for posted in hook.posted] == [BODY, "It is another one."]
    assert deliveries() == ["sent", "sent"]


def test_an_alert_that_did_not_arrive_is_sent_when_it_is_raised_again(toy_warehouse, hook, connect):
    connect(hook.url)
    hook.status = 500
    harm()
    assert (hook.posted, deliveries()) == ([], ["failed"])
    hook.status = 200
    harm()
    harm()
    assert (len(hook.posted), deliveries()) == (1, ["sent"])


def test_a_worker_that_is_killed_while_it_sends_leaves_an_alert_that_is_sent_again(toy_warehouse, hook, connect):
    """The row of an alert that is being sent is that of one that did not arrive."""
    seen = []

    class Looks(hook.server.RequestHandlerClass):
        def do_POST(self):
            seen.extend(deliveries())
            super().do_POST()

    hook.server.RequestHandlerClass = Looks
    connect(hook.url)
    harm()
    assert (seen, deliveries()) == (["failed"], ["sent"])


def test_an_alert_over_the_budget_is_kept_and_not_sent(toy_warehouse, hook, connect):
    connect(hook.url)
    harm(deliver=False)
    harm()
    assert (hook.posted, deliveries()) == ([], ["withheld"])


def test_without_a_connection_alerts_are_kept_and_nothing_else_is_said(toy_warehouse, hook, connect, caplog):
    with caplog.at_level(logging.INFO):
        harm()
    assert deliveries() == ["kept"]
    assert len(caplog.records) == 1
    connect(hook.url)
    harm()
    assert (hook.posted, deliveries()) == ([], ["kept"])


def failed_soon(within: float = 3.0) -> None:
    begun = time.monotonic()
    harm()
    assert time.monotonic() - begun < within
    assert deliveries() == ["failed"]


@pytest.mark.parametrize("url", ["json://127.0.0.1:{}/", "mailto://127.0.0.1:{}?from=a@b.org&to=a@b.org&mode=insecure"])
def test_a_server_that_is_down_does_not_fail_the_task(toy_warehouse, connect, url):
    connect(url.format(free_port()))
    failed_soon()


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:{}/",
        "mailto://127.0.0.1:{}?from=a@b.org&to=a@b.org&mode=insecure",
        "json://127.0.0.1:{}/?rto=600&cto=600",
    ],
)
def test_a_server_that_never_answers_does_not_hold_the_task(toy_warehouse, connect, monkeypatch, url):
    monkeypatch.setattr(notify, "SECONDS", 1.0)
    with silence() as port:
        connect(url.format(port))
        failed_soon()


def test_a_receiver_that_is_down_keeps_the_alert_from_no_other(toy_warehouse, hook, connect):
    connect(f"json://127.0.0.1:{free_port()}/", hook.url)
    harm()
    assert (len(hook.posted), deliveries()) == (1, ["failed"])


@pytest.mark.parametrize(
    "connection",
    [
        "{no json",
        '{"conn_type": "apprise"}',
        '{"conn_type": "apprise", "extra": {"config": "{no json"}}',
        '{"conn_type": "apprise", "extra": {"config": 1}}',
        '{"conn_type": "apprise", "extra": {"config": {}}}',
        '{"conn_type": "apprise", "extra": {"config": []}}',
        '{"conn_type": "apprise", "extra": {"config": {"path": "nowhere://secret-token"}}}',
        '{"conn_type": "apprise", "extra": {"config": {"path": "mailto://"}}}',
    ],
)
def test_a_connection_that_makes_no_sense_does_not_fail_the_task(toy_warehouse, monkeypatch, caplog, connection):
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS", connection)
    with caplog.at_level(logging.INFO):
        failed_soon()
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_one_address_that_makes_no_sense_keeps_the_alert_from_no_other(toy_warehouse, hook, connect):
    connect("nowhere://secret-token", hook.url)
    harm()
    assert (len(hook.posted), deliveries()) == (1, ["failed"])


@pytest.mark.parametrize(
    "url",
    [
        "json://secret-user:secret-pass@127.0.0.1:{}/secret-path?+x=secret-header",
        "mailto://secret-user:secret-pass@127.0.0.1:{}?from=a@b.org&to=a@b.org&mode=insecure",
        "slack://secret-token/secret-more/{}",
        "secret-nothing://secret-token:{}",
        "jsons://127.0.0.1:{}/secret-path?rto=secret",
    ],
)
def test_the_log_does_not_tell_the_secrets_of_an_address(toy_warehouse, connect, caplog, url):
    connect(url.format(free_port()))
    with caplog.at_level(logging.INFO):
        harm()
    assert deliveries() == ["failed"]
    assert "secret-" not in caplog.text


@pytest.mark.parametrize(
    "connection",
    [{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "warehouse", "login": "nobody"}, None],
    ids=["down", "not connected"],
)
def test_an_alert_that_cannot_be_kept_is_sent_all_the_same(hook, connect, monkeypatch, connection):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection) if connection else "")
    connect(hook.url)
    harm()
    assert [posted["title"] for posted in hook.posted] == [TITLE]
    failed(None)
    assert [posted["title"] for posted in hook.posted[1:]] == ["2026-05-04: task failed: rollback_model.roll_back"]


def failed(partition_key: str | None, **params) -> None:
    """Call the callback as Airflow does when a task has failed."""
    alert_on_failure(
        {
            "dag_run": SimpleNamespace(partition_key=partition_key, run_after=datetime(2026, 5, 4, 3, 2, tzinfo=UTC)),
            "task_instance": SimpleNamespace(dag_id="rollback_model", task_id="roll_back"),
            "params": params,
            "exception": ValueError("No champion."),
        }
    )


def test_a_task_that_has_failed_says_so(toy_warehouse, hook, connect):
    connect(hook.url)
    failed("2020-03-03")
    (posted,) = hook.posted
    assert (posted["title"], posted["message"]) == ("2020-03-03: task failed: rollback_model.roll_back", "No champion.")
    assert rows() == [(DAY, "task_failed", "rollback_model.roll_back", "No champion.", "sent")]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"start": "2020-03-01", "end": "2020-03-03"}, DAY),
        ({"since": "2020-03-03", "version": 1}, DAY),
        ({"restore_start": None, "restore_end": "2020-03-03"}, DAY),
        ({"since": None}, NEXT),
        ({"since": "some day"}, NEXT),
        ({}, NEXT),
    ],
    ids=str,
)
def test_a_run_by_hand_is_filed_under_the_day_that_it_names_or_else_the_last_of_the_ledger(
    toy_warehouse, params, expected
):
    with warehouse.transaction() as cursor:
        for day, stage in ((DAY, Stage.SCORED), (NEXT, Stage.INGESTED)):
            record(cursor, day, stage, "a run")
    failed(None, **params)
    assert [row[0] for row in rows()] == [expected]


def test_a_run_by_hand_before_there_is_any_day_is_filed_under_the_day_of_its_run(toy_warehouse):
    failed(None)
    assert [row[0] for row in rows()] == [date(2026, 5, 4)]


def test_a_failure_without_a_context_does_not_raise(toy_warehouse):
    alert_on_failure({})
    assert rows() == []


def test_the_title_of_an_alert_is_one_line_for_a_mail(toy_warehouse):
    assert alerts.title(DAY, "check_failed", "visits: a\nb") == "2020-03-03: check failed: visits: a b"
