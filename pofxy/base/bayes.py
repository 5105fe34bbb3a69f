"""Bayes' rule, in this one place: mixins that derive a classifier and a density from the joint distribution, or from a bound."""

from collections.abc import Callable

import torch
from torch import Tensor

from pofxy.base.classifiers import ProbabilisticClassifierMixin


class ClassPriorMixin:
    """A model with the buffer `log_prior` (K,), made by `log_class_prior(y, K)`, that is asked for samples of a class."""

    def drawn_labels(self, n: int) -> Tensor:
        """n labels drawn from the class prior, (n,): for samples that nobody named a label for."""
        return torch.multinomial(self.log_prior.exp(), n, replacement=True)


class BayesRuleMixin(ClassPriorMixin, ProbabilisticClassifierMixin):
    """Bayes' rule, in this one place: a model that has `log_joint` classifies and gives the density of x."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x) = p(x, y) / sum_y p(x, y), (N, K)."""
        return self.log_joint(x).softmax(1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = log sum_y p(x, y) in nats, (N,)."""
        return self.log_joint(x).logsumexp(1)


class BayesRuleConditionalMixin(BayesRuleMixin):
    """The same for a model that has `log_conditional(x, y)`, (N,) nats: it is asked for every class in turn."""

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) = log p(y) + log p(x | y) in nats, (N, K)."""
        return _of_every_class(self.log_conditional, self.log_prior, x)


class BayesRuleBoundMixin(ClassPriorMixin, ProbabilisticClassifierMixin):
    """The same for a model that knows log p(x, y) from below: `log_joint_bound`. The sum of bounds is a bound of the sum."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """Bayes' rule with the bounds in place of what they bound, (N, K)."""
        return self.log_joint_bound(x).softmax(1)

    def log_prob_bound(self, x: Tensor) -> Tensor:
        """log p(x) >= log sum_y exp(bound of log p(x, y)) in nats, (N,)."""
        return self.log_joint_bound(x).logsumexp(1)


class BayesRuleConditionalBoundMixin(BayesRuleBoundMixin):
    """The same for a model that has `log_conditional_bound(x, y)`, (N,) nats: it is asked for every class in turn."""

    def log_joint_bound(self, x: Tensor) -> Tensor:
        """log p(x, y) >= log p(y) + bound of log p(x | y) in nats, (N, K)."""
        return _of_every_class(self.log_conditional_bound, self.log_prior, x)


def _of_every_class(log_conditional: Callable[[Tensor, Tensor], Tensor], log_prior: Tensor, x: Tensor) -> Tensor:
    labels = torch.arange(len(log_prior), device=x.device)
    return log_prior + torch.stack([log_conditional(x, k.expand(len(x))) for k in labels], 1)


def log_class_prior(y: Tensor, classes: int) -> Tensor:
    """log of the share of each class among labels y (N,), (K,)."""
    return (torch.bincount(y, minlength=classes) / len(y)).log()
