"""A champion that turned out bad is taken back: what it predicted is superseded, kept, and scored again."""

import json
import shutil
from dataclasses import replace
from datetime import date

import pytest

from include.core import warehouse
from include.core.domain import days_between
from include.core.errors import DomainError
from include.core.ledger import NotReadyError
from include.dataops import feature_store
from include.modelops import champion, decisions, registry, rollback, rollback_plan, scoring
from tests.toy_domain.domain import domain
from tests.warehouse.chain import RUN, checksum, execute, rows, value
from tests.warehouse.trained import train

FIRST_TRAINING, SECOND_TRAINING, THIRD_TRAINING = date(2020, 3, 3), date(2020, 3, 5), date(2020, 3, 6)
FIRST_SCORED, LAST_SCORED = date(2020, 3, 4), date(2020, 3, 8)
WHY = "too many false alarms"
YES = {"chosen_options": ["Approve"], "responded_by_user": {"id": "7", "name": "Ada"}}
NO = {"chosen_options": ["Reject"], "responded_by_user": None}


def promote(as_of: date, challenger: int, before: int | None) -> dict | None:
    compared = {
        "route": "promote",
        "reasons": ["it is cheaper"],
        "challenger": challenger,
        "champion": before,
        "comparison": {},
    }
    return decisions.promote(domain, as_of, compared, None, RUN)


def score(first: date, last: date) -> None:
    for day in days_between(first, last):
        scoring.score_day(domain, day, RUN)


def plan(version: int | None = None, since: str | None = None, reason: str = WHY, of=domain) -> dict:
    return json.loads(json.dumps(rollback_plan.plan(of, version, since, reason)))


def roll_back(version: int | None = None, since: str | None = None, run_id: str = "manual__rollback") -> dict:
    """What rollback_model does when it is confirmed; returns what its event says."""
    done = rollback.roll_back(domain, plan(version, since), YES, run_id)
    return done | rollback.score_again(domain, done, run_id)


def champions() -> dict[int, int | None]:
    """The champion of each day of March."""
    with warehouse.transaction() as cursor:
        found = {day.day: champion.on(cursor, day) for day in days_between(FIRST_TRAINING, date(2020, 3, 10))}
    return {day: version and version.version for day, version in found.items()}


def current() -> dict[int, int]:
    """The version whose predictions count, of each day that has some."""
    found = rows("select distinct as_of, model_version from ml.predictions where not superseded")
    assert len({day for day, _ in found}) == len(found)
    return {day.day: version for day, version in sorted(found)}


def aliases() -> dict[str, str]:
    import mlflow

    return dict(mlflow.MlflowClient().get_registered_model(domain.name).aliases)


