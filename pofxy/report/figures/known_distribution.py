"""How far from the best possible? Data of a known distribution

This data was sampled from a known distribution, so the best possible scores are known as well. `oracle` is that distribution
itself, evaluated like a model. A dot shows by how much a model is worse than the oracle, with the 95 % interval of the
difference. Where both have a value for each test image, the interval is that of the paired differences, which is much narrower
than those of the two scores. 0 is the best possible. A model clearly better than 0 means that something is wrong: in the model,
in the evaluation or in the data.
"""

import math

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.evaluation.intervals import Z95
from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import CLASS_COLORS
from pofxy.report.charts.dots import SMALL, dot_plot
from pofxy.report.charts.layout import grid, stack
from pofxy.report.comparison import advantage
from pofxy.report.study import Study
from pofxy.report.verdicts.best_possible import against_oracle
from pofxy.report.wording import metric_name, number

ORDER = 45
# Rows of a table that are drawn.
POINTS = 1000
# What audit.json may say of the distribution.
OPTIMUM = {
    "entropy": "the entropy of x is {} nats",
    "bayes_accuracy": "the best possible accuracy is {}",
    "bayes_log_loss": "the best possible log-loss is {} nats",
}


def known_distribution(study: Study, dataset: str) -> Markup | None:
    """The optimum in words, distances to it, and the data where it has two columns; None where the distribution is not known."""
    known = against_oracle(study, dataset)
    if not known:
        return None
    panels = [_panel(study, oracle, models) for oracle, models in known]
    return stack(_optimum(study, dataset), grid(panels), _scatter(study, dataset))


def _optimum(study: Study, dataset: str) -> Markup | None:
    """The expected scores of the distribution itself; the test split is only one sample of it."""
    folder = study.results / "data" / dataset
    truth = study.json(folder / "audit.json").get("known_distribution") or {}
    sentences = [
        text.format(number(truth[name], 3)) for name, text in OPTIMUM.items() if isinstance(truth.get(name), int | float)
    ]
    if not sentences:
        return None
    if "entropy" in truth:
        spec = study.json(folder / "spec.json")
        bits = truth["entropy"] / math.prod(spec.get("shape", [1])) / math.log(2)
        density = f"the best expected log-density is {number(-truth['entropy'], 3)} nats"
        sentences.insert(1, f"the best expected code length is {number(bits, 3)} bits/dim" if spec.get("levels") else density)
    return Markup("<p>For this distribution, {}.</p>").format("; ".join(sentences))


def _panel(study: Study, oracle: pd.Series, models: pd.DataFrame) -> Markup | None:
    gaps = np.array([advantage(study, oracle, row) for _, row in models.iterrows()])  # (models, 2)
    gap = gaps[:, 0]
    half_width = Z95 * gaps[:, 1]
    rows = models.assign(value=gap, low=gap - half_width, high=gap + half_width)
    rows = rows.assign(loss=gap, higher_is_better=False, hollow=rows["bound"])
    name = metric_name(oracle["metric"])
    label = f"distance to the oracle in {name.lower()} on {oracle['dataset']}"
    return dot_plot(rows, f"worse than the oracle by, {oracle['unit']}", label, name, marked_value=0, size=SMALL)


def _scatter(study: Study, dataset: str) -> Markup | None:
    """The test rows of a table of two columns, by class."""
    paths = [study.results / "data" / dataset / f"test_{name}.npy" for name in "xy"]
    if not all(path.is_file() for path in paths):
        return None
    x, y = (np.asarray(np.load(path, mmap_mode="r")[:POINTS]) for path in paths)
    if x.ndim != 2 or x.shape[1] != 2 or y.max(initial=0) >= len(CLASS_COLORS):
        return None
    names = study.class_names(dataset)
    with axes(3.4, 3.0) as (figure, plot):
        for k in np.unique(y):
            name = names[k] if k < len(names) else str(k)
            plot.scatter(*x[y == k].T, s=7, color=CLASS_COLORS[k], alpha=0.7, linewidth=0, label=name)
        plot.set_aspect("equal", adjustable="datalim")
        plot.legend(fontsize=7, markerscale=1.6, handletextpad=0.2, loc="upper left", bbox_to_anchor=(1, 1))
        plot.set_xlabel("first column")
        plot.set_ylabel("second column")
        return svg(figure, f"test rows of {dataset} by class", zoom=1.2)
