"""The curves of a run and of a card."""

import sys
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest

from include.modelops import evaluation, figures

SVG = "{http://www.w3.org/2000/svg}"
PROBABILITIES = np.random.default_rng(1).uniform(size=500)
LABELS = np.random.default_rng(2).uniform(size=500) < PROBABILITIES
CURVE = evaluation.calibration_curve(LABELS, PROBABILITIES)


def points(curve):
    """The circles of the picture of a card."""
    return ElementTree.fromstring(figures.calibration_svg(curve)).findall(f"{SVG}circle")  # noqa: S314


def lines(figure):
    """The points of every line, by its name in the legend."""
    (axes,) = figure.axes
    return {line.get_label(): np.column_stack(line.get_data()) for line in axes.lines}


@pytest.mark.parametrize("draw", [figures.roc, figures.precision_recall, figures.calibration])
def test_every_picture_has_a_title_named_axes_a_baseline_and_a_model(draw):
    figure = draw(LABELS, PROBABILITIES)
    (axes,) = figure.axes
    assert all((axes.get_title(), axes.get_xlabel(), axes.get_ylabel()))
    assert [text.get_text() for text in axes.get_legend().get_texts()] in (["chance", "model"], ["perfect", "model"])
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_the_titles_tell_the_measures_of_the_same_rows():
    from sklearn.metrics import average_precision_score, roc_auc_score

    roc, precision = (draw(LABELS, PROBABILITIES).axes[0] for draw in (figures.roc, figures.precision_recall))
    assert f"{roc_auc_score(LABELS, PROBABILITIES):.3f}" in roc.get_title()
    assert f"{average_precision_score(LABELS, PROBABILITIES):.3f}" in precision.get_title()


def test_a_perfect_model_goes_through_the_corner_and_chance_along_the_diagonal():
    found = lines(figures.roc(LABELS, LABELS.astype(float)))
    assert [0.0, 1.0] in found["model"].tolist()
    assert found["chance"].tolist() == [[0, 0], [1, 1]]


def test_the_precision_of_chance_is_the_share_of_positive_labels():
    found = lines(figures.precision_recall(LABELS, PROBABILITIES))
    assert found["chance"][:, 1] == pytest.approx(LABELS.mean())


def test_the_calibration_shows_the_bins_of_the_calibration_error():
    found = lines(figures.calibration(LABELS, PROBABILITIES))["model"]
    assert found.tolist() == [[one["predicted"], one["observed"]] for one in CURVE]


@pytest.mark.parametrize("draw", [figures.roc, figures.precision_recall])
@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_gives_no_curve_and_says_so(draw, label):
    with pytest.raises(ValueError, match="500 rows with one class only"):
        draw(np.full(500, label), PROBABILITIES)


def test_no_picture_goes_through_the_global_state_of_pyplot():
    import subprocess

    code = (
        "import sys, numpy as np; from include.modelops import figures\n"
        "labels, p = np.array([True, False] * 9), np.linspace(0, 1, 18)\n"
        "for draw in (figures.roc, figures.precision_recall, figures.calibration): draw(labels, p)\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The picture of a card


def test_the_picture_of_a_card_has_a_point_for_every_bin_where_it_belongs():
    assert len(points(CURVE)) == len(CURVE) == 10
    for point, one in zip(points(CURVE), CURVE, strict=True):
        assert float(point.get("cx")) == pytest.approx(48 + 300 * one["predicted"], abs=0.06)
        assert float(point.get("cy")) == pytest.approx(312 - 300 * one["observed"], abs=0.06)
        told = f"predicted {one['predicted']:.3f}, observed {one['observed']:.3f}, {one['rows']} rows"
        assert point.find(f"{SVG}title").text == told


def test_the_bin_with_the_most_rows_has_the_largest_point():
    curve = [{"predicted": 0.1, "observed": 0.1, "rows": 9}, {"predicted": 0.9, "observed": 0.9, "rows": 900}]
    small, large = points(curve)
    assert float(small.get("r")) < float(large.get("r"))


def test_a_curve_without_bins_is_an_empty_picture():
    assert points([]) == []


def test_the_same_curve_gives_the_same_picture():
    assert figures.calibration_svg(CURVE) == figures.calibration_svg([dict(one) for one in CURVE])
