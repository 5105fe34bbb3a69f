"""Accuracy

The share of test images whose predicted label is right, with its 95 % interval, the best model on top. Discriminative models are
blue. Generative models are orange and classify by Bayes' rule. References are gray: `oracle` knows the distribution that the data
was sampled from, so a model can exceed it only by chance. Where two intervals overlap, they alone do not decide which of the two
models is better.
"""

from markupsafe import Markup

from pofxy.report.charts.dots import dot_plot
from pofxy.report.charts.layout import stack
from pofxy.report.comparison import one_each
from pofxy.report.study import Study

ORDER = 20


def accuracy(study: Study, dataset: str) -> Markup | None:
    """A dot plot of the accuracies on a data set; None where nothing was classified."""
    scores = study.summary
    rows = scores[(scores["dataset"] == dataset) & (scores["metric"] == "accuracy") & (scores["split"] != "train")]
    plots = [
        dot_plot(one_each(scored), f"accuracy on {split} ({unit})", f"accuracy on {dataset}")
        for (unit, split), scored in rows.groupby(["unit", "split"], sort=False)
    ]
    return stack(*plots)
