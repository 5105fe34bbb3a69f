"""Mean ranks

The comparison was made in several blocks; the most accurate model of a block has rank 1, and those that tie share their ranks.
Each model hangs at its mean rank, the best on the left. A thick bar joins models that are not apart: their ranks differ by no
more than the critical difference of Nemenyi's test, which allows for every pair being compared (J. Demšar, 2006). Gaps between
bars mean something only where Friedman's test finds that the models are not all alike. Both tests see what varies between the
blocks alone, and tell little apart where these are few.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.significance import cliques, critical_difference, friedman, mean_ranks

ORDER = 26
LEVEL = 0.05


def ranks(study):
    """A diagram of critical differences and what its blocks are; None for fewer than two blocks or two models."""
    scores = study.scores[study.scores["family"] != "reference"]
    families = dict(zip(scores["model"], scores["family"]))
    blocks, what, others = _repetitions(scores) or _training_subsets(study) or (None, "", [])
    if blocks is None:
        return None
    p = friedman(blocks.to_numpy())
    difference = critical_difference(blocks.shape[1], len(blocks), LEVEL)
    said = [f"Blocks: {what}."]
    if np.isfinite(p):
        judged = "the models are not all alike" if p < LEVEL else "the models may all be alike"
        said.append(f"Friedman's test: p {'< 0.001' if p < 0.001 else f'= {p:.2g}'}, {judged}.")
    if difference >= blocks.shape[1] - 1:
        said.append(f"{len(blocks)} blocks are too few to tell any two of {blocks.shape[1]} models apart.")
    if others:
        said.append(f"Left out, as not in all of these blocks: {', '.join(others)}.")
    diagram = _diagram(blocks, difference, families, f"mean ranks of accuracy over {what}")
    return diagram + Markup('<p class="note">{}</p>').format(" ".join(said))


def _repetitions(scores: pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]] | None:
    """Blocks by models, what the blocks are, and the models that are in too few of them."""
    found = scores[(scores["metric"] == "accuracy") & (scores["split"] != "train")]
    blocks, others = _complete(found.pivot_table(index=["dataset", "seed"], columns="model", values="value"))
    if blocks is None:
        return None
    datasets, seeds = (list(dict.fromkeys(blocks.index.get_level_values(level))) for level in ("dataset", "seed"))
    if len(datasets) == 1:
        what = f"{len(seeds)} seeds on {datasets[0]}"
    elif len(seeds) == 1:
        what = f"{len(datasets)} data sets, {', '.join(datasets)}"
    else:
        what = f"{len(blocks)} pairs of a data set and a seed, on {', '.join(datasets)}"
    return blocks, what, others


def _training_subsets(study) -> tuple[pd.DataFrame, str, list[str]] | None:
    """Stands in for seeds where there is one: the learning curve's draws, at the largest size that has several."""
    found = study.curves[(study.curves["curve"] == "learning_curve") & (study.curves["family"] != "reference")]
    for (at, dataset), rows in sorted(found.groupby(["at", "dataset"]), key=lambda group: -group[0][0]):
        blocks, others = _complete(rows.pivot_table(index="draw", columns="model", values="value"))
        if blocks is not None:
            return blocks, f"{len(blocks)} training subsets of {at:g} images per class of {dataset}", others
    return None


def _complete(table: pd.DataFrame) -> tuple[pd.DataFrame | None, list[str]]:
    """The part with most models and no gap, blocks by models, and the models outside it; None for fewer than two of either."""
    known = table.notna().sum()
    parts = [table.loc[:, known >= least].dropna() for least in known.unique()]
    parts = [part for part in parts if min(part.shape) >= 2]
    # Every model that can be had with three blocks; with two, a rank is next to nothing.
    best = max(parts, key=lambda part: (len(part) >= 3, part.shape[1], len(part)), default=None)
    return best, [] if best is None else [model for model in table if model not in best]


def _diagram(blocks: pd.DataFrame, difference: float, families: dict, label: str) -> Markup:
    rank = pd.Series(mean_ranks(blocks.to_numpy()), blocks.columns).sort_values(kind="stable")
    count, bars = len(rank), _levels(cliques(rank.to_numpy(), difference))
    first = -0.9 - 0.45 * (1 + max((level for *_, level in bars), default=-1))  # the uppermost name, in lines below the axis
    half = (count + 1) // 2
    with chart.axes(7, 0.2 * (half + 4 - first)) as (figure, plot):
        plot.set_axis_off()
        plot.set_xlim(1 - 0.04 * count, count + 0.04 * count)
        plot.set_ylim(first - half + 0.4, 3.4)
        plot.plot([1, count], [0, 0], color=chart.INK, linewidth=0.9)
        for place in range(1, count + 1):
            plot.plot([place, place], [0, 0.2], color=chart.INK, linewidth=0.9)
            plot.annotate(str(place), (place, 0.35), ha="center", va="bottom", fontsize=7.5, color=chart.MUTED)
        shown = min(difference, count - 1)
        plot.plot([1, 1 + shown], [2.1, 2.1], color=chart.INK, linewidth=0.9, marker="|", markersize=5)
        plot.annotate(f"critical difference {difference:.2f}", (1, 2.4), va="bottom", fontsize=7.5)
        for start, end, level in bars:
            ends = [rank.iloc[start] - 0.01 * count, rank.iloc[end] + 0.01 * count]
            plot.plot(ends, [-0.5 - 0.45 * level] * 2, color=chart.INK, linewidth=2.6, solid_capstyle="round")
        for place, (model, value) in enumerate(rank.items()):
            # The outermost hangs highest on either side, so that no line crosses a name.
            left = place < half
            y, x = first - (place if left else count - 1 - place), plot.get_xlim()[0 if left else 1]
            colour = chart.COLOURS.get(families.get(model), chart.MUTED)
            plot.plot([value, value, x], [0, y, y], color=colour, linewidth=0.9, clip_on=False)
            plot.plot(value, 0, "o", color=colour, markersize=4, zorder=3)
            text, side, gap = (f"{model}  {value:.2f}", "right", -4) if left else (f"{value:.2f}  {model}", "left", 4)
            plot.annotate(text, (x, y), (gap, 0), textcoords="offset points", ha=side, va="center", annotation_clip=False)
        return chart.svg(figure, label, zoom=1.2)


def _levels(groups: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(start, end, level) of each group: those of one level share no model, so that their bars do not touch."""
    placed, free = [], []
    for start, end in groups:
        level = next((level for level, taken in enumerate(free) if taken < start), len(free))
        free[level : level + 1] = [end]
        placed.append((start, end, level))
    return placed
