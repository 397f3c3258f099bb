"""What a person is told of a comparison."""

import copy

from include.modelops.comparison import told

MEASURED = {"value": 0.55, "low": 0.5, "high": 0.6123}
COMPARED = {
    "route": "ask_a_person",
    "reasons": ["cheaper,\nbut that may be chance", "ward b is worse off"],
    "challenger": 5,
    "champion": 3,
    "comparison": {
        "rows": 13205,
        "days": 14,
        "first": "2013-04-01",
        "last": "2013-04-14",
        "metrics": {
            "challenger": {"cost": MEASURED, "ece": MEASURED},
            "champion": {"cost": {"value": 0.6, "low": 0.5, "high": 0.7}, "ece": MEASURED},
            "difference": {"cost": {"value": -0.05, "low": -0.1, "high": 0.01}, "ece": MEASURED},
        },
        "slices": [
            {"slice": "ward", "group": "a|b", "rows": 3991, "days": 14}
            | {"challenger": 0.7, "champion": 0.5, "low": 0.125, "high": 0.25}
        ],
    },
}


def tables(text):
    """The cells of every line of every table."""
    lines = [line.replace("\\|", "/") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_it_tells_who_was_measured_on_what_and_every_reason_on_a_line_of_its_own():
    text = told(COMPARED)
    assert "Version 5 is the challenger, the champion is version 3." in text
    assert "13,205 rows of 14 days, 2013-04-01 to 2013-04-14" in text
    assert "\n- cheaper, but that may be chance\n- ward b is worse off\n" in text


def test_its_tables_hold_both_models_and_the_difference_with_its_interval():
    head, _, cost, ece, slice_head, _, ward = tables(told(COMPARED))
    assert head == ["measure", "challenger", "champion", "difference"]
    assert cost == ["cost per row", "0.550 (0.500 to 0.612)", "0.600", "-0.050 (-0.100 to +0.010)"]
    assert ece[0] == "expected calibration error"
    assert slice_head[0] == "cost per row of"
    assert ward == ["ward a/b", "3,991", "0.700", "0.500", "+0.200 (+0.125 to +0.250)"]


def test_without_a_champion_its_columns_are_empty():
    alone = copy.deepcopy(COMPARED) | {"champion": None}
    alone["comparison"]["metrics"] |= {"champion": None, "difference": None}
    alone["comparison"]["slices"][0] |= {"champion": None, "low": None, "high": None}
    text = told(alone)
    assert "there is no champion" in text
    _, _, cost, _, _, _, ward = tables(text)
    assert cost[2:] == ["", ""]
    assert ward[3:] == ["", ""]


def test_what_could_not_be_measured_leaves_the_reasons():
    bare = copy.deepcopy(COMPARED)
    bare["comparison"] |= {"slices": [], "metrics": {"challenger": None, "champion": None, "difference": None}}
    assert told(bare).endswith("- ward b is worse off")
