"""log p(x) of test and train images, by every estimator that the model's capabilities allow; one quantity for each unit."""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsLogProb, SupportsLogProbBound, SupportsLogUnnormalized, SupportsLogWeight
from pofxy.base.data import DataSpec
from pofxy.base.tags import tags_of
from pofxy.evaluation import ais, likelihood
from pofxy.evaluation.likelihood import Estimate
from pofxy.evaluation.quantities.data import random_rows
from pofxy.evaluation.quantity import NotApplicable, quantity

# Train images whose likelihood stands beside that of the test images.
MAX_TRAIN_LIKELIHOODS = 1000


@quantity()
def annealing(model: SupportsLogUnnormalized, x: Tensor) -> ais.Annealing:
    """log Z by annealed importance sampling: one estimate serves test and train images."""
    return ais.anneal(model, _binarized(model, x[: ais.CHAINS]))


@quantity(rows="test")
def test_likelihoods(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x: Tensor,
    spec: DataSpec,
    annealing: ais.Annealing | None = None,
) -> list[Estimate]:
    """Every estimate of log p(x) of the test images, the best known first."""
    return likelihood.estimates(model, _binarized(model, x), spec, annealing)


@quantity(rows="train")
def train_likelihoods(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x: Tensor,
    x_train: Tensor,
    spec: DataSpec,
    seed: int,
    annealing: ais.Annealing | None = None,
) -> list[Estimate]:
    """The same of as many random train images, at most 1,000."""
    rows = random_rows(seed, len(x_train), min(len(x), MAX_TRAIN_LIKELIHOODS))
    return likelihood.estimates(model, _binarized(model, x_train[rows]), spec, annealing)


@quantity()
def likelihood_kind(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized, spec: DataSpec
) -> str:
    """The quantity of this file that the model's likelihood is: each has a unit of its own."""
    return likelihood.kind(model, spec)


@quantity(rows="test", kept=False)
def log_mass(
    test_likelihoods: list[Estimate], train_likelihoods: list[Estimate], likelihood_kind: str
) -> dict[str, list[Estimate]]:
    """log p(x) in nats, a mass over L-level images, by split."""
    return _of_kind("log_mass", likelihood_kind, test_likelihoods, train_likelihoods)


@quantity(rows="test", kept=False)
def log_density(
    test_likelihoods: list[Estimate], train_likelihoods: list[Estimate], likelihood_kind: str
) -> dict[str, list[Estimate]]:
    """log p(x) in nats, a density over the rows of a table, by split."""
    return _of_kind("log_density", likelihood_kind, test_likelihoods, train_likelihoods)


@quantity(rows="test", kept=False)
def log_mass_threshold(
    test_likelihoods: list[Estimate], train_likelihoods: list[Estimate], likelihood_kind: str
) -> dict[str, list[Estimate]]:
    """log p(x) in nats, a mass over images that are binarized at 0.5, by split."""
    return _of_kind("log_mass_threshold", likelihood_kind, test_likelihoods, train_likelihoods)


@quantity(rows="test", kept=False)
def log_mass_stochastic(
    test_likelihoods: list[Estimate], train_likelihoods: list[Estimate], likelihood_kind: str
) -> dict[str, list[Estimate]]:
    """log p(x) in nats, a mass over stochastically binarized images, by split."""
    return _of_kind("log_mass_stochastic", likelihood_kind, test_likelihoods, train_likelihoods)


def _of_kind(wanted: str, kind: str, test: list[Estimate], train: list[Estimate]) -> dict[str, list[Estimate]]:
    if kind != wanted:
        raise NotApplicable(f"the model's likelihood is {kind}, not {wanted}")
    return {"test": test, "train": train}


def _binarized(model: object, x: Tensor) -> Tensor:
    how = tags_of(model).binarized
    # Fixed random numbers: a stochastic binarization is the same for every model.
    return likelihood.binarize(x, how, torch.Generator().manual_seed(0)) if how else x
