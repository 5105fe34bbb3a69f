"""Learning to draw

What generators that are trained in steps drew on the way: a row for each of the epochs named, the same noise and the same classes
in every row. Shapes come first, then variety; where the rows stop changing, training could have been shorter. A row of one image
ten times is a collapse: see the diversity among the training's other curves.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 11
PICTURE = "snapshots/samples.png"


def learning_to_draw(study):
    """A picture for each model with samples on the way; None where there is none."""
    parts = []
    for dataset in study.datasets:
        pictures = [
            (model, family, study.picture(dataset, model, PICTURE), _epochs(study, dataset, model))
            for model, family in study.pictured(dataset, PICTURE)
        ]
        parts += [chart.heading(study, dataset) + chart.gallery(pictures, "samples on the way")] if pictures else []
    return Markup("").join(parts) or None


def _epochs(study, dataset: str, model: str) -> str:
    """The epochs of the picture's rows, which are those of the model's first seed."""
    epochs = study.train(dataset, model, study.first_seed(dataset, model)).get("snapshots") or []
    return f"epochs {', '.join(map(str, epochs))}" if epochs else ""
