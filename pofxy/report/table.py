"""The comparison tables of one data set, one for each topic: a row for each model that has some value there, a column for each
metric, unit and split that was scored."""

import math
from dataclasses import dataclass, field, replace

import pandas as pd

from pofxy.report.study import Study
from pofxy.report.verdict import QUESTIONS, bound_sign, one_each, tied
from pofxy.report.wording import decimals, interval, metric_name, name_of, number
from pofxy.study import catalog

# From so many on, models of a family that are absent together are counted, not named.
MANY = 5
# Of a model that cannot have the score.
NONE = "n/a"
# What a table is about, and the capabilities that its scores judge.
TOPICS = {
    "Classification": ("predict", "decision_function", "predict_proba", "log_joint", "log_joint_known", "log_joint_bound"),
    "Likelihood": ("log_prob", "log_prob_bound", "log_weight", "log_unnormalized"),
    "Samples": ("sample", "sample_text"),
    "Reconstructions and codes": ("reconstruct", "inpaint", "encode", "decode"),
    "Other scores": ("other",),
    "Cost": ("cost",),
}
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
    """One column: `key` is its name in a link (#sort=key), `group` the verb that it judges, `hint` a longer name.

    `best_at` is the value that it is best at, None where the higher or the lower the better.
    """

    key: str
    title: str
    unit: str
    group: str
    higher_is_better: bool
    hint: str
    metric: str = ""
    split: str = ""
    best_at: float | None = None

    @property
    def arrow(self) -> str:
        """Where better is, as a sign."""
        return f"→ {self.best_at:g}" if self.best_at is not None else "↑" if self.higher_is_better else "↓"

    @property
    def direction(self) -> str:
        """The same in words."""
        if self.best_at is not None:
            return f"best at {self.best_at:g}"
        return "higher is better" if self.higher_is_better else "lower is better"


@dataclass(frozen=True)
class Cell:
    """One cell: `value` sorts it; `missing` tells why it has none; `best` marks the best and what ties with it.

    `seeds` is the spread over several seeds; `position` 0 where a score is as real train images', 1 where it is as that of
    independent pixels, None where that makes no sense.
    """

    text: str
    value: float | None = None
    interval: str = ""
    seeds: str = ""
    note: str = ""
    hint: str = ""
    missing: str = ""
    best: bool = False
    position: float | None = None


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
    """One topic of one data set.

    Attributes:
        dataset: its name.
        topic: a key of TOPICS.
        groups: (verb, how many columns judge it), for neighbours.
        columns: without the model's name, family and seeds.
        rows: the competitors that have some value here, or would if their runs had not failed.
        references: what bounds the scale from below and above.
        absent: why some models are not here, and their names.
    """

    dataset: str
    topic: str
    groups: list[tuple[str, int]]
    columns: list[Column]
    rows: list[Row]
    references: list[Row]
    absent: dict[str, list[str]]

    @property
    def several_seeds(self) -> bool:
        """Whether some value is a mean over seeds."""
        return any(cell.seeds for row in (*self.rows, *self.references) for cell in row.cells)

    @property
    def positions(self) -> bool:
        """Whether some value is placed between real train images and independent pixels."""
        return any(cell.position is not None for row in (*self.rows, *self.references) for cell in row.cells)


def compare(study: Study, dataset: str) -> list[Table]:
    """The tables of one data set, in the order of TOPICS; a topic that nothing was scored in has none."""
    scores = study.summary[study.summary["dataset"] == dataset]
    runs = study.runs[(study.runs["dataset"] == dataset) & (study.runs["family"] != "judge")]
    columns = _metric_columns(scores)
    columns += [Column(key, title, unit, "cost", False, f"{key} in runs.csv") for key, (title, unit, *_) in COSTS.items()]
    costs = study.costs(dataset)
    by_column = [_score_cells(study, scores, column) if column.metric else _cost_cells(costs, column) for column in columns]
    cells = dict(zip(columns, by_column, strict=True))
    models = []
    for model, seeds in runs.groupby("model", sort=False):
        capabilities = tuple(seeds["capabilities"].iloc[0].split())
        models.append((_row(study, model, seeds), capabilities, catalog.evaluations(capabilities)))
    tables = []
    for topic, capabilities in TOPICS.items():
        chosen = [column for column in columns if column.group in capabilities]
        if chosen and models:
            tables.append(_table(dataset, topic, {column: cells[column] for column in chosen}, models))
    return tables


def _table(dataset: str, topic: str, cells: dict[Column, dict[str, Cell]], models: list) -> Table:
    """The table of a topic; models are (row without cells, capabilities, why not of each metric)."""
    rows, absent = [], {}
    for row, capabilities, reasons in models:
        shown = [found.get(row.model) or _missing(column, capabilities, reasons, row.reason) for column, found in cells.items()]
        # What failed stays wherever it might have had a value.
        if any(not cell.missing or (row.status != "ok" and cell.text != NONE) for cell in shown):
            rows.append(replace(row, cells=shown))
        elif row.family != "reference":
            absent.setdefault(_lacking(cells, capabilities), []).append(row.model)
    families = {row.model: row.family for row, *_ in models}
    absent = {why: _together(names, families) for why, names in absent.items()}
    groups = [column.group for column in cells]
    return Table(
        dataset,
        topic,
        [(group, groups.count(group)) for group in dict.fromkeys(groups)],
        list(cells),
        [row for row in rows if row.family != "reference"],
        [row for row in rows if row.family == "reference"],
        absent,
    )


