"""Bayes' rule, in this one place: mixins that derive a classifier and a density from log p(x, y), or from a bound of it."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsLogJoint, SupportsLogJointBound
from pofxy.base.classifiers import ProbabilisticClassifierMixin


class HasClassPrior(Protocol):
    """A model with the buffer `log_prior` (K,), log p(y), made by `log_class_prior(y, K)`."""

    log_prior: Tensor


class HasConditional(HasClassPrior, Protocol):
    """A class-conditional model."""

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y (N,) -> (N,) nats, log p(x | y)."""
        ...


class ClassPriorMixin:
    """For a model with a class prior: labels for samples that were requested without any."""

    def drawn_labels(self: HasClassPrior, n: int) -> Tensor:
        """n labels sampled from the class prior, (n,)."""
        return torch.multinomial(self.log_prior.exp(), n, replacement=True)


class BayesRuleMixin(ClassPriorMixin, ProbabilisticClassifierMixin):
    """For a model with `log_joint`: it classifies, and p(x) is the sum over the classes."""

    def predict_proba(self: SupportsLogJoint, x: Tensor) -> Tensor:
        """p(y | x) = p(x, y) / sum_y p(x, y), (N, K)."""
        return posterior(self.log_joint(x))

    def log_prob(self: SupportsLogJoint, x: Tensor) -> Tensor:
        """log p(x) = log sum_y p(x, y) in nats, (N,)."""
        return marginal(self.log_joint(x))


class BayesRuleConditionalMixin(BayesRuleMixin):
    """For a model with `log_conditional` and a class prior: each class is evaluated in turn."""

    def log_joint(self: HasConditional, x: Tensor) -> Tensor:
        """log p(x, y) = log p(y) + log p(x | y) in nats, (N, K)."""
        return _add_prior(self.log_conditional, self.log_prior, x)


class BayesRuleBoundMixin(ClassPriorMixin, ProbabilisticClassifierMixin):
    """For a model with `log_joint_bound`, a lower bound of log p(x, y): the sum of the bounds is a bound of the sum."""

    def predict_proba(self: SupportsLogJointBound, x: Tensor) -> Tensor:
        """Bayes' rule with the bounds in place of log p(x, y), (N, K)."""
        return posterior(self.log_joint_bound(x))

    def log_prob_bound(self: SupportsLogJointBound, x: Tensor) -> Tensor:
        """log p(x) >= log sum_y exp(bound of log p(x, y)) in nats, (N,)."""
        return marginal(self.log_joint_bound(x))


def posterior(log_joint: Tensor) -> Tensor:
    """p(y | x) = p(x, y) / sum_y p(x, y), (N, K), from log p(x, y) in nats, (N, K)."""
    return log_joint.softmax(1)


def marginal(log_joint: Tensor) -> Tensor:
    """log p(x) = log sum_y p(x, y) in nats, (N,), from log p(x, y) in nats, (N, K)."""
    return log_joint.logsumexp(1)


def log_class_prior(y: Tensor, classes: int) -> Tensor:
    """The logarithm of the share of each class among labels y (N,), (K,)."""
    return (torch.bincount(y, minlength=classes) / len(y)).log()


def _add_prior(log_conditional: Callable[[Tensor, Tensor], Tensor], log_prior: Tensor, x: Tensor) -> Tensor:
    """log p(y) + log p(x | y) of every class, (N, K)."""
    labels = torch.arange(len(log_prior), device=x.device)
    return log_prior + torch.stack([log_conditional(x, k.expand(len(x))) for k in labels], 1)
