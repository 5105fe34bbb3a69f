"""Calibration

Of the images of which a model is 80 % sure, 80 % should be right: the dots should lie on the diagonal. Each dot stands for one
fifteenth of the axis, at the mean confidence and the accuracy of its images; the line to the diagonal is the gap. Below the
diagonal a model is too sure of itself, above it too modest. The grey bars, and the size of a dot, show how many images it
stands for. ECE, expected calibration error, is the mean gap over all images; the smallest comes first. Each model's first seed is
shown.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart

ORDER = 24
# Height of the bars of counts, below the diagram.
STRIP = 0.22


def reliability(study):
    """A panel for each classifier with probabilities of each data set; None where there is none."""
    parts = [chart.heading(study, dataset) + drawn for dataset in study.datasets if (drawn := _panels(study, dataset))]
    return Markup("").join(parts) or None


def _panels(study, dataset: str) -> Markup | None:
    found = [(model, family, study.predictions(dataset, model, seed)[1]) for model, family, seed in study.classifiers(dataset)]
    if not found:
        return None
    truth = study.truth(dataset)
    panels = [_panel(dataset, model, family, given, truth) for model, family, given in found if given is not None]
    if not panels:
        return None
    panels = Markup("").join(panel for _, panel in sorted(panels, key=lambda pair: pair[0]))
    without = ", ".join(model for model, _, given in found if given is None)
    note = Markup('<p class="note">No probabilities, so nothing to calibrate: {}.</p>').format(without) if without else ""
    return Markup('<div class="panels">{}</div>{}').format(panels, note)


def _panel(dataset: str, model: str, family: str, probabilities, truth) -> tuple[float, Markup]:
    """The error, by which the panels are sorted, and the panel."""
    from pofxy.evaluation.metrics.expected_calibration_error import bins, expected_calibration_error

    confidence, accuracy, count = bins(probabilities, truth)
    error, colour = expected_calibration_error(probabilities, truth), chart.COLOURS.get(family, chart.MUTED)
    some = count > 0
    with chart.axes(2.8, 2.7) as (figure, plot):
        left = [place / len(count) for place in range(len(count))]
        plot.bar(left, STRIP * count / count.max(), 1 / len(count), -STRIP - 0.04, align="edge", color="#d5d9e0", linewidth=0)
        plot.plot([0, 1], [0, 1], color="#b5bac4", linewidth=0.8)
        plot.vlines(confidence[some], confidence[some], accuracy[some], color=colour, linewidth=1.2, alpha=0.5)
        plot.scatter(confidence[some], accuracy[some], 6 + 26 * np.sqrt(count[some] / count.max()), colour, linewidth=0, zorder=3)
        plot.set_xlim(-0.02, 1.02)
        plot.set_ylim(-STRIP - 0.04, 1.03)
        plot.set_yticks([0, 0.5, 1])
        plot.set_xticks([0, 0.5, 1])
        plot.set_title(model)
        plot.annotate(f"ECE {error:.3f}", (1, 0.02), ha="right", va="bottom", fontsize=7.5)
        plot.set_xlabel("confidence")
        plot.set_ylabel("accuracy")
        return error, chart.svg(figure, f"reliability of {model} on {dataset}: expected calibration error {error:.3f}")
