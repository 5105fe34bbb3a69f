"""Annealed importance sampling (AIS): the normalizer of a model that knows its probabilities only up to a constant.

    log p(x) = log p*(x) - log Z,     Z = E prod_t p*_t(x_(t-1)) / p*_(t-1)(x_(t-1))

A chain starts at an exact sample of the base distribution (beta 0) and follows the annealed distributions p*_t to the model
(beta 1), with one Gibbs step at each. The mean of the importance weights of many chains is an unbiased estimate of Z. The log
of a mean of few weights lies below log Z on average, so log p(x) comes out too high. The same walk backwards, from the model to
the base distribution, errs to the other side and shows by how much.

References: R. M. Neal, "Annealed importance sampling", Statistics and Computing 11, 2001,
https://arxiv.org/abs/physics/9803008; for Boltzmann machines: R. Salakhutdinov, I. Murray, "On the quantitative analysis of
deep belief networks", ICML 2008, https://doi.org/10.1145/1390156.1390266; reverse annealing: Y. Burda, R. Grosse, R.
Salakhutdinov, "Accurate and conservative estimates of MRF log-likelihood using reverse annealing", AISTATS 2015,
https://arxiv.org/abs/1412.8566; from both ends: R. Grosse, Z. Ghahramani, R. P. Adams, "Sandwiching the marginal likelihood
using bidirectional Monte Carlo", 2015, https://arxiv.org/abs/1511.02543
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pofxy.base.prediction import device_of, inference
from pofxy.evaluation.intervals import Z95

logger = logging.getLogger("pofxy")

CHAINS = 100
# Steps of the walks. A longer walk is taken where the shorter one is not precise enough.
TEMPERATURES = (500, 1000)
BURN_IN = 1000
# log Z is precise enough with this standard error and this gap between both walks, in nats. All images share its error; the
# standard error of a mean of log p(x) over some hundred images is about 0.3 nats, which 0.15 more widen by 12 %.
MAX_ERROR = 0.15
MAX_GAP = 0.3
# log Z is trusted if both walks agree within this many nats and at least this share of the chains is effective.
LARGEST_GAP = 1.0
LEAST_EFFECTIVE = 0.1


@dataclass(frozen=True)
class Annealing:
    """An estimate of log Z by annealed importance sampling, with its checks.

    Attributes:
        log_z: in nats. Its exponential is an unbiased estimate of Z.
        standard_error: its standard error in nats over the chains, by the delta method.
        effective_chains: effective sample size: the number of chains of equal weight that would be worth as much.
        reverse_log_z: log Z in nats by the walk from the model back to the base distribution.
        chains: number of chains from the base distribution.
        temperatures: number of steps of each walk.
    """

    log_z: float
    standard_error: float
    effective_chains: float
    reverse_log_z: float
    chains: int
    temperatures: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of log Z."""
        return self.log_z - Z95 * self.standard_error, self.log_z + Z95 * self.standard_error

    @property
    def gap(self) -> float:
        """Reverse minus forward estimate, in nats.

        If the reverse walk starts at exact samples of the model, it is on average at least the error of log Z.
        """
        return self.reverse_log_z - self.log_z

    @property
    def agrees(self) -> bool:
        """Whether both walks find the same Z; False where either is NaN."""
        return abs(self.gap) <= LARGEST_GAP

    @property
    def is_precise(self) -> bool:
        """Whether a longer walk would tell nothing more: a small standard error, and the same from the other end."""
        return self.standard_error <= MAX_ERROR and abs(self.gap) <= MAX_GAP

    @property
    def name(self) -> str:
        """The estimator in the provenance of a score, without the length of the walk: the same for all seeds of a model."""
        return f"AIS, reverse check {f'within {LARGEST_GAP:.0f} nat' if self.agrees else 'failed'}"

    def __str__(self) -> str:
        low, high = self.interval
        estimate = f"log Z = {self.log_z:.2f} ({low:.2f} to {high:.2f}), reverse check {self.gap:+.2f} nats"
        chains = f"{self.effective_chains:.0f} of {self.chains} chains effective"
        return f"{estimate}, {chains}, {self.temperatures} temperatures"


