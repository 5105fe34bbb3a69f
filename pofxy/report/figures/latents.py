"""What the codes are good for

A code is what a model keeps of an image. If it keeps what matters, a few labelled codes suffice to classify: each panel shows the
accuracy of a linear classifier and of nearest neighbours on the codes of test images, after some labelled images per class. The
dashed lines are the same after principal component analysis at as many dimensions: a code below its dashed line has cost training
and gained nothing. The model that is best with all labels comes first.

The table asks for the classes without labels: clusters of codes against classes (NMI and ARI: 1 for the classes themselves, ARI 0
for chance), and whether neighbours among codes are neighbours among images (trustworthiness). Below each value stands that of
principal component analysis. The maps show codes of test images in two dimensions, a colour and a digit for each class; distances
between far groups mean little.
"""

import io

import numpy as np
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.study import data_uri
from pofxy.report.wording import number

ORDER = 56
METRICS = {
    "linear_probe": "linear probe",
    "latent_knn_accuracy": "k-NN",
    "latent_nmi": "NMI of clusters",
    "latent_ari": "ARI of clusters",
    "latent_trustworthiness": "trustworthiness",
}
MAP = "predictions/codes_map.npy"
# Two ways to classify, each in a colour of its own, after the model's code and, dashed, after principal components.
WAYS = {"linear probe": "#0072b2", "k-NN": "#009e73"}
BASELINE = "PCA, "
MEANS = dict(zip(METRICS, WAYS))
BETTER = "font-weight:700"


def latents(study):
    """Panels, a table and maps for each data set; None where no model has codes."""
    parts = []
    for dataset in study.datasets:
        shown = [part for part in (_curves(study, dataset), _table(study, dataset), _maps(study, dataset)) if part]
        parts += [chart.heading(study, dataset) + chart.stack(*shown)] if shown else []
    return Markup("").join(parts) or None


def _curves(study, dataset: str) -> Markup | None:
    rows = chart.curve(study, dataset, "latent_probe")
    if rows.empty:
        return None
    own = rows[~rows["condition"].str.startswith(BASELINE)]
    last = own[own["at"] == own["at"].max()].groupby("model")["value"].max()
    order = [*last.sort_values(ascending=False, kind="stable").index]
    order += [model for model in rows["model"].unique() if model not in order]
    low = min(rows["value"].min() - 0.03, 0.9)
    return chart.grid([_panel(dataset, model, rows[rows["model"] == model], low) for model in order])


def _panel(dataset: str, model: str, rows, low: float) -> Markup:
    with chart.axes(2.95, 2.1) as (figure, plot):
        ends = []
        for condition, line in rows.groupby("condition", sort=False):
            way, plain = condition.removeprefix(BASELINE), condition.startswith(BASELINE)
            line, colour = line.sort_values("at"), WAYS.get(way, chart.MUTED)
            style = {"linestyle": (0, (3, 2)), "linewidth": 1} if plain else {"marker": "o", "markersize": 3, "linewidth": 1.6}
            plot.plot(line["at"], line["value"], color=colour, alpha=0.75 if plain else 1, **style)
            if not plain:
                ends.append((line["at"].iloc[-1], line["value"].iloc[-1], way, "", False))
        places = np.sort(rows["at"].unique())
        chart.log_axis(plot.xaxis, places)
        plot.set_xticks(places, [*(f"{place:,.4g}" for place in places[:-1]), "all" if places[-1] > 10 else f"{places[-1]:g}"])
        plot.set_ylim(low, 1.02)
        plot.set_title(model)
        plot.set_xlabel("labelled images per class")
        plot.set_ylabel("accuracy")
        chart.label_ends(plot, ends, tuple(WAYS))
        return chart.svg(figure, f"accuracy on codes of {model} by labelled images per class on {dataset}")


def _table(study, dataset: str) -> Markup | None:
    found = study.summary[(study.summary["dataset"] == dataset) & study.summary["metric"].isin(METRICS)]
    if found.empty:
        return None
    metrics = [metric for metric in METRICS if metric in set(found["metric"])]
    families = dict(zip(found["model"], found["family"]))
    values = found.pivot_table(index="model", columns="metric", values="value").reindex(columns=metrics)
    values = values.sort_values(metrics[0], ascending=False, kind="stable")
    rows, probes = [], chart.curve(study, dataset, "latent_probe")
    for model, row in values.iterrows():
        # Of a score that is the mean of a curve, the mean of the dashed one.
        own = probes[probes["model"] == model].groupby("condition")["value"].mean()
        baselines = {metric: own[BASELINE + way] for metric, way in MEANS.items() if BASELINE + way in own}
        baselines |= study.evaluation(dataset, model, study.first_seed(dataset, model)).get("baselines") or {}
        rows.append((model, families[model], [_cell(row[metric], baselines.get(metric)) for metric in metrics]))
    return chart.table(f"scores of codes on {dataset}", [METRICS[metric] for metric in metrics], rows)


def _cell(value: float, baseline: float | None) -> tuple[Markup | str, str]:
    """The value, bold where it is above that of principal components, which stands below it."""
    if not np.isfinite(value):
        return "", ""
    if baseline is None:
        return Markup("{}").format(number(value, 3)), ""
    cell = Markup("{}<small>PCA {}</small>").format(number(value, 3), number(baseline, 3))
    return cell, BETTER if value > baseline else ""


def _maps(study, dataset: str) -> Markup | None:
    path = study.results / "data" / dataset / "test_y.npy"
    pictured = study.pictured(dataset, MAP)
    if not pictured or not path.is_file():
        return None
    y, pictures = np.load(path), []
    for model, family in pictured:
        points = np.load(study.folder(dataset, model, study.first_seed(dataset, model)) / MAP)
        if points.ndim == 2 and points.shape[1] == 2 and len(points) <= len(y):
            pictures.append((model, family, data_uri(_scatter(points, y[: len(points)])), ""))
    return chart.gallery(pictures, "map of codes", "smooth") if pictures else None


def _scatter(points: np.ndarray, y: np.ndarray) -> bytes:
    """PNG of points (N, 2) in the colours of their classes (N,): five hundred of them are smaller so than as SVG."""
    with chart.axes(2.9, 2.9) as (figure, plot):
        plot.scatter(*points.T, s=9, c=[chart.CLASSES[k % len(chart.CLASSES)] for k in y], alpha=0.75, linewidth=0)
        for k in np.unique(y):
            middle, colour = np.median(points[y == k], axis=0), chart.CLASSES[k % len(chart.CLASSES)]
            box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": colour, "linewidth": 1.2, "alpha": 0.9}
            plot.annotate(str(k), middle, ha="center", va="center", fontsize=8, fontweight="bold", bbox=box)
        # A few far codes must not press the others together.
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
