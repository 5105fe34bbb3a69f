"""Which density fits best? Likelihood

How probable test data is under each model. For images: bits per dimension, the code length of an image in bits per pixel and
channel, where less is better. For tables: the mean log-density in nats, where more is better. For binarized images: the negative
log-likelihood in nats, where less is better. Each unit has its own panel, as values in different units cannot be compared. The
best model is on top.

A filled dot is the exact value. A hollow dot is a bound, whose estimator stands at the right: the true value is equal or better.
So a bound that is ahead of an exact value wins, while a bound that is behind may still be better. Small hollow dots in the same
row are other bounds of the same model. A diamond is the same model on its train images: far ahead of its dot, the model overfits.
The dashed lines are references: independent pixels, uniform noise and, where it is known, the distribution of the data, which no
model can exceed except by chance.
"""

import textwrap

import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.dots import ENDS_OF_SCALE, dot_plot
from pofxy.report.charts.layout import stack
from pofxy.report.comparison import one_each
from pofxy.report.study import Study
from pofxy.report.wording import metric_name

ORDER = 43
# Characters in a line of the text to the right of a dot.
NOTE_WIDTH = 32
METRICS = ("bits_per_dim", "log_density", "nats_binarized_threshold", "nats_binarized_stochastic")
DASHED = (*ENDS_OF_SCALE, "noise")


def likelihood(study: Study, dataset: str) -> Markup | None:
    """A dot plot for each metric and unit; None where no likelihood was evaluated."""
    scores = study.summary[study.summary["dataset"] == dataset]
    plots = [
        _plot(rows, metric_name(metric), str(unit), dataset)
        for metric in METRICS
        for unit, rows in scores[scores["metric"] == metric].groupby("unit", sort=False)
    ]
    return stack(*plots)


def _plot(rows: pd.DataFrame, name: str, unit: str, dataset: str) -> Markup | None:
    train = one_each(rows[rows["split"] == "train"])
    test = rows[rows["split"] != "train"]
    main = one_each(test)
    others = test.drop(main.index)
    notes = {model: _note(estimates["estimator"], unit) for model, estimates in test.groupby("model")}
    main = main.assign(hollow=main["bound"], note=main["model"].map(notes))
    extra = pd.concat([train.assign(mark="train"), others.assign(mark="estimator")])
    better = "more is better" if main["higher_is_better"].any() else "less is better"
    xlabel = f"{name}, {unit}; {better}"
    return dot_plot(main, xlabel, f"{name} ({unit}) on {dataset}", extra=extra, dashed=DASHED)


def _note(estimators: pd.Series, unit: str) -> str:
    """The estimators of a model, without what the unit says already."""
    kept = []
    for estimator in dict.fromkeys(estimators):
        parts = [part for part in estimator.split(", ") if part and f"({part})" not in unit]
        if parts:
            kept.append(", ".join(parts))
    return textwrap.fill(", ".join(kept), NOTE_WIDTH)