@pytest.fixture(scope="module")
def template(trained_template, new_database, mlflow_server):
    """Version 1 scored 4 and 5 March, version 2 the days from the 6th to the 8th."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_tracking_uri(mlflow_server)
        name = new_database(trained_template)
        promote(FIRST_TRAINING, 1, None)
        score(FIRST_SCORED, SECOND_TRAINING)
        promote(SECOND_TRAINING, 2, 1)
        score(date(2020, 3, 6), LAST_SCORED)
    return name


@pytest.fixture
def bad_champion(template, new_database, registry_server):
    """A copy of that warehouse. What its promotions cost is known by now."""
    new_database(template)
    champion.follow(domain)


# The plan


def test_a_plan_says_in_words_what_will_happen_and_changes_nothing(bad_champion):
    before = [checksum(*table.split(".")) for table in ("ml.decisions", "ml.predictions", "quality.stages")]
    planned = plan()
    assert (planned["version"], planned["champion"], planned["since"]) == (1, 2, "2020-03-06")
    assert (planned["days"], planned["predictions"]) == (3, {"2": 24})
    for words in (
        "Version 1 becomes champion again from 2020-03-06 on, in place of version 2",
        WHY,
        "3 scored days, 2020-03-06 to 2020-03-08",
        "kept: 24 predictions of version 2",
    ):
        assert words in planned["told"], words
    assert [checksum(*table.split(".")) for table in ("ml.decisions", "ml.predictions", "quality.stages")] == before


def test_a_plan_says_which_views_have_changed_since_the_version_was_fitted(bad_champion):
    assert "of the versions that it was fitted on" in plan()["told"]
    execute('update ml.models set features = features || \'{"ward_history": "old"}\' where model_version = 1')
    assert "another version than today's of ward_history." in plan()["told"]


def refused(match: str, *arguments, **named) -> None:
    before = checksum("ml", "decisions")
    with pytest.raises(DomainError, match=match):
        plan(*arguments, **named)
    assert checksum("ml", "decisions") == before


def test_with_no_champion_there_is_nothing_to_go_back_to(trained):
    refused("There is no champion yet, so there is nothing to go back to")


def test_with_one_champion_only_there_is_nothing_to_go_back_to(trained):
    promote(FIRST_TRAINING, 1, None)
    refused("Version 1 is the only champion there has been")
    refused("Version 1 is the only champion there has been", 1)


def test_a_version_that_was_never_champion_is_refused_and_those_that_were_are_told(bad_champion):
    refused("Version 3 was never champion.*Those that were: 1", 3)
    refused("Version 0 was never champion", 0)


def test_the_champion_itself_is_refused(bad_champion):
    refused("Version 2 is the champion already. Others that were: 1", 2)


def test_when_all_others_were_rolled_back_one_has_to_be_named(bad_champion):
    roll_back()
    refused("Every champion before version 1 was rolled back itself. Name one: 2")


@pytest.mark.parametrize("since", ["2020-03-03", "2020-03-10", "2019-12-31", "9999-12-31"])
def test_a_day_before_the_first_champion_or_after_the_next_to_score_is_refused(bad_champion, since):
    refused("Choose a day from 2020-03-04 .* to 2020-03-09", None, since)


@pytest.mark.parametrize("since", ["yesterday", "2020-02-30", "", 6], ids=str)
def test_since_has_to_be_a_day(bad_champion, since):
    refused("which is not a day. Write it as YYYY-MM-DD", None, since)


@pytest.mark.parametrize("reason", ["", "    ", "bad", "\x00\x01\x02\x03\x04\x05", None], ids=repr)
def test_a_rollback_needs_a_reason(bad_champion, reason):
    refused("Say why, in at least 5 characters", reason=reason)


def test_a_version_does_not_score_days_that_it_was_trained_after(bad_champion):
    roll_back(since="2020-03-05")
    refused("Version 2 cannot count from 2020-03-05 on. Choose a day from 2020-03-06", 2, "2020-03-05")
    assert plan(2)["since"] == "2020-03-06"


def test_a_version_whose_file_cannot_be_loaded_is_refused(bad_champion):
    execute("update ml.models set artifact_sha256 = repeat('0', 64) where model_version = 1")
    refused("Version 1 cannot be put back.*is not the one that was registered")


def test_a_version_whose_file_is_gone_is_refused(bad_champion):
    execute("update ml.models set artifact_sha256 = repeat('1', 64), artifact_path = 'models:/toy/99/model.skops'")
    refused("Version 1 cannot be put back")


def test_a_version_whose_columns_are_gone_from_the_feature_store_is_refused(bad_champion, tmp_path):
    folder = tmp_path / "domain"
    shutil.copytree(domain.folder, folder)
    (folder / "sql" / "features" / "ward_history.sql").unlink()
    refused("Version 1 cannot be put back.*no longer has long_share_3d", of=replace(domain, folder=folder))


def test_days_whose_features_are_missing_are_named_before_anything_changes(bad_champion):
    execute("delete from features.partitions where as_of = '2020-03-07'")
    with pytest.raises(NotReadyError, match=r"2020-03-07.*Trigger backfill_features"):
        plan()


# The deed


def test_the_predictions_of_the_days_are_those_of_the_version_that_is_back_and_the_others_are_kept(bad_champion):
    of_the_bad = (
        "select as_of, entity_id, probability, decision, features_version, recorded_at from ml.predictions"
        " where model_version = 2 and superseded = %s order by 1, 2"
    )
    bad = rows(of_the_bad, (False,))
    event = roll_back()
    assert event == {
        "as_of": "2020-03-08",
        "version": 1,
        "previous": 2,
        "effective_from": "2020-03-06",
        "decided_by": "Ada",
        "days": 3,
        "rows": 24,
    }
    assert current() == {4: 1, 5: 1, 6: 1, 7: 1, 8: 1}
    keys, features = feature_store.training_set(domain, date(2020, 3, 6), LAST_SCORED, labels=False).frames()
    with warehouse.transaction() as cursor:
        restored = registry.load(domain, registry.read_version(cursor, 1))
    found = rows(
        "select entity_id, probability from ml.predictions"
        " where as_of >= '2020-03-06' and not superseded order by as_of, entity_id"
    )
    expected = zip(keys["entity_id"], map(float, restored.predict_proba(features)[:, 1]), strict=True)
    assert sorted(found) == sorted(expected)
    assert rows(of_the_bad, (True,)) == bad


def test_a_rollback_is_in_the_audit_trail(bad_champion):
    roll_back()
    assert rows(
        "select as_of, challenger_version, champion_version, outcome, decided_by, comment, effective_from, run_id"
        " from ml.decisions where route = 'roll_back'"
    ) == [(LAST_SCORED, 1, 2, "rolled_back", "Ada", WHY, date(2020, 3, 6), "manual__rollback")]
    ((day, subject, message),) = rows("select as_of, subject, message from ml.alerts where kind = 'rolled_back'")
    assert (day, subject) == (LAST_SCORED, "version 2, manual__rollback")
    assert "confirmed by Ada" in message and WHY in message


def test_the_aliases_follow_a_rollback(bad_champion):
    assert aliases()["previous"] == "1"
    roll_back()
    assert aliases()["champion"] == "1"
    assert "previous" not in aliases()


def test_a_rollback_that_is_not_confirmed_changes_nothing(bad_champion):
    planned, before = plan(), checksum("ml", "decisions")
    for answer in (NO, None, {}, {"chosen_options": []}):
        assert not rollback.is_confirmed(answer)
        with pytest.raises(DomainError, match="Nobody has confirmed"):
            rollback.roll_back(domain, planned, answer, RUN)
    assert checksum("ml", "decisions") == before


def test_a_plan_that_another_change_has_overtaken_is_refused(bad_champion):
    planned = plan()
    promote(LAST_SCORED, train(domain, THIRD_TRAINING), 2)
    with pytest.raises(
        DomainError, match=r"has changed since this rollback was planned\. Trigger rollback_model again"
    ):
        rollback.roll_back(domain, planned, YES, "manual__late")
    assert value("select count(*) from ml.decisions where outcome = 'rolled_back'") == 0


def test_a_plan_is_not_taken_for_valid_when_the_same_version_came_back_in_between(bad_champion):
    planned = plan()
    roll_back(run_id="one")
    roll_back(2, run_id="two")
    with pytest.raises(DomainError, match="has changed since"):
        rollback.roll_back(domain, planned, YES, "three")


def test_a_day_that_was_scored_between_plan_and_answer_is_scored_again_too(bad_champion):
    execute("delete from ml.predictions where as_of = '2020-03-08'")
    execute("delete from quality.stages where as_of = '2020-03-08' and stage = 'scored'")
    planned = plan()
    score(LAST_SCORED, LAST_SCORED)
    done = rollback.roll_back(domain, planned, YES, RUN)
    rollback.score_again(domain, done, RUN)
    assert (planned["days"], current()) == (2, {4: 1, 5: 1, 6: 1, 7: 1, 8: 1})


def test_a_rollback_may_begin_later_than_the_promotion(bad_champion):
    assert roll_back(since="2020-03-08")["days"] == 1
    assert current() == {4: 1, 5: 1, 6: 2, 7: 2, 8: 1}
    assert champions() == {3: None, 4: 1, 5: 1, 6: 2, 7: 2, 8: 1, 9: 1, 10: 1}


def test_a_rollback_may_concern_only_days_that_are_to_come(bad_champion):
    planned = plan(since="2020-03-09")
    assert "No day since then is scored" in planned["told"]
    assert roll_back(since="2020-03-09")["days"] == 0
    assert current() == {4: 1, 5: 1, 6: 2, 7: 2, 8: 2}
    assert champions()[9] == 1


def test_a_promotion_that_has_not_taken_effect_yet_can_be_rolled_back(bad_champion):
    third = train(domain, THIRD_TRAINING)
    promote(date(2020, 3, 9), third, 2)
    assert champions()[10] == third
    event = roll_back()
    assert (event["version"], event["effective_from"], event["days"]) == (2, "2020-03-10", 0)
    assert champions()[10] == 2
    assert aliases()["champion"] == "2"


def test_a_rollback_from_before_two_promotions_takes_the_days_of_both(trained):
    promote(FIRST_TRAINING, 1, None)
    score(FIRST_SCORED, SECOND_TRAINING)
    promote(SECOND_TRAINING, 2, 1)
    score(date(2020, 3, 6), date(2020, 3, 6))
    third = train(domain, THIRD_TRAINING)
    promote(THIRD_TRAINING, third, 2)
    score(date(2020, 3, 7), LAST_SCORED)
    assert current() == {4: 1, 5: 1, 6: 2, 7: third, 8: third}
    planned = plan(1, "2020-03-05")
    assert planned["predictions"] == {"2": 8, str(third): 16}
    assert roll_back(1, "2020-03-05")["days"] == 4
    assert champions() == {3: None} | dict.fromkeys(range(4, 11), 1)
    assert current() == dict.fromkeys(range(4, 9), 1)


def test_a_promotion_after_a_rollback_works(bad_champion):
    roll_back()
    third = train(domain, THIRD_TRAINING)
    event = promote(LAST_SCORED, third, 1)
    assert event["effective_from"] == "2020-03-09"
    assert champions() == {3: None, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: third, 10: third}
    assert (aliases()["champion"], aliases()["previous"]) == (str(third), "1")


def test_a_rollback_of_a_rollback_works_on_the_same_day(bad_champion):
    before = rows("select * from ml.predictions where not superseded order by as_of, entity_id")
    roll_back(run_id="one")
    assert roll_back(2, run_id="two")["effective_from"] == "2020-03-06"
    assert current() == {4: 1, 5: 1, 6: 2, 7: 2, 8: 2}
    after = rows("select * from ml.predictions where not superseded order by as_of, entity_id")
    assert [row[:5] for row in after] == [row[:5] for row in before]
    assert value("select count(*) from ml.decisions where as_of = %s and route = 'roll_back'", (LAST_SCORED,)) == 2
    assert roll_back(1, run_id="three")["days"] == 3
    assert current() == dict.fromkeys(range(4, 9), 1)


def test_what_the_bad_version_predicted_counts_no_more_from_the_moment_of_the_rollback(bad_champion):
    rollback.roll_back(domain, plan(), YES, RUN)
    assert current() == {4: 1, 5: 1}
    assert champions()[6] == 1


def test_repeating_a_rollback_in_its_run_changes_nothing_more(bad_champion):
    planned = plan()
    done = [rollback.roll_back(domain, planned, YES, RUN) for _ in range(2)]
    assert done[0] == done[1]
    rollback.score_again(domain, done[0], RUN)
    before = checksum("ml", "predictions"), checksum("ml", "decisions")
    rollback.score_again(domain, done[0], RUN)
    assert (checksum("ml", "predictions"), checksum("ml", "decisions")) == before


def test_days_that_a_later_decision_gave_away_are_left_to_it(bad_champion):
    done = rollback.roll_back(domain, plan(), YES, "one")
    roll_back(2, run_id="two")
    before = checksum("ml", "predictions")
    assert rollback.score_again(domain, done, "one") == {"days": 0, "rows": 0}
    assert checksum("ml", "predictions") == before


def test_a_replay_of_a_day_after_a_rollback_scores_with_the_version_that_is_back(bad_champion):
    roll_back()
    before = checksum("ml", "predictions")
    score(FIRST_SCORED, LAST_SCORED)
    assert checksum("ml", "predictions") == before
