"""Where the answer is known

This data was drawn from a known law, so the best possible is known as well. `oracle` is that law itself, judged like any model. A
dot tells by how much a model falls behind it, with the 95 % interval of that; where both have a value for each test image, the
interval is that of the paired differences, which is much narrower than those of the two scores. 0 is the best that can be. A
model clearly beyond it is better than possible: then something is wrong, in the model, in the test, or in the data.
"""

import math

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.comparison import advantage
from pofxy.report.significance import Z
from pofxy.report.verdicts.best_possible import against_oracle
from pofxy.report.wording import metric_name, number

ORDER = 45
CLASSES, POINTS = 10, 1000
LAW = {
    "entropy": "the entropy of x is {} nats",
    "bayes_accuracy": "the best possible accuracy is {}",
    "bayes_log_loss": "the best possible log-loss is {} nats",
}


def known_answers(study):
    """The law in words, distances to it, and the data where it has two columns; None where no law is known."""
    parts = []
    for dataset in study.datasets:
        if given := against_oracle(study, dataset):
            panels = [panel for law, models in given if (panel := _panel(study, law, models))]
            stack = chart.stack(_words(study, dataset), chart.grid(panels) if panels else None, _scatter(study, dataset))
            parts.append(chart.heading(study, dataset) + stack)
    return Markup("").join(parts) or None


def _words(study, dataset: str) -> Markup | None:
    """What is known of the law, of all it can draw: the test split is one draw of it."""
    law = study.json(study.results / "data" / dataset / "audit.json").get("known_distribution") or {}
    said = [text.format(number(law[name], 3)) for name, text in LAW.items() if isinstance(law.get(name), int | float)]
    spec = study.json(study.results / "data" / dataset / "spec.json")
    if said and "entropy" in law:
        bits = law["entropy"] / math.prod(spec.get("shape", [1])) / math.log(2)
        best = f"the best expected code takes {number(bits, 3)} bits/dim" if spec.get("levels") else ""
        said.insert(1, best or f"the best expected log-density is {number(-law['entropy'], 3)} nats")
    return Markup("<p>Of this law, {}.</p>").format("; ".join(said)) if said else None


def _panel(study, law: pd.Series, models: pd.DataFrame) -> Markup | None:
    gaps = np.array([advantage(study, law, row) for _, row in models.iterrows()])  # (models, 2)
    rows = models.assign(value=gaps[:, 0], low=gaps[:, 0] - Z * gaps[:, 1], high=gaps[:, 0] + Z * gaps[:, 1])
    rows = rows.assign(loss=gaps[:, 0], higher_is_better=False, hollow=rows["bound"])
    name = metric_name(law["metric"])
    label = f"distance to the law in {name.lower()} on {law['dataset']}"
    return chart.dots(rows, f"behind the law, {law['unit']}", label, name, line=0, small=True)


def _scatter(study, dataset: str) -> Markup | None:
    """The test rows of a table of two columns, by class."""
    paths = [study.results / "data" / dataset / f"test_{name}.npy" for name in "xy"]
    if not all(path.is_file() for path in paths):
        return None
    x, y = (np.asarray(np.load(path, mmap_mode="r")[:POINTS]) for path in paths)
    if x.ndim != 2 or x.shape[1] != 2 or y.max(initial=0) >= CLASSES:
        return None
    names = study.class_names(dataset)
    with chart.axes(3.4, 3.0) as (figure, plot):
        for k in np.unique(y):
            name = names[k] if k < len(names) else str(k)
            plot.scatter(*x[y == k].T, s=7, color=chart.CLASSES[k], alpha=0.7, linewidth=0, label=name)
        plot.set_aspect("equal", adjustable="datalim")
        plot.legend(fontsize=7, markerscale=1.6, handletextpad=0.2, loc="upper left", bbox_to_anchor=(1, 1))
        plot.set_xlabel("first column")
        plot.set_ylabel("second column")
        return chart.svg(figure, f"test rows of {dataset} by class", zoom=1.2)
