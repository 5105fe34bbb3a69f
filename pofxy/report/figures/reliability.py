"""Calibration

Reliability diagrams: of the images that a model classifies with 80 % confidence, 80 % should be right, so the dots should lie on
the diagonal. Each dot is a bin of one fifteenth of the axis, at the mean confidence and the accuracy of its images. The line to
the diagonal is the gap. Below the diagonal a model is overconfident, above it underconfident. The gray bars and the size of a dot
show the number of images in a bin. The expected calibration error (ECE) is the mean gap over all images; the smallest comes
first. Each model's first seed is shown.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import FAINT, family_color
from pofxy.report.charts.layout import grid, note, stack
from pofxy.report.study import Study

ORDER = 24
# Height of the bars of counts, and the space between them and the diagram.
STRIP = 0.22
GAP = 0.04


def reliability(study: Study, dataset: str) -> Markup | None:
    """A panel per classifier with probabilities; None where there is none."""
    panels = []
    without = []
    for model, family, seed in study.classifiers(dataset):
        _, probabilities = study.predictions(dataset, model, seed)
        if probabilities is None:
            without.append(model)
        else:
            panels.append(_panel(dataset, model, family, probabilities, study.truth(dataset)))
    if not panels:
        return None
    panels.sort(key=lambda pair: pair[0])
    remark = note(f"No probabilities, so no calibration: {', '.join(without)}.") if without else None
    return stack(grid(panel for _, panel in panels), remark)


def _panel(dataset: str, model: str, family: str, probabilities: np.ndarray, truth: np.ndarray) -> tuple[float, Markup]:
    """The expected calibration error, by which the panels are sorted, and the panel; probabilities (N, K), truth (N,)."""
    from pofxy.evaluation.metrics.expected_calibration_error import calibration

    bars = calibration(probabilities, truth)
    confidence = bars.confidence
    accuracy = bars.accuracy
    count = bars.count
    color = family_color(family)
    share = count / count.max()
    filled = count > 0
    with axes(2.8, 2.7) as (figure, plot):
        left = np.arange(len(count)) / len(count)
        plot.bar(left, STRIP * share, 1 / len(count), -STRIP - GAP, align="edge", color="#d5d9e0", linewidth=0)
        plot.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
        plot.vlines(confidence[filled], confidence[filled], accuracy[filled], color=color, linewidth=1.2, alpha=0.5)
        plot.scatter(confidence[filled], accuracy[filled], 6 + 26 * np.sqrt(share[filled]), color, linewidth=0, zorder=3)
        plot.set_xlim(-0.02, 1.02)
        plot.set_ylim(-STRIP - GAP, 1.03)
        plot.set_yticks([0, 0.5, 1])
        plot.set_xticks([0, 0.5, 1])
        plot.set_title(model)
        plot.annotate(f"ECE {bars.error:.3f}", (1, 0.02), ha="right", va="bottom", fontsize=7.5)
        plot.set_xlabel("confidence")
        plot.set_ylabel("accuracy")
        return bars.error, svg(figure, f"reliability of {model} on {dataset}: expected calibration error {bars.error:.3f}")
