"""Denoising

Test images with Gaussian noise of standard deviation sigma, where black is 0 and white is 1, are reconstructed by the model. The
error is the mean squared difference to the clean image. A model that was never trained on noise can still remove it, as its
latents have no room for noise. Two baselines need no training: a Gaussian filter, which blurs (dashed), and the mean train image,
which ignores the noisy image (dotted). A model above the dotted line is worse than ignoring the image. The pictures show test
images, the same images with noise of sigma 0.3, and their reconstructions.
"""

import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import MUTED, family_color
from pofxy.report.charts.curves import mean_curves
from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.charts.layout import stack
from pofxy.report.charts.line_labels import end_of, label_ends
from pofxy.report.charts.scales import log_axis
from pofxy.report.study import Study

ORDER = 52
PICTURE = "pictures/denoised.png"
MODEL = "model"
# Of the baselines' lines, in their order.
DASHES = ((0, (4, 1.5)), (0, (1, 1.5)))


def denoising(study: Study, dataset: str) -> Markup | None:
    """A chart of the errors and pictures; None where no model was tested."""
    rows = mean_curves(study, dataset, "denoising")
    if not (rows["condition"] == MODEL).any():
        return None
    return stack(_chart(dataset, rows), gallery(model_pictures(study, dataset, PICTURE), "denoised images", "wide"))


def _chart(dataset: str, rows: pd.DataFrame) -> Markup:
    models = rows[rows["condition"] == MODEL]
    # They are the same for all models: one line each.
    baselines = rows[rows["condition"] != MODEL].groupby(["condition", "at"], sort=False)["value"].mean()
    best = models.groupby("model")["value"].mean().idxmin()
    with axes(4.7, max(2.8, 0.8 + 0.14 * (models["model"].nunique() + 2))) as (figure, plot):
        ends = []
        for (name, line), dashes in zip(baselines.groupby("condition", sort=False), DASHES):
            line = line.droplevel("condition").sort_index()
            plot.plot(line, color=MUTED, linestyle=dashes, linewidth=1.2)
            ends.append(end_of(line, str(name), "reference"))
        for key, line in models.groupby(["model", "family"], sort=False):
            model, family = map(str, key)
            line = line.set_index("at").sort_index()
            bold = model == best
            plot.plot(line["value"], "o-", color=family_color(family), linewidth=2 if bold else 1, markersize=3)
            plot.fill_between(line.index, line["low"], line["high"], color=family_color(family), alpha=0.12, linewidth=0)
            ends.append(end_of(line["value"], model, family, bold))
        log_axis(plot.yaxis, rows["value"])
        plot.set_xlim(0, rows["at"].max() * 1.03)
        plot.set_xticks(sorted(rows["at"].unique()))
        plot.set_xlabel("sigma of the noise")
        plot.set_ylabel("mean squared error")
        label_ends(plot, ends)
        return svg(figure, f"error after denoising by the noise's sigma on {dataset}", zoom=1.25)
