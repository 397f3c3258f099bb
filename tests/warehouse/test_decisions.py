"""A route is acted on: who decided and why is kept, once, and what MLflow shows follows."""

from datetime import date, timedelta

import pytest

from include.core import ledger, warehouse
from include.core.domain import days_between
from include.core.ledger import Stage
from include.modelops import champion, comparison, decisions, scoring
from include.modelops.registry import ModelVersion
from include.modelops.waiting import pending_before
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, execute, rows, value

FIRST_TRAINING, SECOND_TRAINING = date(2020, 3, 3), date(2020, 3, 5)
EARLY, LATER, LAST = date(2020, 3, 4), date(2020, 3, 6), date(2020, 3, 8)


def compared(challenger: int, before: int | None, route: str = "promote") -> dict:
    """What `compare` says."""
    return {
        "route": route,
        "reasons": ["it is cheaper"],
        "challenger": challenger,
        "champion": before,
        "comparison": {"rows": 16, "metrics": {"challenger": {"cost": {"value": 0.5, "low": 0.4, "high": 0.6}}}},
    }


FIRST, SECOND = compared(1, None), compared(2, 1)


def answer(chosen: str, reason: object = "I looked at it", name: str | None = "Ada") -> dict:
    """The XCom of the question."""
    user = {"id": "7", "name": name} if name else None
    return {"chosen_options": [chosen], "params_input": {"reason": reason}, "responded_by_user": user}


def promote(as_of: date, told: dict, by: dict | None = None) -> dict | None:
    return decisions.promote(domain, as_of, told, by, RUN)


def champion_of(day: date) -> ModelVersion | None:
    with warehouse.transaction() as cursor:
        return champion.on(cursor, day)


def aliases() -> dict[str, str]:
    import mlflow

    return dict(mlflow.MlflowClient().get_registered_model(domain.name).aliases)


def state_of(day: date) -> str:
    return value("select state from quality.stages where stage = 'decided' and as_of = %s", (day,))


@pytest.fixture
def one_champion(trained):
    """Version 1 promoted by the training of 3 March."""
    promote(FIRST_TRAINING, FIRST)


def test_the_first_model_that_reaches_the_floors_is_promoted_by_what_compare_says(trained):
    found = comparison.compare(domain, FIRST_TRAINING)
    event = promote(FIRST_TRAINING, {**found, "route": "promote"})
    assert (event["version"], event["previous"], event["effective_from"]) == (1, None, "2020-03-04")
    assert set(event["metrics"]) == {"cost", "roc_auc", "average_precision", "brier", "ece"}
    assert value("select metrics from ml.decisions") == found["comparison"]


def test_promoting_twice_leaves_one_decision_that_takes_effect_the_day_after(trained):
    events = [promote(FIRST_TRAINING, FIRST) for _ in range(2)]
    assert (
        events[0]
        == events[1]
        == {
            "version": 1,
            "previous": None,
            "effective_from": "2020-03-04",
            "decided_by": "gate",
            "metrics": {"cost": 0.5},
        }
    )
    assert rows(
        "select as_of, challenger_version, route, outcome, decided_by, comment, effective_from, run_id"
        " from ml.decisions"
    ) == [(FIRST_TRAINING, 1, "promote", "promoted", "gate", "", EARLY, RUN)]
    assert champion_of(FIRST_TRAINING) is None
    assert champion_of(EARLY).version == 1
    assert aliases()["champion"] == "1"
    assert rows("select as_of, state from quality.stages where stage = 'decided'") == [(FIRST_TRAINING, "promoted")]


def test_the_champion_before_stays_at_hand_as_the_previous_one(one_champion):
    assert "previous" not in aliases()
    for _ in range(2):
        promote(SECOND_TRAINING, SECOND)
    assert (aliases()["champion"], aliases()["previous"]) == ("2", "1")


def test_a_decision_that_was_made_stands_in_the_ledger_too(one_champion):
    decisions.reject(domain, FIRST_TRAINING, FIRST, None, RUN)
    assert rows("select outcome, decided_by from ml.decisions") == [("promoted", "gate")]
    assert state_of(FIRST_TRAINING) == "promoted"
    assert champion_of(EARLY).version == 1


def test_a_challenger_that_was_rejected_is_not_promoted_by_a_retry(one_champion):
    decisions.reject(domain, SECOND_TRAINING, SECOND, None, RUN)
    assert promote(SECOND_TRAINING, SECOND) is None
    assert (champion_of(LAST).version, aliases()["champion"], state_of(SECOND_TRAINING)) == (1, "1", "rejected")


def test_a_rejected_challenger_changes_nothing_but_the_record(one_champion):
    decisions.reject(domain, SECOND_TRAINING, compared(2, 1, "reject"), None, RUN)
    assert rows("select route, outcome, decided_by, effective_from from ml.decisions where challenger_version = 2") == [
        ("reject", "rejected", "gate", None)
    ]
    assert (champion_of(LAST).version, aliases()["champion"]) == (1, "1")


