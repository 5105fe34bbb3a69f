"""Denoising

Test images with Gaussian noise of standard deviation sigma, on a scale where black is 0 and white 1, as they come back through
the model; the error is the mean squared difference to the clean image. A model that never saw noise can still take it out, as its
code has no room for it. Two that know nothing are there for comparison: a Gaussian filter, which blurs (dashed), and the mean
train image (dotted), which is what ignoring the image would give. A model above the dotted line does harm. The pictures show test
images, the same under noise of sigma 0.3, and what comes back.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 52
PICTURE, MODEL = "pictures/denoised.png", "model"
DASHES = ((0, (4, 1.5)), (0, (1, 1.5)))


def denoising(study):
    """A chart of the errors and pictures for each data set; None where no model was tested."""
    parts = []
    for dataset in study.datasets:
        rows = chart.curve(study, dataset, "denoising")
        if (rows["condition"] == MODEL).any():
            pictured = study.pictured(dataset, PICTURE)
            pictures = [(model, family, study.picture(dataset, model, PICTURE), "") for model, family in pictured]
            gallery = chart.gallery(pictures, "denoised images", "wide") if pictures else None
            parts.append(chart.heading(study, dataset) + chart.stack(_chart(dataset, rows), gallery))
    return Markup("").join(parts) or None


def _chart(dataset: str, rows) -> Markup:
    models = rows[rows["condition"] == MODEL]
    # They are the same for all models: one line each.
    baselines = rows[rows["condition"] != MODEL].groupby(["condition", "at"], sort=False, as_index=False)["value"].mean()
    with chart.axes(4.7, max(2.8, 0.8 + 0.14 * (models["model"].nunique() + 2))) as (figure, plot):
        ends, best = [], models.groupby("model")["value"].mean().idxmin()
        for (name, line), dashes in zip(baselines.groupby("condition", sort=False), DASHES):
            line = line.sort_values("at")
            plot.plot(line["at"], line["value"], color=chart.MUTED, linestyle=dashes, linewidth=1.2)
            ends.append((line["at"].iloc[-1], line["value"].iloc[-1], name, "reference", False))
        for (model, family), line in models.groupby(["model", "family"], sort=False):
            line, colour, bold = line.sort_values("at"), chart.COLOURS.get(family, chart.MUTED), model == best
            plot.plot(line["at"], line["value"], "o-", color=colour, linewidth=2 if bold else 1, markersize=3)
            plot.fill_between(line["at"], line["low"], line["high"], color=colour, alpha=0.12, linewidth=0)
            ends.append((line["at"].iloc[-1], line["value"].iloc[-1], model, family, bold))
        chart.log_axis(plot.yaxis, rows["value"])
        plot.set_xlim(0, rows["at"].max() * 1.03)
        plot.set_xticks(sorted(rows["at"].unique()))
        plot.set_xlabel("sigma of the noise")
        plot.set_ylabel("mean squared error")
        chart.label_ends(plot, ends)
        return chart.svg(figure, f"error after denoising by the noise's sigma on {dataset}", zoom=1.25)
