"""Training diagnostics

Gradient norms of adversarial pairs, on a logarithmic axis: a norm that grows without end, or vanishes, is a sign of divergence.
Shares: how often the discriminator tells real images from samples (0.5 is chance); how diverse the samples of a class are
relative to its train images (1 for equal diversity, 0 for a mode collapse); how much of a codebook is in use. The other panels
show the terms of a loss, and what was estimated during training, such as a critic's estimate of the Wasserstein distance.
"""

import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.layout import grid
from pofxy.report.histories import histories_of_models, history_panel
from pofxy.report.study import Study

ORDER = 61
NORM = "gradient_norm"
SHARES = ("accuracy", "diversity", "use")


def training_diagnostics(study: Study, dataset: str) -> Markup | None:
    """Panels for each model that recorded more than losses; None where none did."""
    recorded = histories_of_models(study, dataset)
    return grid([panel for model, histories in recorded.items() for panel in _panels(dataset, model, histories)])


def _panels(dataset: str, model: str, histories: list[pd.DataFrame]) -> list[Markup]:
    others = [name for name in histories[0].columns if name not in ("epoch", "seconds") and not name.endswith("loss")]
    norms = [name for name in others if name.endswith(NORM)]
    shares = [name for name in others if name.endswith(SHARES)]
    terms = [name for name in others if name not in norms + shares]
    panels = []
    if norms:
        panels.append(history_panel(model, f"gradient norms in training {model} on {dataset}", histories, norms, yscale="log"))
    if shares:
        panels.append(history_panel(model, f"shares in training {model} on {dataset}", histories, shares))
    # Terms have units of their own; a term on val stands beside the same term on train.
    for name in (name for name in terms if "val_" not in name):
        columns = [column for column in (name, f"val_{name}") if column in terms]
        label = f"{name.replace('_', ' ')} in training {model} on {dataset}"
        panels.append(history_panel(model, label, histories, columns))
    return panels
