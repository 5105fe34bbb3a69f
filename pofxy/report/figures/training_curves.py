"""Training curves

What each model minimised, epoch by epoch: solid on the train split, dashed on val, one line for each seed and objective. A dashed
line that turns up while the solid one falls is overfitting; the parameters of its lowest point are the ones that were kept. Each
panel has its own axis, since losses of different models are in different units. The two losses of an adversarial pair measure
their balance, not their progress. Models without epochs (a closed form, a solver) have no panel.
"""

from markupsafe import Markup

from pofxy.report import chart, histories

ORDER = 60


def training_curves(study):
    """A panel for each model with a history; None where there is none."""
    parts = []
    for dataset in study.datasets:
        panels = [
            histories.panel(
                model, f"training curves of {dataset}: {model}", found, [name for name in found[0] if name.endswith("loss")]
            )
            for model, found in histories.of_models(study, dataset).items()
        ]
        if panels:
            parts.append(chart.heading(study, dataset) + chart.grid(panels))
    return Markup("").join(parts) or None
