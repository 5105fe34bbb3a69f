"""Training curves

What each model minimised, epoch by epoch: solid on the train split, dashed on val, one line for each seed and player. A dashed
line that turns up while the solid one falls is overfitting; the parameters of its lowest point are the ones that were kept. Each
panel has its own axis, since losses of different models are in different units. The two losses of an adversarial pair measure
their balance, not their progress. Models without epochs (a closed form, a solver) have no panel.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 60
# Beyond the two families' own colours, for the second player of a pair.
PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]


def training_curves(study):
    """A panel for each model with a history; None where there is none."""
    parts, runs = [], study.runs[study.runs["family"] != "judge"]
    for dataset in study.datasets:
        panels = [
            _panel(f"{dataset}: {model}", model, histories)
            for model, seeds in runs[runs["dataset"] == dataset].groupby("model", sort=False)
            if (histories := [h for seed in seeds["seed"] if (h := study.history(dataset, model, seed)) is not None])
        ]
        if panels:
            parts.append(chart.heading(study, dataset) + Markup('<div class="panels">{}</div>').format(Markup("").join(panels)))
    return Markup("").join(parts) or None


def _panel(label: str, model: str, histories: list):
    losses = [name for name in histories[0] if name.endswith("loss")]
    players = list(dict.fromkeys(name.removeprefix("val_") for name in losses))
    with chart.axes(2.9, 2.0) as (figure, plot):
        shown = []
        for history in histories:
            for name in (name for name in losses if name in history):
                player = name.removeprefix("val_")
                plot.plot(
                    history["epoch"],
                    history[name],
                    color=PALETTE[players.index(player) % len(PALETTE)],
                    linestyle="--" if name.startswith("val_") else "-",
                    marker="o" if len(history) == 1 else None,
                    markersize=3,
                    alpha=1 if len(histories) == 1 else 0.6,
                    label=("val " if name.startswith("val_") else "train " if f"val_{name}" in history else "")
                    + player.replace("_", " ")
                    if history is histories[0]
                    else None,
                )
                # The fall of the first epochs would flatten all that comes after it.
                shown.extend(history[name].iloc[len(history) // 20 :])
        low, high = min(shown, default=0), max(shown, default=1)
        plot.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
        plot.set_title(model)
        plot.set_xlabel("epoch")
        plot.locator_params(nbins=5)
        plot.xaxis.get_major_locator().set_params(integer=True)
        if losses:
            plot.legend(fontsize=6.5, handlelength=1.6)
        return chart.svg(figure, f"training curves of {label}")
