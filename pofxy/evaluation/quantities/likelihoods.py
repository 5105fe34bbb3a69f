"""log p(x) of test and train images, by every estimator that the model's capabilities allow; one quantity for each unit."""

import torch
from torch import Tensor

from pofxy.base import bayes
from pofxy.base.capabilities import (
    Model,
    SupportsLogJoint,
    SupportsLogProb,
    SupportsLogProbBound,
    SupportsLogUnnormalized,
    SupportsLogWeight,
)
from pofxy.base.data import DataSpec
from pofxy.base.passes import n_likelihood_images, n_probe_images, prediction_passes
from pofxy.base.prediction import predict_batched
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
def log_likelihood(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x: Tensor,
    spec: DataSpec,
    log_joint: Tensor | None = None,
) -> Tensor:
    """The first estimate of log p(x) of the test images, (N,): all, or fewer of a model with many passes of its net for each."""
    if log_joint is not None and likelihood.is_of_images_as_they_are(model, spec):
        return bayes.marginal(log_joint)
    rows = x[: n_likelihood_images(prediction_passes(model, spec))]
    return likelihood.first_estimate(model, _binarized(model, rows), spec)


@quantity(rows="train", kept=False)
def x_train_likelihood(model: Model, x: Tensor, x_train: Tensor, spec: DataSpec, seed: int) -> Tensor:
    """As many random train images as there are test images, (M, ...), but at most 1,000, or fewer by the rule of probes."""
    weights = likelihood.GROUPS * likelihood.GROUP if hasattr(model, "log_weight") else 1
    n = min(len(x), n_probe_images(prediction_passes(model, spec) * weights, MAX_TRAIN_LIKELIHOODS))
    return x_train[random_rows(seed, len(x_train), n)]


@quantity(rows="train")
def train_log_likelihood(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x_train_likelihood: Tensor,
    spec: DataSpec,
) -> Tensor:
    """The first estimate of log p(x) of the train images, (M,)."""
    return likelihood.first_estimate(model, _binarized(model, x_train_likelihood), spec)


@quantity(images_only=True)
def ood_log_joint(model: SupportsLogJoint, ood_images: dict[str, Tensor]) -> dict[str, Tensor]:
    """log p(x, y) of each out-of-distribution (OOD) image in nats, by kind, (P, K) each."""
    return {kind: predict_batched(model, "log_joint", images) for kind, images in ood_images.items()}


@quantity(images_only=True)
def ood_log_likelihood(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    spec: DataSpec,
    ood_images: dict[str, Tensor],
    ood_log_joint: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The first estimate of log p(x) of each OOD image, by kind, (P,) each."""
    if ood_log_joint is not None and likelihood.is_of_images_as_they_are(model, spec):
        return {kind: bayes.marginal(log_joint) for kind, log_joint in ood_log_joint.items()}
    return {kind: likelihood.first_estimate(model, _binarized(model, x), spec) for kind, x in ood_images.items()}


@quantity(rows="test")
def test_likelihoods(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x: Tensor,
    spec: DataSpec,
    log_likelihood: Tensor,
    annealing: ais.Annealing | None = None,
) -> list[Estimate]:
    """Every estimate of log p(x) of the test images, the best known first."""
    return likelihood.estimates(model, _binarized(model, x[: len(log_likelihood)]), spec, annealing, log_likelihood)


@quantity(rows="train")
def train_likelihoods(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x_train_likelihood: Tensor,
    spec: DataSpec,
    train_log_likelihood: Tensor,
    annealing: ais.Annealing | None = None,
) -> list[Estimate]:
    """The same of the train images."""
    return likelihood.estimates(model, _binarized(model, x_train_likelihood), spec, annealing, train_log_likelihood)


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
