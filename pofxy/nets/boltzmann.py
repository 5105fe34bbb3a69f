"""Boltzmann machines of binary pixels and a label: what the restricted and the deep one have in common.

A machine says what it makes of a state s (n, U + K), U binary units and the label as one of K: `log_annealed`, `gibbs_step` and
`base_sample`, and of an image `log_joint_unnormalized(x)`, log p(x, y) + log Z or a bound of it, (N, K).

Chains of the model hold their labels, so that none has to find its way from class to class: what is trained is p(x | y). That is
maximum likelihood of p(x, y), too, for the bias d of the labels is free to make p(y) what it is in the data. Annealing with the
label held gives Z_y of each class at the end, and d = -log Z_y (in units of the base law's prior).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.data import DataSpec
from pofxy.base.tags import Tags

# Of the walks from the base law to the model that find Z_y, for each class.
WALKS = 20
TEMPERATURES = 300


class BoltzmannMachine(ProbabilisticClassifierMixin, nn.Module):
    """Classifies by Bayes' rule, in which Z cancels."""

    tags = Tags(conditional=True, binarized="threshold", images_only=True)

    def start(self, spec: DataSpec, units: int | None = None) -> None:
        """The sizes; U is `units`, or the number of pixels. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: a Boltzmann machine of binary pixels takes images, and this is a table")
        self.shape, self.classes, self.pixels = spec.shape, spec.classes, math.prod(spec.shape)
        self.units = self.pixels if units is None else units

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x), (N, K): exact where the unnormalised mass is; of bounds it is Bayes' rule over bounds."""
        return self.log_joint_unnormalized(x).softmax(1)

    def log_unnormalized(self, x: Tensor) -> Tensor:
        """log p(x) + log Z in nats, or its bound, (N,): a mass over binary images, summed over the classes."""
        return self.log_joint_unnormalized(x).logsumexp(1)

    @torch.no_grad()
    def log_z_by_class(self) -> Tensor:
        """log of Z_y over its value at beta 0, (K,): annealed importance sampling with the label held."""
        labels = torch.arange(self.classes, device=self.label_bias.device).repeat_interleave(WALKS)
        s, weight = self.labelled(self.base_sample(len(labels)), labels), 0.0
        for step in range(TEMPERATURES):
            old, new = step / TEMPERATURES, (step + 1) / TEMPERATURES
            weight = weight + (self.log_annealed(s, new) - self.log_annealed(s, old)).double()
            s = self.labelled(self.gibbs_step(s, new), labels)
        return weight.view(self.classes, WALKS).logsumexp(1).float() - math.log(WALKS)  # (K WALKS,) -> (K,)

    def chain_labels(self, chains: int) -> Tensor:
        """Labels of the persistent chains: as many of each class, `chains` or a few more."""
        return torch.arange(self.classes).repeat_interleave(-(-chains // self.classes))

    def class_weights(self, labels: Tensor, y: Tensor) -> Tensor:
        """Of chains with these labels (n,), weights (n,) by which each class weighs as much as among y (B,)."""
        share = torch.bincount(y, minlength=self.classes) / len(y)
        return share[labels] * self.classes / len(labels)

    def labelled(self, s: Tensor, labels: Tensor) -> Tensor:
        """The states s with these labels in place of theirs; s may be of the units alone: (n, U or U + K) -> (n, U + K)."""
        return torch.cat([s[:, : self.units], F.one_hot(labels, self.classes)], 1)


def binary(x: Tensor) -> Tensor:
    """White from 0.5 on, (N, D)."""
    return (x.flatten(1) >= 0.5).float()


def drawn(probability: Tensor) -> Tensor:
    """1 with this probability, else 0; torch.bernoulli takes several times as long."""
    return (torch.rand_like(probability) < probability).float()
