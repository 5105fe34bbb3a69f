"""Bits per dimension

How long an image is in the model's code, for each pixel and channel; shorter is better, the best on top. A filled dot is the
exact value. A hollow one is a bound, named at the right: the true value lies at the dot or to the left of it, so a hollow dot
left of a filled one wins, while one to its right has not lost for certain.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 40


def bits_per_dim(study):
    """A dot plot for each data set and unit; None where no density was judged."""
    rows = study.summary[study.summary["metric"] == "bits_per_dim"]
    rows = rows.assign(hollow=rows["bound"], note=rows["estimator"])
    charts = [
        chart.heading(study, dataset) + plot
        for (dataset, unit), found in rows.groupby(["dataset", "unit"], sort=False)
        if (plot := chart.dots(found, f"bits per dimension ({unit})", f"{unit} on {dataset}"))
    ]
    return Markup("").join(charts) or None
