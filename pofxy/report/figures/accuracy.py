"""Accuracy

The share of test images whose label is right, with its interval, the best on top; blue models are discriminative, orange ones
generative and classify by Bayes' rule. Grey ones are references: `oracle` knows the law that the data was drawn from, and no
model can do better but by chance. Where two intervals overlap, the order of the two is not settled by them alone.
"""

from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.comparison import one_each

ORDER = 20


def accuracy(study):
    """A dot plot for each data set; None where nothing was classified."""
    rows = study.summary[(study.summary["metric"] == "accuracy") & (study.summary["split"] != "train")]
    charts = [
        chart.heading(study, dataset) + plot
        for (dataset, unit, split), found in rows.groupby(["dataset", "unit", "split"], sort=False)
        if (plot := chart.dots(one_each(found), f"accuracy on {split} ({unit})", f"accuracy on {dataset}"))
    ]
    return Markup("").join(charts) or None
