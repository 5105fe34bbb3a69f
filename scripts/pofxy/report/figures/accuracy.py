"""Accuracy

The share of test images whose label is right, with its interval, the best on top; blue models are discriminative, orange ones
generative and classify by Bayes' rule. Where two intervals overlap, the order of the two is not settled by this study.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 20


def accuracy(study):
    """A dot plot for each data set; None where nothing was classified."""
    rows = study.summary[study.summary["metric"] == "accuracy"]
    charts = [
        chart.heading(study, dataset) + plot
        for (dataset, unit, split), found in rows.groupby(["dataset", "unit", "split"], sort=False)
        if (plot := chart.dots(found, f"accuracy on {split} ({unit})", f"accuracy on {dataset}"))
    ]
    return Markup("").join(charts) or None
