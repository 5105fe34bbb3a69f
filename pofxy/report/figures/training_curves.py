"""Training curves

The loss that each model minimizes, by epoch: solid on the train split, dashed on val, one line per seed and objective. A dashed
line that rises while the solid one falls is overfitting; the parameters of its lowest point are kept (early stopping). Each panel
has its own axis, as losses of different models have different units. The two losses of an adversarial pair show their balance,
not their progress. Models without epochs (a closed form, a solver) have no panel.
"""

from markupsafe import Markup

from pofxy.report.charts.layout import grid
from pofxy.report.histories import histories_of_models, history_panel
from pofxy.report.study import Study

ORDER = 60


def training_curves(study: Study, dataset: str) -> Markup | None:
    """A panel per model with a history; None where there is none."""
    panels = []
    for model, histories in histories_of_models(study, dataset).items():
        losses = [name for name in histories[0].columns if name.endswith("loss")]
        panels.append(history_panel(model, f"training curves of {dataset}: {model}", histories, losses))
    return grid(panels)
