"""What quality costs

Seconds of fitting, and megabytes of the saved model, against quality; the axes of cost are logarithmic. The grey line joins the
models that no other beats in both: a model off the line costs more and gives less than some model on it. Seconds are those of the
machine named below, and depend on it.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart

ORDER = 70
COSTS = {"fit_seconds": ("seconds to fit", 1), "model_bytes": ("megabytes of the model", 1e6)}
QUALITIES = {"accuracy": "accuracy", "frechet_distance": "Fréchet distance"}


def cost(study):
    """A scatter plot for each data set, cost and quality; None where nothing was scored."""
    parts = []
    for dataset in study.datasets:
        plots = [_scatter(study, dataset, cost_name, quality) for quality in QUALITIES for cost_name in COSTS]
        if any(plots):
            panels = Markup('<div class="panels two">{}</div>').format(Markup("").join(filter(None, plots)))
            parts.append(chart.heading(study, dataset) + panels)
    return Markup("").join(parts) or None


def _scatter(study, dataset: str, cost_name: str, quality: str):
    rows = study.summary
    rows = rows[(rows["dataset"] == dataset) & (rows["metric"] == quality) & (rows["family"] != "reference")]
    if rows.empty:
        return None
    title, one = COSTS[cost_name]
    rows = rows.assign(cost=rows["model"].map(study.costs(dataset)[cost_name]) / one)
    log = quality == "frechet_distance"
    rows = rows[np.isfinite(rows["value"]) & (rows["cost"] > 0) & ((rows["value"] > 0) | (not log))]
    if len(rows) < 2:  # one model alone costs neither more nor less
        return None
    better = rows["higher_is_better"].iloc[0]
    rows = rows.sort_values(["cost", "value"], ascending=[True, not better])
    # Kept: what is better than everything that is cheaper.
    best = rows["value"].cummax() if better else rows["value"].cummin()
    front = rows[(rows["value"] == best) & ~best.duplicated()]
    with chart.axes(3.6, 2.5) as (figure, plot):
        plot.step(front["cost"], front["value"], where="post", color="#b5bac4", linewidth=1, zorder=1)
        colours = [chart.COLOURS.get(family, chart.MUTED) for family in rows["family"]]
        plot.scatter(rows["cost"], rows["value"], s=26, c=colours, zorder=2)
        chart.log_axis(plot.xaxis, rows["cost"])
        if log:
            chart.log_axis(plot.yaxis, rows["value"])
        plot.margins(0.12)
        plot.set_xlabel(title)
        plot.set_title(f"{QUALITIES[quality]}, {'higher' if better else 'lower'} is better")
        # The names of the best come first; a name that would cover another is left to the table.
        _name(figure, plot, [*front.itertuples(), *rows.drop(front.index).itertuples()])
        return chart.svg(figure, f"{QUALITIES[quality]} against {title} on {dataset}")


def _name(figure, plot, rows) -> None:
    figure.canvas.draw()
    middle, taken = plot.get_window_extent().x0 + plot.get_window_extent().width / 2, []
    for row in rows:
        right = plot.transData.transform((row.cost, row.value))[0] > middle
        offset, side = ((3, 4), "right") if right else ((-3, 4), "left")
        text = plot.annotate(row.model, (row.cost, row.value), offset, textcoords="offset points", fontsize=7, ha=side)
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)
