"""Mean ranks

The models are compared over several blocks: data sets, seeds or training subsets. The most accurate model of a block has rank 1;
tied models share the mean of their ranks. Each model stands at its mean rank over the blocks, the best on the left. A thick bar
joins models that do not differ significantly: their mean ranks differ by no more than the critical difference of the Nemenyi
test, which accounts for the comparison of all pairs (J. Demšar, "Statistical comparisons of classifiers over multiple data sets",
JMLR 7, 2006). Differences are meaningful only where the Friedman test rejects that all models are alike. Both tests see only the
variation between blocks and have little power with few blocks.
"""

from typing import cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import INK, MUTED, family_color
from pofxy.report.charts.curves import families_of
from pofxy.report.charts.layout import note
from pofxy.report.significance import cliques, critical_difference, friedman, mean_ranks
from pofxy.report.study import Study
from pofxy.report.wording import p_text

ORDER = 26
LEVEL = 0.05
# Of the diagram, in lines: the height of a bar, and where the first bar and the first name hang below the axis.
BAR = 0.45
FIRST_BAR = 0.5
FIRST_NAME = 0.9


def ranks(study: Study) -> Markup | None:
    """A critical difference diagram and a note on its blocks; None for fewer than two blocks or two models."""
    scores = study.scores[study.scores["family"] != "reference"]
    compared = _repetitions(scores) or _training_subsets(study)
    if compared is None:
        return None
    blocks, description, left_out = compared
    difference = critical_difference(blocks.shape[1], len(blocks), LEVEL)
    diagram = _diagram(blocks, difference, families_of(scores), f"mean ranks of accuracy over {description}")
    return diagram + note(_remarks(blocks, difference, description, left_out))


def _remarks(blocks: pd.DataFrame, difference: float, description: str, left_out: list[str]) -> str:
    sentences = [f"Blocks: {description}."]
    p = friedman(blocks.to_numpy())
    if np.isfinite(p):
        conclusion = "the models are not all alike" if p < LEVEL else "the models may all be alike"
        sentences.append(f"Friedman test: {p_text(p)}, {conclusion}.")
    count = blocks.shape[1]
    if difference >= count - 1:
        sentences.append(f"{len(blocks)} blocks are too few to separate any two of {count} models.")
    if left_out:
        sentences.append(f"Left out, as they lack some of these blocks: {', '.join(left_out)}.")
    return " ".join(sentences)


def _repetitions(scores: pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]] | None:
    """Blocks by models, a description of the blocks, and the models that lack some of them."""
    accuracies = scores[(scores["metric"] == "accuracy") & (scores["split"] != "train")]
    blocks, left_out = _complete(accuracies.pivot_table(index=["dataset", "seed"], columns="model", values="value"))
    if blocks is None:
        return None
    datasets, seeds = (list(dict.fromkeys(blocks.index.get_level_values(level))) for level in ("dataset", "seed"))
    if len(datasets) == 1:
        description = f"{len(seeds)} seeds on {datasets[0]}"
    elif len(seeds) == 1:
        description = f"{len(datasets)} data sets, {', '.join(datasets)}"
    else:
        description = f"{len(blocks)} pairs of a data set and a seed, on {', '.join(datasets)}"
    return blocks, description, left_out


def _training_subsets(study: Study) -> tuple[pd.DataFrame, str, list[str]] | None:
    """In place of seeds where there is one: the learning curve's subsets, at the largest size that has several."""
    curves = study.curves[(study.curves["curve"] == "learning_curve") & (study.curves["family"] != "reference")]
    for (at, dataset), rows in sorted(curves.groupby(["at", "dataset"]), key=lambda group: -cast("float", group[0][0])):
        blocks, left_out = _complete(rows.pivot_table(index="draw", columns="model", values="value"))
        if blocks is not None:
            return blocks, f"{len(blocks)} training subsets of {at:g} images per class of {dataset}", left_out
    return None


def _complete(table: pd.DataFrame) -> tuple[pd.DataFrame | None, list[str]]:
    """The part with most models and no gap, blocks by models, and the models outside it; None for fewer than two of either."""
    known = table.notna().sum()
    parts = [cast("pd.DataFrame", table.loc[:, known >= least]).dropna() for least in known.unique()]
    parts = [part for part in parts if min(part.shape) >= 2]
    # As many models as have three blocks in common: with two blocks, a rank says next to nothing.
    best = max(parts, key=lambda part: (len(part) >= 3, part.shape[1], len(part)), default=None)
    return best, [] if best is None else [model for model in table.columns if model not in best]


def _diagram(blocks: pd.DataFrame, difference: float, families: dict[str, str], label: str) -> Markup:
    """Names hang below an axis of ranks; bars join the models that do not differ significantly."""
    rank = pd.Series(mean_ranks(blocks.to_numpy()), blocks.columns).sort_values(kind="stable")
    count = len(rank)
    bars = _levels(cliques(rank.to_numpy(), difference))
    lowest_bar = max((level for *_, level in bars), default=-1)
    first = -FIRST_NAME - BAR * (1 + lowest_bar)
    half = (count + 1) // 2
    with axes(7, 0.2 * (half + 4 - first)) as (figure, plot):
        plot.set_axis_off()
        plot.set_xlim(1 - 0.04 * count, count + 0.04 * count)
        plot.set_ylim(first - half + 0.4, 3.4)
        plot.plot([1, count], [0, 0], color=INK, linewidth=0.9)
        for place in range(1, count + 1):
            plot.plot([place, place], [0, 0.2], color=INK, linewidth=0.9)
            plot.annotate(str(place), (place, 0.35), ha="center", va="bottom", fontsize=7.5, color=MUTED)
        plot.plot([1, 1 + min(difference, count - 1)], [2.1, 2.1], color=INK, linewidth=0.9, marker="|", markersize=5)
        plot.annotate(f"critical difference {difference:.2f}", (1, 2.4), va="bottom", fontsize=7.5)
        for start, end, level in bars:
            ends = [rank.iloc[start] - 0.01 * count, rank.iloc[end] + 0.01 * count]
            plot.plot(ends, [-FIRST_BAR - BAR * level] * 2, color=INK, linewidth=2.6, solid_capstyle="round")
        left, right = plot.get_xlim()
        for place, (model, value) in enumerate(rank.items()):
            color = family_color(families.get(str(model), ""))
            # The outermost hangs highest on either side, so that no line crosses a name.
            if place < half:
                y = first - place
                x = left
                style = {"text": f"{model}  {value:.2f}", "xytext": (-4, 0), "ha": "right"}
            else:
                y = first - (count - 1 - place)
                x = right
                style = {"text": f"{value:.2f}  {model}", "xytext": (4, 0), "ha": "left"}
            plot.plot([value, value, x], [0, y, y], color=color, linewidth=0.9, clip_on=False)
            plot.plot(value, 0, "o", color=color, markersize=4, zorder=3)
            plot.annotate(xy=(x, y), textcoords="offset points", va="center", annotation_clip=False, **style)
        return svg(figure, label, zoom=1.2)


def _levels(groups: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(start, end, level) of each group: groups of one level share no model, so that their bars do not touch."""
    placed = []
    ends: list[int] = []  # of the last group of each level
    for start, end in groups:
        level = next((level for level, taken in enumerate(ends) if taken < start), len(ends))
        ends[level : level + 1] = [end]
        placed.append((start, end, level))
    return placed
