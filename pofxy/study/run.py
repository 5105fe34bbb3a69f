"""One run of a study. Apart from the plan: what a job is made of should not hold how the plan was made. Standard library only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One (data set, model, seed): a folder of its own, a row of runs.csv, a child run in MLflow.

    `model` is the name in the config (a variant's own), `of` the file it is made of.
    """

    dataset: str
    model: str
    of: str
    family: str
    seed: int
    capabilities: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.dataset}/{self.model}/seed{self.seed}"
