"""Does a model repeat its train images? Memorization

In each group of four images, the left one is a sample, and the others are the three train images that are nearest to it in pixel
space. A sample that equals its neighbor is memorized. A sample that only resembles its neighbor is not. `copycat` repeats train
images, for comparison.

The table covers all samples. The nearest-neighbor ratio is the mean distance from samples to their nearest train image, divided
by that to their nearest test image: about 1 for new images, near 0 for copies. The test's null hypothesis is that samples are no
closer to train images than to test images. Its p-values are adjusted for the number of models by Holm's method. Where
`real_train` is rejected as well, the train and test splits differ, and only a ratio below that of `real_train` indicates
memorization. Authenticity is the share of samples that are no near copy of a train image. A red value indicates memorization.
"""

from typing import cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.curves import families_of
from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.charts.layout import stack
from pofxy.report.charts.tables import BOLD, number_table
from pofxy.report.comparison import one_each
from pofxy.report.study import Study
from pofxy.report.verdicts.memorization import memorized, too_near
from pofxy.report.wording import metric_name, number

ORDER = 41
PICTURE = "pictures/nearest.png"
COPYCAT = "copycat"
P_VALUE = "memorization_p_value"
# Metrics, each with its decimals.
METRICS = {"nearest_neighbor_ratio": 2, P_VALUE: 3, "authenticity": 3}
ALARM = f"color:var(--alarm);{BOLD}"


def memorization(study: Study, dataset: str) -> Markup | None:
    """A table and pictures; None where nothing was sampled."""
    authenticity = _authenticity(study, dataset)
    pictures = [p for p in model_pictures(study, dataset, PICTURE) if p.family != "reference" or p.name == COPYCAT]
    pictures.sort(key=lambda picture: (picture.family == "reference", authenticity.get(picture.name, np.inf)))
    shown = gallery(pictures, "samples, each beside its nearest train images", "wide")
    return stack(_table(study, dataset, authenticity), shown)


def _authenticity(study: Study, dataset: str) -> dict[str, float]:
    """By model; the lowest looks most like memorization."""
    rows = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "authenticity")]
    return dict(zip(rows["model"], rows["value"].fillna(np.inf)))


def _table(study: Study, dataset: str, authenticity: dict[str, float]) -> Markup | None:
    scores = study.summary[(study.summary["dataset"] == dataset) & study.summary["metric"].isin(METRICS)]
    if scores.empty:
        return None
    p_values, low_authenticity = memorized(study, dataset)
    suspects = {P_VALUE: too_near(study, dataset, p_values), "authenticity": set(low_authenticity)}
    values = pd.concat([one_each(rows) for _, rows in scores.groupby("metric")])
    values = values.pivot(index="model", columns="metric", values="value")
    metrics = [metric for metric in METRICS if metric in values]
    values = values.reindex(columns=metrics)
    families = families_of(scores)
    rows = []
    for model in sorted(values.index, key=lambda model: (families[model] == "reference", authenticity.get(model, np.inf))):
        cells = []
        for metric, value in zip(metrics, cast("pd.Series", values.loc[model]), strict=True):
            if metric == P_VALUE and model in p_values:
                value = p_values[model]
            cells.append((_text(value, METRICS[metric]), ALARM if model in suspects.get(metric, ()) else ""))
        rows.append((model, families[model], cells))
    return number_table(f"signs of memorization on {dataset}", [metric_name(metric) for metric in metrics], rows)


def _text(value: float, decimals: int) -> str:
    if not np.isfinite(value):
        return ""
    return "< 0.001" if 0 <= value < 0.001 else number(value, decimals)