def _together(names: list[str], families: dict[str, str]) -> list[str]:
    """These models, a family of many as one where all of it is among them."""
    said = []
    for family in dict.fromkeys(families[name] for name in names):
        own = [name for name in names if families[name] == family]
        whole = len(own) == list(families.values()).count(family) >= MANY
        said += [f"all {len(own)} {family} models"] if whole else own
    return said


def _lacking(columns, capabilities: tuple[str, ...]) -> str:
    """Why a model of these capabilities has no value in any of these columns."""
    known, all_verbs = catalog.metrics(), catalog.capabilities()
    lists = [catalog.needs(name) for column in columns if column.metric in known for name in known[column.metric].parameters]
    topic = next(
        (capabilities for capabilities in TOPICS.values() if any(column.group in capabilities for column in columns)), ()
    )
    needed = {verb for names in lists for verb in names if verb in topic}
    if not needed or needed & set(capabilities):
        return "not measured"
    *names, last = sorted(needed, key=all_verbs.index)
    return f"no {', '.join(names)} or {last}" if names else f"no {last}"


def _metric_columns(scores: pd.DataFrame) -> list[Column]:
    """A column for each metric, unit and split that occurs, in the order of the capabilities that they judge.

    Within a verb those that answer a question of the verdict come first, the others by name; train stands right beside test.
    """
    known, columns = catalog.metrics(), []
    kinds = scores.drop_duplicates(["metric", "unit", "split"])
    for row in kinds.itertuples():
        entry = known.get(row.metric)
        name = metric_name(row.metric)
        several = kinds[kinds["metric"] == row.metric]["unit"].nunique() > 1
        parts = [row.metric, row.unit if several else "", row.split if row.split != "test" else ""]
        key = ":".join(filter(None, parts)).replace(" ", "_")
        title = name if row.split in ("test", "") else f"{name} ({row.split})"
        hint = f"{row.metric}: {entry.summary if entry else name}"
        verb = judged_verb(entry) if entry else "other"
        best = None if math.isnan(row.best) else row.best
        columns.append(Column(key, title, row.unit, verb, bool(row.higher_is_better), hint, row.metric, row.split, best))
    capabilities, metrics = [*catalog.capabilities(), "other"], [*QUESTIONS, *sorted(kinds["metric"])]
    units = list(kinds["unit"])

    def place(column: Column) -> tuple:
        return capabilities.index(column.group), metrics.index(column.metric), units.index(column.unit), column.split != "test"

    return sorted(columns, key=place)


def judged_verb(entry: catalog.Entry) -> str:
    """The verb that a metric judges: the last in the order of `protocol.CAPABILITIES` of those that it needs."""
    needed = [capabilities[0] for name in entry.parameters if (capabilities := catalog.needs(name))]
    return max((verb for verb in needed if verb in catalog.capabilities()), key=catalog.capabilities().index, default="other")


def _score_cells(study: Study, scores: pd.DataFrame, column: Column) -> dict[str, Cell]:
    rows = scores[(scores["metric"] == column.metric) & (scores["unit"] == column.unit) & (scores["split"] == column.split)]
    places, best = decimals(rows["value"]), set(tied(study, rows)["model"])
    # What all of them have in common is said in the hint alone.
    shared = set.intersection(*(set(name.split(", ")) for name in rows["estimator"])) if len(rows) else set()
    cells = {}
    for row in one_each(rows).itertuples():
        seeds = "one seed" if row.seeds == 1 else f"mean of {row.seeds} seeds"
        cells[row.model] = Cell(
            text=bound_sign(row) + number(row.value, places),
            value=None if math.isnan(row.value) else row.value if column.best_at is None else row.loss,
            interval=interval(row.low, row.high, places),
            seeds="" if math.isnan(row.spread) else f"seeds ± {number(row.spread, places)}",
            note=", ".join(part for part in row.estimator.split(", ") if part not in shared),
            hint="; ".join(filter(None, [row.estimator, f"{row.split} split", f"n = {row.n:,.0f}", seeds])),
            best=row.model in best,
            position=row.position if math.isfinite(row.position) else None,
        )
    return cells


def _cost_cells(costs: pd.DataFrame, column: Column) -> dict[str, Cell]:
    _, _, one, _ = COSTS[column.key]
    values = (costs[column.key] / one).dropna()
    # Costs span orders of magnitude: each has its own two digits.
    return {model: Cell(number(value, max(decimals([value]) - 1, 0)), float(value)) for model, value in values.items()}


def _missing(column: Column, capabilities: tuple[str, ...], reasons: dict[str, str], failure: str) -> Cell:
    if column.metric:
        why = reasons.get(column.metric, "")
    else:
        verb = COSTS[column.key][3]
        why = f"no {verb}" if verb and verb not in capabilities else ""
    if why:
        return Cell(NONE, missing=f"not applicable: {why}")
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
