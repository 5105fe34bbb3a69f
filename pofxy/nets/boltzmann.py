"""Boltzmann machines of binary pixels and a label: what the restricted and the deep one share.

A state s (n, U + K) consists of U binary units and of the label as one of K. A machine has `log_annealed`, `gibbs_step` and
`base_sample` over states, and `log_joint_unnormalized(x)` (N, K), which is log p(x, y) + log Z or a lower bound of it.

The persistent Markov chains of the model keep their labels fixed, so that none has to move from class to class. This trains
p(x | y). It is maximum likelihood of p(x, y) as well, because the bias d of the labels is free to make p(y) equal to that of the
data. After training, annealed importance sampling (AIS) with the label fixed estimates Z_y of each class, and d = -log Z_y
(relative to the prior of the base distribution).
"""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.data import DataSpec
from pofxy.base.tags import Tags

# Annealing from the base distribution to the model, to estimate Z_y: chains of each class, and steps of the temperature.
AIS_CHAINS = 20
AIS_STEPS = 300


class BoltzmannMachine(ProbabilisticClassifierMixin, nn.Module):
    """Classifies by Bayes' rule, in which Z cancels."""

    tags = Tags(conditional=True, binarized="threshold", images_only=True)

    label_bias: Tensor
    log_joint_unnormalized: Callable[[Tensor], Tensor]
    log_annealed: Callable[[Tensor, float], Tensor]
    gibbs_step: Callable[[Tensor, float], Tensor]
    base_sample: Callable[[int], Tensor]

    def start(self, spec: DataSpec, units: int | None = None) -> None:
        """Sets the sizes; U is `units`, or the number of pixels.

        Raises:
            ValueError: for a table.
        """
        if spec.levels is None:
            raise ValueError(f"{spec.name}: a Boltzmann machine of binary pixels takes images, and this is a table")
        self.shape = spec.shape
        self.classes = spec.classes
        self.pixels = math.prod(spec.shape)
        self.units = self.pixels if units is None else units

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x), (N, K): exact where the unnormalized mass is exact; otherwise Bayes' rule over lower bounds."""
        return self.log_joint_unnormalized(x).softmax(1)

    def log_unnormalized(self, x: Tensor) -> Tensor:
        """log p(x) + log Z in nats, or its lower bound, (N,): a mass over binary images, summed over the classes."""
        return self.log_joint_unnormalized(x).logsumexp(1)

    @torch.no_grad()
    def log_z_by_class(self) -> Tensor:
        """log of Z_y over its value at beta 0, (K,): annealed importance sampling with the label fixed."""
        labels = torch.arange(self.classes, device=self.label_bias.device).repeat_interleave(AIS_CHAINS)
        s = self.with_labels(self.base_sample(len(labels)), labels)
        log_weights = 0.0
        for step in range(AIS_STEPS):
            old = step / AIS_STEPS
            new = (step + 1) / AIS_STEPS
            log_weights = log_weights + (self.log_annealed(s, new) - self.log_annealed(s, old)).double()
            s = self.with_labels(self.gibbs_step(s, new), labels)
        log_weights = cast(Tensor, log_weights).view(self.classes, AIS_CHAINS)  # (K AIS_CHAINS,) -> (K, AIS_CHAINS)
        return log_weights.logsumexp(1).float() - math.log(AIS_CHAINS)

    def balanced_labels(self, n: int) -> Tensor:
        """Labels for n persistent chains or a few more: the same number for each class."""
        return torch.arange(self.classes).repeat_interleave(-(-n // self.classes))

    def class_weights(self, labels: Tensor, y: Tensor) -> Tensor:
        """Weights (n,) for chains with these labels (n,), such that each class has the total weight of its share among y (B,)."""
        share = torch.bincount(y, minlength=self.classes) / len(y)
        return share[labels] * self.classes / len(labels)

    def with_labels(self, s: Tensor, labels: Tensor) -> Tensor:
        """The states s with these labels in place of theirs; s may be the units alone: (n, U or U + K) -> (n, U + K)."""
        return torch.cat([s[:, : self.units], F.one_hot(labels, self.classes)], 1)


def binarize(x: Tensor) -> Tensor:
    """1 where a pixel is 0.5 or more, else 0, (N, D)."""
    return (x.flatten(1) >= 0.5).float()


def sample_bernoulli(probability: Tensor) -> Tensor:
    """1 with this probability, else 0; torch.bernoulli takes several times as long."""
    return (torch.rand_like(probability) < probability).float()
