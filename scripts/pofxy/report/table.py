"""The comparison table of one data set: a row for each model, a column for each metric and unit that was scored."""

from dataclasses import dataclass, field

import pandas as pd

from pofxy import catalog
from pofxy.report.study import Study
from pofxy.report.verdict import tied
from pofxy.report.wording import decimals, interval, metric_name, name_of, number

# Columns of runs.csv, each with its title, its unit, what one of its units is there, and the verb without which it has no value.
COSTS = {
    "parameters": ("Parameters", "", 1, ""),
    "fit_seconds": ("Fit", "s", 1, ""),
    "sample_seconds_per_1000": ("Sample 1,000", "s", 1, "sample"),
    "predict_ms_single": ("Predict 1", "ms", 1, "predict"),
    "predict_ms_per_image": ("of 256", "ms each", 1, "predict"),
    "peak_mb": ("Peak memory", "MB", 1, ""),
    "model_bytes": ("Size", "MB", 1e6, ""),
}


@dataclass(frozen=True)
class Column:
    """One column: `key` is its name in a link (#sort=key), `group` the verb that it judges, `hint` a longer name."""

    key: str
    title: str
    unit: str
    group: str
    higher_is_better: bool
    hint: str
    metric: str = ""
    split: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: `value` sorts it; `missing` tells why it has none; `best` marks the best and what ties with it."""

    text: str
    value: float | None = None
    interval: str = ""
    note: str = ""
    hint: str = ""
    missing: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One model: `seeds` as text, `status` the worst of its runs ("ok" where all is well)."""

    model: str
    family: str
    summary: str
    seeds: str
    status: str
    reason: str
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """Competitors in `rows`; what bounds the scale from below and above in `references`."""

    dataset: str
    groups: list[tuple[str, int]]
    columns: list[Column]
    rows: list[Row]
    references: list[Row]
    several_seeds: bool


def compare(study: Study, dataset: str) -> Table:
    """The table of one data set."""
    scores = study.summary[study.summary["dataset"] == dataset]
    runs = study.runs[(study.runs["dataset"] == dataset) & (study.runs["family"] != "judge")]
    columns = _metric_columns(scores) + [
        Column(key, title, unit, "cost", False, f"{key} in runs.csv") for key, (title, unit, *_) in COSTS.items()
    ]
    costs = study.costs(dataset)
    by_column = [_score_cells(scores, column) if column.metric else _cost_cells(costs, column) for column in columns]
    rows = []
    for model, seeds in runs.groupby("model", sort=False):
        row = _row(study, model, seeds)
        verbs = tuple(seeds["verbs"].iloc[0].split())
        cells = [
            found.get(model) or _missing(column, verbs, row.reason) for column, found in zip(columns, by_column, strict=True)
        ]
        row.cells.extend(cells)
        rows.append(row)
    groups = pd.Series([column.group for column in columns]).groupby([c.group for c in columns], sort=False).size()
    return Table(
        dataset,
        [(str(name), int(size)) for name, size in groups.items()],
        columns,
        [row for row in rows if row.family != "reference"],
        [row for row in rows if row.family == "reference"],
        bool((scores["seeds"] > 1).any()),
    )


def _metric_columns(scores: pd.DataFrame) -> list[Column]:
    """A column for each metric, unit and split that occurs, in the order of the verbs that they judge."""
    known, columns = catalog.metrics(), []
    kinds = scores.drop_duplicates(["metric", "unit", "split"])
    for row in kinds.itertuples():
        entry = known.get(row.metric)
        name = metric_name(row.metric)
        alone = (kinds["metric"] == row.metric).sum() == 1
        key = row.metric if alone else f"{row.metric}:{row.unit}:{row.split}".replace(" ", "_")
        title = name if row.split in ("test", "") else f"{name} ({row.split})"
        hint = f"{row.metric}: {entry.summary if entry else name}"
        verb = judged_verb(entry) if entry else "other"
        columns.append(Column(key, title, row.unit, verb, bool(row.higher_is_better), hint, row.metric, row.split))
    order = [*catalog.verbs(), "other"]
    return sorted(columns, key=lambda column: order.index(column.group))


def judged_verb(entry: catalog.Entry) -> str:
    """The verb that a metric judges: the last in the order of `protocol.VERBS` of those that it needs."""
    needed = [verbs[0] for name in entry.parameters if (verbs := catalog.needs(name))]
    return max((verb for verb in needed if verb in catalog.verbs()), key=catalog.verbs().index, default="other")


def _score_cells(scores: pd.DataFrame, column: Column) -> dict[str, Cell]:
    rows = scores[(scores["metric"] == column.metric) & (scores["unit"] == column.unit) & (scores["split"] == column.split)]
    places, best, mixed = decimals(rows["value"]), set(tied(rows)["model"]), rows["estimator"].nunique() > 1
    cells = {}
    # Of two estimators of one model the better one stands: a bound errs to one side only.
    for row in rows.sort_values("value", ascending=column.higher_is_better, kind="stable").itertuples():
        sign = ("≥ " if column.higher_is_better else "≤ ") if row.bound else ""
        seeds = "one seed" if row.seeds == 1 else f"mean of {row.seeds} seeds"
        cells[row.model] = Cell(
            text=sign + number(row.value, places),
            value=row.value if row.value == row.value else None,
            interval=interval(row.low, row.high, places),
            note=row.estimator if mixed else "",
            hint="; ".join(filter(None, [row.estimator, f"{row.split} split", f"n = {row.n:,.0f}", seeds])),
            best=row.model in best,
        )
    return cells


def _cost_cells(costs: pd.DataFrame, column: Column) -> dict[str, Cell]:
    _, _, one, _ = COSTS[column.key]
    values = (costs[column.key] / one).dropna()
    # Costs span orders of magnitude: each has its own two digits.
    return {model: Cell(number(value, max(decimals([value]) - 1, 0)), float(value)) for model, value in values.items()}


def _missing(column: Column, verbs: tuple[str, ...], failure: str) -> Cell:
    if column.metric:
        why = catalog.evaluations(verbs).get(column.metric, "")
    else:
        verb = COSTS[column.key][3]
        why = f"no {verb}" if verb and verb not in verbs else ""
    if why:
        return Cell("n/a", missing=f"not applicable: {why}")
    return Cell("–", missing=failure or "not measured")


def _row(study: Study, model: str, seeds: pd.DataFrame) -> Row:
    of = study.config.get("settings", {}).get(model, {}).get("of", model)
    entry, bad = catalog.models().get(of), seeds[seeds["status"] != "ok"]
    summary = name_of(entry.summary) if entry else ""
    return Row(
        model=model,
        family=seeds["family"].iloc[0],
        summary=summary if of == model else f"variant of {of}",
        seeds=str(len(seeds)) if bad.empty else f"{len(seeds) - len(bad)} of {len(seeds)}",
        status="ok" if bad.empty else bad["status"].iloc[0],
        reason="" if bad.empty else f"{bad['status'].iloc[0]}: {bad['reason'].iloc[0]}",
    )