@pytest.mark.parametrize("by", [None, answer("Promote")], ids=["by the gate", "by a person"])
def test_a_late_promotion_takes_effect_after_the_last_day_that_was_scored(one_champion, by):
    for day in days_between(EARLY, LATER):
        scoring.score_day(domain, day, RUN)
    promote(SECOND_TRAINING, compared(2, 1, "ask_a_person" if by else "promote"), by)
    assert champion_of(LATER).version == 1
    assert champion_of(LATER + timedelta(days=1)).version == 2


def test_who_answered_and_why_is_kept(one_champion):
    event = promote(SECOND_TRAINING, compared(2, 1, "ask_a_person"), answer("Promote"))
    assert event["decided_by"] == "Ada"
    assert rows("select route, outcome, decided_by, comment from ml.decisions where challenger_version = 2") == [
        ("ask_a_person", "promoted", "Ada", "I looked at it")
    ]


def test_a_question_that_nobody_answered_is_a_rejection_that_says_so(one_champion):
    nobody = answer("Reject", reason="", name=None)
    assert decisions.route_of(nobody) == "reject"
    decisions.reject(domain, SECOND_TRAINING, compared(2, 1, "ask_a_person"), nobody, RUN)
    assert rows("select outcome, decided_by, comment from ml.decisions where challenger_version = 2") == [
        ("rejected", "nobody, the deadline passed", "")
    ]


@pytest.mark.parametrize(
    "reason", [7, None, ["a", 1], "\x00\ud800", "x" * 100_000], ids=["7", "null", "list", "odd", "long"]
)
def test_a_reason_that_is_no_text_does_not_stop_the_decision(one_champion, reason):
    assert promote(SECOND_TRAINING, compared(2, 1, "ask_a_person"), answer("Promote", reason=reason))["version"] == 2
    assert value("select length(comment) from ml.decisions where challenger_version = 2") <= 2000


def test_a_yes_that_comes_after_another_promotion_is_a_rejection_that_says_so(one_champion):
    asked = compared(2, None, "ask_a_person")
    assert promote(SECOND_TRAINING, asked, answer("Promote")) is None
    ((outcome, decided_by, reasons, effective_from),) = rows(
        "select outcome, decided_by, reasons, effective_from from ml.decisions where challenger_version = 2"
    )
    assert (outcome, decided_by, effective_from) == ("rejected", "Ada", None)
    assert reasons == ["it is cheaper", "it was compared with no champion, and by now version 1 is champion"]
    assert (champion_of(LAST).version, aliases()["champion"], state_of(SECOND_TRAINING)) == (1, "1", "rejected")


def test_a_promotion_of_before_is_not_announced_once_another_is_champion(one_champion):
    promote(SECOND_TRAINING, SECOND)
    assert promote(FIRST_TRAINING, FIRST) is None
    assert (champion_of(LAST).version, aliases()["champion"], state_of(FIRST_TRAINING)) == (2, "2", "promoted")


def test_the_card_of_a_version_tells_what_was_decided_about_it(one_champion):
    import mlflow

    decisions.reject(domain, SECOND_TRAINING, compared(2, 1, "ask_a_person"), answer("Reject", "too dear"), RUN)
    told = mlflow.MlflowClient().get_model_version(domain.name, "2").description
    assert "too dear" in told
    assert "rejected" in told


def test_whoever_asks_raises_an_alert_and_does_not_hold_up_scoring(trained):
    with warehouse.transaction() as cursor:
        ledger.record(cursor, SECOND_TRAINING, Stage.MONITORED, RUN, detail={"retrain": True})
    assert pending_before(LATER) is not None
    decisions.ask(SECOND_TRAINING, compared(2, 1, "ask_a_person"), RUN)
    assert pending_before(LATER) is None
    ((day, kind, subject, message),) = rows("select as_of, kind, subject, message from ml.alerts")
    assert (day, kind, subject) == (SECOND_TRAINING, "question", "deploy_model.ask_a_person")
    assert "version 2" in message
    assert "it is cheaper" in message


def test_an_alert_that_cannot_be_kept_does_not_stop_the_question(trained):
    execute("drop table ml.alerts")
    decisions.ask(SECOND_TRAINING, compared(2, 1, "ask_a_person"), RUN)
    assert state_of(SECOND_TRAINING) == "asked"


class Run:
    """What a callback's context says of its run."""

    run_id = RUN
    partition_key: str | None = "2020-03-05"


def test_a_training_that_failed_is_given_up_so_that_scoring_goes_on(trained):
    decisions.give_up({"dag_run": Run()})
    assert rows("select as_of, state from quality.stages where stage = 'decided'") == [(SECOND_TRAINING, "failed")]


def test_giving_up_does_not_undo_a_decision(one_champion):
    promote(SECOND_TRAINING, SECOND)
    decisions.give_up({"dag_run": Run()})
    assert state_of(SECOND_TRAINING) == "promoted"
