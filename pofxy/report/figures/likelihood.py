"""Likelihood

How well a density foretells test data: for images the length of one in the model's code, in bits for each pixel and channel,
where shorter is better; for tables the mean log-density in nats, where more is better. Each unit has its panel, as units do not
compare. The best is on top.

A filled dot is the exact value. A hollow one is a bound, named at the right: the true value lies at the dot or on its better
side, so a hollow dot ahead of a filled one wins, while one behind has not lost for certain. Small hollow dots in the same row are
other bounds of the same model. A diamond is the same model on its train images: far ahead of its dot, it has learned them by
heart. The dashed lines are references: every pixel by itself, plain noise and, where the law of the data is known, that law,
which no model can pass but by chance.
"""

import re
import textwrap

import pandas as pd
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.comparison import one_each
from pofxy.report.wording import metric_name

ORDER = 43
# Characters in a line of what stands to the right of a dot.
NOTE = 32
METRICS = ("bits_per_dim", "log_density", "nats_binarized_threshold", "nats_binarized_stochastic")


def likelihood(study):
    """A dot plot for each data set, metric and unit; None where no density was judged."""
    charts = []
    for dataset in study.datasets:
        found = study.summary[study.summary["dataset"] == dataset]
        plots = [
            plot
            for metric in METRICS
            for unit, rows in found[found["metric"] == metric].groupby("unit", sort=False)
            if (plot := _plot(rows, metric_name(metric), unit, dataset))
        ]
        charts += [chart.heading(study, dataset) + chart.stack(*plots)] if plots else []
    return Markup("").join(charts) or None


def _plot(rows, name: str, unit: str, dataset: str) -> Markup | None:
    train = rows[rows["split"] == "train"]
    test = rows[rows["split"] != "train"]
    main = one_each(test)
    others = test.drop(main.index)
    estimators = test.groupby("model")["estimator"].agg(lambda names: ", ".join(dict.fromkeys(filter(None, names))))
    # What the unit says already is not said of each model again.
    binarized = re.search(r"\((.*)\)", unit)
    if binarized:
        estimators = estimators.str.removesuffix(f", {binarized[1]}")
    main = main.assign(hollow=main["bound"], note=main["model"].map(estimators).map(lambda note: textwrap.fill(note, NOTE)))
    also = pd.concat([one_each(train).assign(mark="train"), others.assign(mark="estimator")])
    better = "more is better" if main["higher_is_better"].any() else "less is better"
    axis = f"{name}, {better}" if binarized else f"{name} ({unit}), {better}"
    return chart.dots(main, axis, f"{name} ({unit}) on {dataset}", also=also)
