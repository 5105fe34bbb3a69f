"""One run of a study. In a file of its own, so that a job that is given a run does not depend on how the plan was made."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """One (data set, model, seed): a folder of its own, a row of runs.csv, a child run in MLflow.

    `model` is the name in the config, of a variant its own; `of` is the name of the model's file. `calibrate` says how its
    probabilities are calibrated; "" for not at all.
    """

    dataset: str
    model: str
    of: str
    family: str
    seed: int
    capabilities: tuple[str, ...]
    calibrate: str = ""

    @property
    def columns(self) -> dict[str, Any]:
        """The columns by which a row of a table names its run: study/columns.py's RUN_KEY."""
        return {"dataset": self.dataset, "model": self.model, "family": self.family, "seed": self.seed}

    @property
    def key(self) -> str:
        """The run's folder below results/runs."""
        return f"{self.dataset}/{self.model}/seed{self.seed}"
