"""What are the latents good for? Probes, clusters and maps

The latents of an image are what a model keeps of it. Good latents need few labels for classification. Each panel shows the
accuracy of two probes on the latents of test images against the number of labeled images per class: a linear classifier, and k
nearest neighbors (k-NN). Dashed lines are the same probes after principal component analysis (PCA) with as many dimensions.
Latents below their dashed line cost training and gain nothing. The model with the best accuracy for all labels comes first.

The table also has scores of latents without labels. Normalized mutual information (NMI) and adjusted Rand index (ARI) compare
clusters of latents with the classes: 1 for perfect agreement; ARI is 0 by chance. Trustworthiness says how far neighbors in the
map are neighbors among the latents. Below each value stands that of PCA. The maps show latents of test images in two dimensions
(t-SNE), with a color and a digit per class. Distances between groups that are far apart mean little.
"""

import io

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import CLASS_COLORS, MUTED
from pofxy.report.charts.curves import families_of, mean_curves
from pofxy.report.charts.gallery import Picture, gallery
from pofxy.report.charts.layout import grid, stack
from pofxy.report.charts.line_labels import end_of, label_ends
from pofxy.report.charts.scales import log_axis
from pofxy.report.charts.tables import BOLD, number_table
from pofxy.report.study import Study, data_uri
from pofxy.report.wording import number

ORDER = 56
METRICS = {
    "linear_probe": "linear probe",
    "latent_knn_accuracy": "k-NN",
    "latent_nmi": "NMI of clusters",
    "latent_ari": "ARI of clusters",
    "latent_trustworthiness": "trustworthiness",
}
MAP = "predictions/latent_map.npy"
# The two probes, each with its color.
PROBES = {"linear probe": "#0072b2", "k-NN": "#009e73"}
# Before the name of a probe: the same after principal component analysis.
BASELINE = "PCA, "
# The probe whose curve a metric is the mean of.
PROBE_OF = {"linear_probe": "linear probe", "latent_knn_accuracy": "k-NN"}


def latents(study: Study, dataset: str) -> Markup | None:
    """Panels, a table and maps; None where no model has latents."""
    return stack(_curves(study, dataset), _table(study, dataset), _maps(study, dataset))


def _curves(study: Study, dataset: str) -> Markup | None:
    rows = mean_curves(study, dataset, "latent_probe")
    own = rows[~rows["condition"].str.startswith(BASELINE)]
    accuracy = own[own["at"] == own["at"].max()].groupby("model")["value"].max()
    order = dict.fromkeys([*accuracy.sort_values(ascending=False, kind="stable").index, *rows["model"]])
    low = min(rows["value"].min() - 0.03, 0.9)
    return grid([_panel(dataset, model, rows[rows["model"] == model], low) for model in order])


def _panel(dataset: str, model: str, rows: pd.DataFrame, low: float) -> Markup:
    with axes(2.95, 2.1) as (figure, plot):
        ends = []
        for condition, line in rows.groupby("condition", sort=False):
            line = line.set_index("at")["value"].sort_index()
            probe = str(condition).removeprefix(BASELINE)
            color = PROBES.get(probe, MUTED)
            if str(condition).startswith(BASELINE):
                plot.plot(line, color=color, alpha=0.75, linestyle=(0, (3, 2)), linewidth=1)
            else:
                plot.plot(line, color=color, marker="o", markersize=3, linewidth=1.6)
                ends.append(end_of(line, probe, ""))
        places = np.sort(rows["at"].unique())
        log_axis(plot.xaxis, places)
        last = "all" if places[-1] > 10 else f"{places[-1]:g}"
        plot.set_xticks(places, [*(f"{place:,.4g}" for place in places[:-1]), last])
        plot.set_ylim(low, 1.02)
        plot.set_title(model)
        plot.set_xlabel("labeled images per class")
        plot.set_ylabel("accuracy")
        label_ends(plot, ends, tuple(PROBES))
        return svg(figure, f"accuracy on latents of {model} by labeled images per class on {dataset}")


def _table(study: Study, dataset: str) -> Markup | None:
    scores = study.summary[(study.summary["dataset"] == dataset) & study.summary["metric"].isin(METRICS)]
    if scores.empty:
        return None
    metrics = [metric for metric in METRICS if metric in set(scores["metric"])]
    families = families_of(scores)
    values = scores.pivot_table(index="model", columns="metric", values="value").reindex(columns=metrics)
    values = values.sort_values(metrics[0], ascending=False, kind="stable")
    curves = mean_curves(study, dataset, "latent_probe")
    rows = []
    for model, row in values.iterrows():
        baselines = _baselines(study, dataset, str(model), curves[curves["model"] == model])
        cells = [_cell(row[metric], baselines.get(metric)) for metric in metrics]
        rows.append((str(model), families[str(model)], cells))
    return number_table(f"scores of latents on {dataset}", [METRICS[metric] for metric in metrics], rows)


def _baselines(study: Study, dataset: str, model: str, curves: pd.DataFrame) -> dict[str, float]:
    """The scores of principal component analysis with as many dimensions as the model's latents, by metric."""
    means = curves.groupby("condition")["value"].mean()
    baselines = {metric: means[BASELINE + probe] for metric, probe in PROBE_OF.items() if BASELINE + probe in means}
    return baselines | (study.evaluation(dataset, model, study.first_seed(dataset, model)).get("baselines") or {})


def _cell(value: float, baseline: float | None) -> tuple[Markup | str, str]:
    """The value, bold where it is above that of principal component analysis, which stands below it."""
    if not np.isfinite(value):
        return "", ""
    if baseline is None:
        return number(value, 3), ""
    cell = Markup("{}<small>PCA {}</small>").format(number(value, 3), number(baseline, 3))
    return cell, BOLD if value > baseline else ""


def _maps(study: Study, dataset: str) -> Markup | None:
    path = study.results / "data" / dataset / "test_y.npy"
    if not path.is_file():
        return None
    y = np.load(path)
    pictures = []
    for model, family in study.pictured(dataset, MAP):
        points = np.load(study.folder(dataset, model, study.first_seed(dataset, model)) / MAP)
        if points.ndim == 2 and points.shape[1] == 2 and len(points) <= len(y):
            pictures.append(Picture(model, family, data_uri(_scatter(points, y[: len(points)]))))
    return gallery(pictures, "map of latents", "smooth")


def _scatter(points: np.ndarray, y: np.ndarray) -> bytes:
    """PNG of points (N, 2) in the colors of their classes (N,): for five hundred points it is smaller than SVG."""
    with axes(2.9, 2.9) as (figure, plot):
        plot.scatter(*points.T, s=9, c=[CLASS_COLORS[k % len(CLASS_COLORS)] for k in y], alpha=0.75, linewidth=0)
        for k in np.unique(y):
            middle = np.median(points[y == k], axis=0)
            color = CLASS_COLORS[k % len(CLASS_COLORS)]
            box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": color, "linewidth": 1.2, "alpha": 0.9}
            plot.annotate(str(k), (middle[0], middle[1]), ha="center", va="center", fontsize=8, fontweight="bold", bbox=box)
        # A few points far away must not press the others together.
        low, high = np.quantile(points, [0.005, 0.995], axis=0)
        margin = 0.08 * (high - low + 1e-9)
        plot.set_xlim(low[0] - margin[0], high[0] + margin[0])
        plot.set_ylim(low[1] - margin[1], high[1] + margin[1])
        plot.set_xticks([])
        plot.set_yticks([])
        plot.spines[:].set_visible(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, facecolor="white")
        return buffer.getvalue()
