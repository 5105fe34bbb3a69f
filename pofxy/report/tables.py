"""The comparison tables of a data set: one for each topic, with a row for each model and a column for each metric and split."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pandas as pd

from pofxy.report.comparison import one_each, tied
from pofxy.report.study import Study, summary_rows
from pofxy.report.verdicts import headline_metrics
from pofxy.report.wording import bound_sign, decimals, interval, metric_name, name_of, number
from pofxy.study import catalog

# From this size on, a family whose models are all absent is counted, not listed by name.
MANY = 5
# The text of a cell whose model lacks the capability for the score.
NOT_APPLICABLE = "n/a"
# The topic of each table, and the capabilities that its scores evaluate.
TOPICS = {
    "Classification": ("predict", "decision_function", "predict_proba", "log_joint", "log_joint_known", "log_joint_bound"),
    "Likelihood": ("log_prob", "log_prob_bound", "log_weight", "log_unnormalized"),
    "Samples": ("sample", "sample_text"),
    "Reconstructions and latents": ("reconstruct", "inpaint", "encode", "decode"),
    "Other scores": ("other",),
    "Cost": ("cost",),
}


class Cost(NamedTuple):
    """How a column of runs.csv is shown.

    Attributes:
        title: of the column.
        unit: below the title.
        divisor: turns the value into that unit.
        capability: the one that a model needs to have this cost; "" where every model has it.
    """

    title: str
    unit: str
    divisor: float = 1
    capability: str = ""


COSTS = {
    "parameters": Cost("Parameters", ""),
    "fit_seconds": Cost("Fit", "s"),
    "sample_seconds_per_1000": Cost("Sample 1,000", "s", capability="sample"),
    "predict_ms_single": Cost("Predict 1", "ms", capability="predict"),
    "predict_ms_per_image": Cost("Predict 256", "ms per image", capability="predict"),
    "peak_mb": Cost("Peak memory", "MB"),
    "model_bytes": Cost("Size", "MB", divisor=1e6),
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: its name in a link (#sort=key).
        title: its heading.
        unit: below the heading.
        group: the capability that it evaluates.
        higher_is_better: whether it is sorted in descending order.
        hint: a longer name.
        metric: the id of its metric; "" for a cost.
        split: the split of its scores; "" for a cost.
        best_at: the value at which it is best; None where higher or lower is better without limit.
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
        """The better direction as a sign."""
        if self.best_at is not None:
            return f"→ {self.best_at:g}"
        return "↑" if self.higher_is_better else "↓"

    @property
    def direction(self) -> str:
        """The better direction in words."""
        if self.best_at is not None:
            return f"best at {self.best_at:g}"
        return "higher is better" if self.higher_is_better else "lower is better"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: the value as shown.
        value: sorts the cell; None where there is no number.
        interval: the 95 % interval as shown; may be empty.
        seeds: the spread over several seeds as shown; may be empty.
        note: the part of the estimator's name that sets it apart from the others of the column.
        hint: estimator, split, number of images, seeds.
        missing: why there is no value; "" where there is one.
        best: whether it is the best of its column or ties with it.
        normalized_score: 0 at the floor, 1 at the ceiling; None where it is undefined.
    """

    text: str
    value: float | None = None
    interval: str = ""
    seeds: str = ""
    note: str = ""
    hint: str = ""
    missing: str = ""
    best: bool = False
    normalized_score: float | None = None


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: its name.
        family: its family.
        summary: what it is, in a few words.
        seeds: how many seeds succeeded, as shown.
        status: the worst of its runs; "ok" where all succeeded.
        reason: why it failed; "" where it did not.
        cells: one per column.
    """

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
        groups: (capability, number of its columns), in the order of the columns.
        columns: without those of the model's name, family and seeds.
        rows: the models that have a value here, or would have one if their runs had not failed.
        references: the reference models, which bound the scale from below and above.
        absent: the names of the models that are not here, by reason.
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
        """Whether some value is a mean over several seeds."""
        return any(cell.seeds for row in (*self.rows, *self.references) for cell in row.cells)

    @property
    def has_normalized_scores(self) -> bool:
        """Whether some value has a normalized score."""
        return any(cell.normalized_score is not None for row in (*self.rows, *self.references) for cell in row.cells)


class _Candidate(NamedTuple):
    """A model that may get a row: the row without cells, its capabilities, and by metric why it lacks it, "" if it has it."""

    row: Row
    capabilities: tuple[str, ...]
    reasons: dict[str, str]


def compare(study: Study, dataset: str) -> list[Table]:
    """The tables of one data set, in the order of TOPICS, without the topics that have no scores."""
    scores = study.summary[study.summary["dataset"] == dataset]
    costs = study.costs(dataset)
    cells = {column: _score_cells(study, scores, column) for column in _metric_columns(scores)}
    cells |= {column: _cost_cells(costs, column) for column in _cost_columns()}
    runs = study.runs[(study.runs["dataset"] == dataset) & (study.runs["family"] != "feature_net")]
    candidates = []
    for model, seeds in runs.groupby("model", sort=False):
        capabilities = tuple(seeds["capabilities"].iloc[0].split())
        candidates.append(_Candidate(_row(study, str(model), seeds), capabilities, catalog.evaluations(capabilities)))
    tables = []
    for topic, capabilities in TOPICS.items():
        chosen = {column: by_model for column, by_model in cells.items() if column.group in capabilities}
        if chosen and candidates:
            tables.append(_table(dataset, topic, chosen, candidates))
    return tables


def evaluated_capability(entry: catalog.MetricEntry) -> str:
    """The capability that a metric evaluates: of those that it needs, the last in the order of `pofxy/base/capabilities.py`."""
    known = catalog.capabilities()
    needed = [alternatives[0] for alternatives in needs(entry)]
    return max((capability for capability in needed if capability in known), key=known.index, default="other")


def needs(entry: catalog.MetricEntry) -> list[tuple[str, ...]]:
    """What a metric needs: of each tuple, a model must have one capability."""
    return catalog.all_needs(entry.dependencies)


def _table(dataset: str, topic: str, cells: dict[Column, dict[str, Cell]], candidates: list[_Candidate]) -> Table:
    """The table of one topic; `cells` by column and model."""
    rows = []
    absent: dict[str, list[str]] = {}
    for row, capabilities, reasons in candidates:
        shown = [
            by_model.get(row.model) or _missing(column, capabilities, reasons, row.reason) for column, by_model in cells.items()
        ]
        # A failed model keeps its row wherever it could have had a value.
        if any(not cell.missing or (row.status != "ok" and cell.text != NOT_APPLICABLE) for cell in shown):
            rows.append(replace(row, cells=shown))
        elif row.family != "reference":
            absent.setdefault(_lacking(cells, capabilities), []).append(row.model)
    families = {candidate.row.model: candidate.row.family for candidate in candidates}
    groups = [column.group for column in cells]
    return Table(
        dataset=dataset,
        topic=topic,
        groups=[(group, groups.count(group)) for group in dict.fromkeys(groups)],
        columns=list(cells),
        rows=[row for row in rows if row.family != "reference"],
        references=[row for row in rows if row.family == "reference"],
        absent={why: _abbreviate(names, families) for why, names in absent.items()},
    )


def _abbreviate(names: list[str], families: dict[str, str]) -> list[str]:
    """These models; a family of MANY or more is counted where all of its models are among them."""
    shown = []
    for family in dict.fromkeys(families[name] for name in names):
        own = [name for name in names if families[name] == family]
        complete = len(own) == list(families.values()).count(family) >= MANY
        shown += [f"all {len(own)} {family} models"] if complete else own
    return shown


def _lacking(columns: Iterable[Column], capabilities: tuple[str, ...]) -> str:
    """Why a model with these capabilities has no value in any of these columns."""
    columns = list(columns)
    known = catalog.metrics()
    topic = next((group for group in TOPICS.values() if any(column.group in group for column in columns)), ())
    alternatives = [names for column in columns if column.metric in known for names in needs(known[column.metric])]
    needed = {capability for names in alternatives for capability in names if capability in topic}
    if not needed or needed & set(capabilities):
        return "not measured"
    *names, last = sorted(needed, key=catalog.capabilities().index)
    return f"no {', '.join(names)} or {last}" if names else f"no {last}"


def _metric_columns(scores: pd.DataFrame) -> list[Column]:
    """A column for each metric, unit and split that occurs, in the order of the capabilities that they evaluate.

    Within a capability, the metrics of the verdict come first and the others follow by name. The train split stands beside test.
    """
    known = catalog.metrics()
    kinds = scores.drop_duplicates(["metric", "unit", "split"])
    columns = []
    for kind in summary_rows(kinds):
        entry = known.get(kind.metric)
        name = metric_name(kind.metric)
        several_units = kinds[kinds["metric"] == kind.metric]["unit"].nunique() > 1
        parts = [kind.metric, kind.unit if several_units else "", kind.split if kind.split != "test" else ""]
        column = Column(
            key=":".join(filter(None, parts)).replace(" ", "_"),
            title=name if kind.split in ("test", "") else f"{name} ({kind.split})",
            unit=kind.unit,
            group=evaluated_capability(entry) if entry else "other",
            higher_is_better=bool(kind.higher_is_better),
            hint=f"{kind.metric}: {entry.summary if entry else name}",
            metric=kind.metric,
            split=kind.split,
            best_at=None if math.isnan(kind.best) else kind.best,
        )
        columns.append(column)
    capabilities = [*catalog.capabilities(), "other"]
    metrics = [*headline_metrics(), *sorted(kinds["metric"])]
    units = list(kinds["unit"])

    def place(column: Column) -> tuple:
        return capabilities.index(column.group), metrics.index(column.metric), units.index(column.unit), column.split != "test"

    return sorted(columns, key=place)


def _cost_columns() -> list[Column]:
    return [
        Column(key, cost.title, cost.unit, group="cost", higher_is_better=False, hint=f"{key} in runs.csv")
        for key, cost in COSTS.items()
    ]


def _score_cells(study: Study, scores: pd.DataFrame, column: Column) -> dict[str, Cell]:
    """The cells of a metric's column by model."""
    rows = scores[(scores["metric"] == column.metric) & (scores["unit"] == column.unit) & (scores["split"] == column.split)]
    places = decimals(rows["value"])
    best = set(tied(study, rows)["model"])
    # The parts of the estimator's name that all cells share stand in the hint alone.
    shared = set.intersection(*(set(name.split(", ")) for name in rows["estimator"])) if len(rows) else set()
    cells = {}
    for row in summary_rows(one_each(rows)):
        seeds = "one seed" if row.seeds == 1 else f"mean over {row.seeds} seeds"
        sorting = row.value if column.best_at is None else row.loss
        cells[row.model] = Cell(
            text=bound_sign(row) + number(row.value, places),
            value=None if math.isnan(row.value) else sorting,
            interval=interval(row.low, row.high, places),
            seeds="" if math.isnan(row.spread) else f"seeds ± {number(row.spread, places)}",
            note=", ".join(part for part in row.estimator.split(", ") if part not in shared),
            hint="; ".join(filter(None, [row.estimator, f"{row.split} split", f"n = {row.n:,.0f}", seeds])),
            best=row.model in best,
            normalized_score=row.normalized_score if math.isfinite(row.normalized_score) else None,
        )
    return cells


