"""Samples and the train images nearest to them

Left of each group of four a sample, right of it the three train images that are nearest to it, pixel by pixel. A sample that
equals its neighbour was learned by heart; one that only resembles it was not. `copycat` repeats train images, for comparison.

The table says the same for all samples. The ratio sets their distance from the nearest train image against that of test images:
around 1 for new images, near 0 for copies. The test asks whether samples lie nearer to train images than to test images; its
p-values are adjusted for the number of models by Holm's method. Where `real_train` fails it as well, train and test are not
alike, and only a ratio below its own speaks for memory. Authenticity is the share of samples that are no near copies of a
train image. A red value speaks for memory.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.comparison import one_each
from pofxy.report.verdicts.memorization import memorized, too_near
from pofxy.report.wording import metric_name, number

ORDER = 41
PICTURE, COPIES = "pictures/nearest.png", "copycat"
METRICS = {"nearest_neighbor_ratio": 2, "memorization_p_value": 3, "authenticity": 3}
ALARM = "color:var(--alarm);font-weight:700"


def memorization(study):
    """A table and pictures for each data set; None where nothing was sampled."""
    parts = []
    for dataset in study.datasets:
        pictures = [
            (model, family, study.picture(dataset, model, PICTURE), "")
            for model, family in study.pictured(dataset, PICTURE)
            if family != "reference" or model == COPIES
        ]
        order = _order(study, dataset)
        pictures.sort(key=lambda picture: (picture[1] == "reference", order.get(picture[0], np.inf)))
        gallery = chart.gallery(pictures, "samples, each beside its nearest train images", "wide") if pictures else None
        if (table := _table(study, dataset)) or gallery:
            parts.append(chart.heading(study, dataset) + chart.stack(table, gallery))
    return Markup("").join(parts) or None


def _order(study, dataset: str) -> dict[str, float]:
    """By model, what looks most like memory first: its authenticity."""
    rows = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "authenticity")]
    return dict(zip(rows["model"], rows["value"].fillna(np.inf)))


def _table(study, dataset: str) -> Markup | None:
    found = study.summary[(study.summary["dataset"] == dataset) & study.summary["metric"].isin(METRICS)]
    if found.empty:
        return None
    p, low = memorized(study, dataset)
    suspects = too_near(study, dataset, p)
    values = pd.concat([one_each(rows) for _, rows in found.groupby("metric")])
    values = values.pivot(index="model", columns="metric", values="value")
    values = values.reindex(columns=[metric for metric in METRICS if metric in values])
    families = dict(zip(found["model"], found["family"]))
    worst, rows = _order(study, dataset), []
    for model in sorted(values.index, key=lambda model: (families[model] == "reference", worst.get(model, np.inf))):
        cells = []
        for metric, value in values.loc[model].items():
            value = p.get(model, value) if metric == "memorization_p_value" else value
            suspect = model in {"memorization_p_value": suspects, "authenticity": low}.get(metric, ())
            text = "" if not np.isfinite(value) else "< 0.001" if 0 <= value < 0.001 else number(value, METRICS[metric])
            cells.append((text, ALARM if suspect else ""))
        rows.append((model, families[model], cells))
    return chart.table(f"signs of memorization on {dataset}", [metric_name(metric) for metric in values], rows)
