"""Distance of samples

The Fréchet distance between the features of samples and those of test images, with its interval, on a logarithmic axis, the
best on top. The dashed lines are the scale: `real_train`, real images in place of samples, is the floor that no honest model
passes by much; `independent_pixels`, every pixel drawn by itself, is a ceiling. A model below the floor deserves suspicion: it
may repeat its training images.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 38


def sample_distance(study):
    """A dot plot for each data set; None where nothing was sampled."""
    charts = []
    for dataset, found in study.summary[study.summary["metric"] == "frechet_distance"].groupby("dataset", sort=False):
        references = found[found["family"] == "reference"]
        plot = chart.dots(
            found[found["family"] != "reference"],
            f"Fréchet distance ({found['unit'].iloc[0]})",
            f"Fréchet distance of samples on {dataset}",
            log=True,
            lines={row.model: row.value for row in references.itertuples() if row.value > 0},
        )
        charts += [chart.heading(study, dataset) + plot] if plot else []
    return Markup("").join(charts) or None