def _cost_cells(costs: pd.DataFrame, column: Column) -> dict[str, Cell]:
    """The cells of a cost's column by model."""
    values = (costs[column.key] / COSTS[column.key].divisor).dropna()
    # Costs span orders of magnitude: each value has its own two significant digits.
    return {str(model): Cell(number(value, max(decimals([value]) - 1, 0)), float(value)) for model, value in values.items()}


def _missing(column: Column, capabilities: tuple[str, ...], reasons: dict[str, str], failure: str) -> Cell:
    """The cell of a model that has no value in a column, with the reason."""
    if column.metric:
        reason = reasons.get(column.metric, "")
    else:
        needed = COSTS[column.key].capability
        reason = f"no {needed}" if needed and needed not in capabilities else ""
    if reason:
        return Cell(NOT_APPLICABLE, missing=f"not applicable: {reason}")
    return Cell("–", missing=failure or "not measured: the score does not apply to this model or this data set")


def _row(study: Study, model: str, seeds: pd.DataFrame) -> Row:
    """The row of a model without its cells; `seeds` are its rows of runs.csv."""
    settings = study.config.get("settings", {}).get(model, {})
    base = settings.get("of", model)
    entry = catalog.models().get(base)
    summary = name_of(entry.summary) if entry else ""
    if base != model:
        summary = f"variant of {base}"
    if settings.get("calibrate"):
        summary += f", calibrated ({settings['calibrate']})"
    failed = seeds[seeds["status"] != "ok"]
    return Row(
        model=model,
        family=seeds["family"].iloc[0],
        summary=summary,
        seeds=str(len(seeds)) if failed.empty else f"{len(seeds) - len(failed)} of {len(seeds)}",
        status="ok" if failed.empty else failed["status"].iloc[0],
        reason="" if failed.empty else f"{failed['status'].iloc[0]}: {failed['reason'].iloc[0]}",
    )