def anneal(
    model, start: Tensor, chains: int = CHAINS, temperatures: Sequence[int] = TEMPERATURES, burn_in: int = BURN_IN
) -> Annealing:
    """Estimates log Z from both ends; a warning is logged where the estimate is not to be trusted.

    Walks of increasing length are taken until one is precise; each starts anew, and the last one alone is the estimate. A walk
    that misses a part of the distribution may have a small standard error, so the walk from the other end must agree as well.
    That the last walk is chosen by its own standard error and gap makes its estimate no longer exactly unbiased; the bias is
    smaller than the gap that is allowed.

    Args:
        model: fitted, with the capability `log_unnormalized` and the methods that belong to it: `log_annealed`, `gibbs_step`,
            `base_sample` and `state_of`.
        start: images (n, ...) at which the chains of the reverse walk start. Test images reach modes that the walk from the base
            distribution misses, if the model has learned their distribution. Exact samples of the model need no burn-in, and make
            the check a bound.
        chains: number of chains from the base distribution; the reverse walk has n.
        temperatures: numbers of steps from beta 0 to 1, of one walk after the other.
        burn_in: number of Gibbs steps at beta 1 that bring `start` to the model's distribution.

    Returns:
        Both estimates of log Z. They are not to be trusted where they differ by more than a nat, or where a few chains have all
        the weight.
    """
    with inference(model):
        state = model.state_of(start.to(device_of(model)))
        for _ in range(burn_in):
            state = model.gibbs_step(state, 1.0)
        for steps in temperatures:
            annealing = _walk(model, state, chains, steps)
            if annealing.is_precise:
                break
    trusted = annealing.agrees and annealing.effective_chains >= LEAST_EFFECTIVE * chains
    logger.log(logging.INFO if trusted else logging.WARNING, "%s: %s", type(model).__name__, annealing)
    return annealing


def schedule(temperatures: int, steepness: float = 4.0) -> list[float]:
    """Inverse temperatures from 0 to 1 along a sigmoid.

    They are close together at both ends, because the first and last steps change the distribution most.
    Source: R. Grosse, Z. Ghahramani, R. P. Adams, 2015, https://arxiv.org/abs/1511.02543

    Args:
        temperatures: number of steps.
        steepness: argument of the sigmoid at both ends.

    Returns:
        temperatures + 1 numbers.
    """
    curve = torch.sigmoid(torch.linspace(-steepness, steepness, temperatures + 1, dtype=torch.float64))
    return ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()


def _walk(model, state: Tensor, chains: int, temperatures: int) -> Annealing:
    """Both estimates of log Z by walks of `temperatures` steps; the reverse one starts at states (n, ...) of the model."""
    betas = schedule(temperatures)
    forward = _log_weights(model, model.base_sample(chains), betas)  # (chains,)
    backward = _log_weights(model, state, betas[::-1])  # (n,)
    weights = forward.softmax(0)
    return Annealing(
        log_z=float(_log_mean_exp(forward)),
        # Delta method: the standard error of log Z is that of Z over Z; with weights of mean 1 it is std(weights) / sqrt(chains).
        standard_error=float((chains * weights).std() / math.sqrt(chains)),
        effective_chains=float(1 / (weights**2).sum()),
        reverse_log_z=float(-_log_mean_exp(backward)),
        chains=chains,
        temperatures=temperatures,
    )


def _log_weights(model, state: Tensor, betas: list[float]) -> Tensor:
    """Log importance weight of each chain from samples of the distribution at betas[0] along betas: (n,) float64 on the CPU."""
    log_weight = torch.zeros(len(state), dtype=torch.float64)
    for step, (old, new) in enumerate(pairwise(betas), 1):
        # Summed in float64, because a thousand small differences of large numbers are added.
        log_weight += (model.log_annealed(state, new) - model.log_annealed(state, old)).cpu().double()
        if step < len(betas) - 1:
            state = model.gibbs_step(state, new)
    return log_weight


def _log_mean_exp(log_weight: Tensor) -> Tensor:
    return log_weight.logsumexp(0) - math.log(len(log_weight))
