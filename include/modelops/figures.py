"""Curves of a binary classifier as pictures: of matplotlib for a run in MLflow, of SVG for a model card.

Every function takes `labels` (bool, n) and `probabilities` (float, n, in 0 to 1), or a curve that is made of them. No
figure is kept anywhere, and none needs a display: nothing here goes through `pyplot`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from include.modelops.evaluation import calibration_curve

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def roc(labels: "np.ndarray", probabilities: "np.ndarray") -> "Figure":
    """True against false positive rate. Raises ValueError when only one class is there."""
    from sklearn.metrics import roc_auc_score, roc_curve

    _refuse_one_class(labels)
    false_rate, true_rate, _ = roc_curve(labels, probabilities)
    figure, axes = _square(
        f"ROC curve, area {roc_auc_score(labels, probabilities):.3f}", "false positive rate", "true positive rate"
    )
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="chance")
    axes.plot(false_rate, true_rate, label="model")
    axes.legend(loc="lower right")
    return figure


def precision_recall(labels: "np.ndarray", probabilities: "np.ndarray") -> "Figure":
    """Precision against recall, and the share of positive labels, which is the precision of chance. Raises ValueError
    when only one class is there.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    _refuse_one_class(labels)
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    average = average_precision_score(labels, probabilities)
    figure, axes = _square(f"Precision and recall, average precision {average:.3f}", "recall", "precision")
    axes.axhline(labels.mean(), linestyle="--", color="grey", label="chance")
    axes.plot(recall, precision, drawstyle="steps-post", label="model")
    axes.legend(loc="upper right")
    return figure


def calibration(labels: "np.ndarray", probabilities: "np.ndarray") -> "Figure":
    """Share of positive labels against the mean probability, in ten bins of equal width."""
    curve = calibration_curve(labels, probabilities)
    figure, axes = _square("Calibration", "mean predicted probability", "observed share")
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="perfect")
    axes.plot([one["predicted"] for one in curve], [one["observed"] for one in curve], marker="o", label="model")
    axes.legend(loc="upper left")
    return figure


def calibration_svg(curve: Sequence[Mapping[str, float]]) -> str:
    """The curve that `evaluation.calibration_curve` gives, as an SVG element in the colours of the page around it.

    The area of a point grows with its rows. The same curve gives the same text.
    """
    side, left, top = 300.0, 48.0, 12.0
    most = max((one["rows"] for one in curve), default=1)

    def at(x: float, y: float) -> tuple[str, str]:
        return f"{left + side * x:.1f}", f"{top + side * (1 - y):.1f}"

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 364 364" role="img" font-size="12"'
        ' font-family="system-ui, sans-serif" fill="currentColor" stroke="none">',
        "<title>Calibration: observed share against mean predicted probability</title>",
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        (x, y), (right, above) = at(tick, tick), at(1, 1)
        (first, bottom) = at(0, 0)
        parts += [
            f'<path d="M{x} {above}V{bottom}M{first} {y}H{right}" stroke="currentColor" stroke-opacity="0.15"/>',
            f'<text x="{x}" y="{float(bottom) + 16:.1f}" text-anchor="middle">{tick:g}</text>',
            f'<text x="{float(first) - 8:.1f}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    (first, bottom), (right, above) = at(0, 0), at(1, 1)
    middle_x, middle_y = at(0.5, 0.5)
    parts += [
        f'<path d="M{first} {bottom}L{right} {above}" stroke="currentColor" stroke-opacity="0.5"'
        ' stroke-dasharray="5 5"/>',
        f'<text x="{middle_x}" y="350" text-anchor="middle">mean predicted probability</text>',
        f'<text transform="translate(12 {middle_y}) rotate(-90)" text-anchor="middle">observed share</text>',
    ]
    points = [at(one["predicted"], one["observed"]) for one in curve]
    line = " ".join(f"{x},{y}" for x, y in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="var(--accent, #0a58ca)" stroke-width="2"/>')
    for (x, y), one in zip(points, curve, strict=True):
        radius = 2.5 + 5.5 * (one["rows"] / most) ** 0.5
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="var(--accent, #0a58ca)"><title>predicted'
            f" {one['predicted']:.3f}, observed {one['observed']:.3f}, {one['rows']:,.0f} rows</title></circle>"
        )
    return "\n".join((*parts, "</svg>"))


def _square(title: str, across: str, up: str) -> tuple["Figure", "Axes"]:
    """An empty figure of probabilities or rates, both from 0 to 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return figure, axes


def _refuse_one_class(labels: "np.ndarray") -> None:
    if labels.all() or not labels.any():
        raise ValueError(f"{len(labels)} rows with one class only give no curve; widen the window")
