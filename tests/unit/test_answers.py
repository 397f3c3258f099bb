"""Answers of people come through an API that checks little: what is odd is read as no answer."""

import pytest

from include.modelops import answers, rollback
from include.modelops.decisions import route_of


def answer(**changed):
    told = {
        "chosen_options": ["Promote"],
        "params_input": {"reason": "it is cheaper"},
        "responded_at": "2020-03-03T05:00:00",
        "responded_by_user": {"id": "7", "name": "Ada"},
    }
    return told | changed


def test_an_answer_says_what_was_chosen_by_whom_and_why():
    assert answers.read(answer()) == answers.Answer("Promote", "Ada", "it is cheaper")


def test_an_answer_without_a_person_is_that_of_the_deadline():
    given = answers.read(answer(responded_by_user=None, params_input={"reason": ""}, chosen_options=["Reject"]))
    assert given == answers.Answer("Reject", "nobody, the deadline passed", "")


@pytest.mark.parametrize(
    ("user", "by"),
    [
        ({"id": "7", "name": None}, "7"),
        ({"id": None, "name": None}, "somebody without a name"),
        ({"other": 1}, "somebody without a name"),
        ("Ada", "Ada"),
        (7, "7"),
    ],
)
def test_somebody_is_told_by_what_is_known_of_them(user, by):
    assert answers.read(answer(responded_by_user=user)).by == by


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        [],
        "Promote",
        {"chosen_options": None},
        {"chosen_options": []},
        {"chosen_options": "Promote"},
        {"chosen_options": ["Promote", "Reject"]},
        {"chosen_options": ["promote"]},
        {"chosen_options": [["Promote"]]},
        {"chosen_options": [1]},
        {"chosen_options": ["Postpone"]},
    ],
    ids=str,
)
def test_what_is_no_clear_yes_is_a_no(odd):
    assert route_of(odd) == "reject"
    assert not rollback.is_confirmed(odd)


def test_a_clear_yes_is_a_yes():
    assert route_of(answer()) == "promote"
    assert rollback.is_confirmed(answer(chosen_options=["Approve"]))


@pytest.mark.parametrize(
    ("entered", "kept"),
    [
        (None, ""),
        ("  two words \n", "two words"),
        ("a\x00b\x07c\ud800d", "abcd"),
        ("line\n\tanother", "line\n\tanother"),
        (7, "7"),
        (["a", {"b": None}], '["a", {"b": null}]'),
        ("x" * 5000, "x" * 1999 + "…"),
    ],
    ids=["nothing", "blanks", "what no table can hold", "lines", "number", "list", "too long"],
)
def test_a_reason_is_kept_as_text_that_a_table_can_hold(entered, kept):
    assert answers.read(answer(params_input={"reason": entered})).why == kept


@pytest.mark.parametrize("entered", [None, [], "reason", {}, {"Reason": "x"}], ids=str)
def test_an_answer_without_a_reason_has_none(entered):
    assert answers.read(answer(params_input=entered)).why == ""
