"""One run of a study. In a file of its own, so that a job that is given a run does not depend on how the plan was made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One (data set, model, seed): a folder of its own, a row of runs.csv, a child run in MLflow.

    `model` is the name in the config, of a variant its own; `of` is the name of the model's file.
    """

    dataset: str
    model: str
    of: str
    family: str
    seed: int
    capabilities: tuple[str, ...]

    @property
    def key(self) -> str:
        """The run's folder below results/runs."""
        return f"{self.dataset}/{self.model}/seed{self.seed}"
