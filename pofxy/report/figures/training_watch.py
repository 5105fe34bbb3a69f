"""What else was watched in training

Of adversarial pairs, the norm of each objective's gradient, on a logarithmic axis: one that grows without end, or dies away, is a
game that is lost. Then shares: how often the discriminator tells real from drawn, 0.5 where it cannot; how diverse samples are
beside train images of their class, 1 where they are alike in this, 0 where all samples are one (a collapse); how much of a
codebook is in use. Then all that a loss is made of, or that was estimated on the way, as the Wasserstein distance by a critic.
"""

from markupsafe import Markup

from pofxy.report import chart, histories

ORDER = 61
NORM = "gradient_norm"
SHARES = ("accuracy", "diversity", "use")


def training_watch(study):
    """Panels for each model that recorded more than losses; None where none did."""
    parts = []
    for dataset in study.datasets:
        panels = [
            panel for model, found in histories.of_models(study, dataset).items() for panel in _panels(dataset, model, found)
        ]
        if panels:
            parts.append(chart.heading(study, dataset) + chart.grid(panels))
    return Markup("").join(parts) or None


def _panels(dataset: str, model: str, found: list) -> list[Markup]:
    others = [name for name in found[0] if name not in ("epoch", "seconds") and not name.endswith("loss")]
    norms = [name for name in others if name.endswith(NORM)]
    shares = [name for name in others if name.endswith(SHARES)]
    terms = [name for name in others if name not in norms + shares]
    groups = {"gradient norms": norms, "shares": shares}
    # Terms are in units of their own; a term on val stands beside the same one on train.
    groups |= {
        name.replace("_", " "): [name] + [f"val_{name}"] * (f"val_{name}" in terms) for name in terms if "val_" not in name
    }
    return [
        histories.panel(model, f"{what} in training {model} on {dataset}", found, columns, log=columns == norms)
        for what, columns in groups.items()
        if columns
    ]
