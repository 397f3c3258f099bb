"""How the reference tables get into the warehouse: two ways, one publication, and no secret that the UI could show."""

import pytest
from airflow.sdk import RetryAction, TriggerRule

from include.astro_sdk import interpreter
from include.astro_sdk.interpreter import UnusableInterpreterError
from include.astro_sdk.reference import load_reference_files
from include.core.datasets import REFERENCE
from include.core.defaults import RETRY_POLICY
from include.dataops.reference import Way
from include.dataops.reference_tables import BadReferenceError


@pytest.fixture(scope="module")
def prepare(bag):
    return bag.dags["prepare_project"]


def test_every_way_is_a_task_that_the_branch_can_choose_and_the_branch_chooses_nothing_else(prepare):
    assert prepare.get_task("choose_way").downstream_task_ids == {way.value for way in Way}


def test_the_ways_join_in_the_one_publication_which_runs_after_whichever_was_taken(prepare):
    publish = prepare.get_task("publish_reference")
    # Only the two: with another one that succeeds, it would run for a domain of which both are skipped.
    assert publish.upstream_task_ids == {way.value for way in Way}
    assert publish.trigger_rule is TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    assert publish.outlets == [REFERENCE]


def test_nothing_is_loaded_before_the_tables_and_the_files_are_there(prepare):
    assert prepare.get_task("choose_way").upstream_task_ids == {"create_tables", "find_reference_files"}


def test_the_astro_sdk_runs_in_its_own_interpreter_and_gets_no_environment_but_the_connection(prepare):
    task = prepare.get_task(Way.ASTRO_SDK.value)
    assert task.python_callable is load_reference_files
    assert task.python == interpreter.OF_THE_IMAGE
    assert (task.expect_airflow, task.inherit_env, task.env_vars) == (False, False, None)


def test_no_field_that_the_ui_shows_asks_for_the_connection(prepare):
    for task in prepare.tasks:
        shown = [getattr(task, field) for field in task.template_fields]
        assert "conn." not in str(shown)


def test_two_runs_do_not_load_at_once(prepare):
    assert prepare.max_active_runs == 1


@pytest.mark.parametrize("error", [BadReferenceError, UnusableInterpreterError])
def test_what_somebody_has_to_mend_is_not_tried_again(error):
    assert RETRY_POLICY.evaluate(error("mend it"), 1, 2).action is RetryAction.FAIL
