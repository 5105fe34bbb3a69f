"""log p(x) of whole test sets, by every estimator that a model's capabilities allow.

    exact mass or density            log_prob
    importance-weighted bounds       log p(x) >= E log 1/k sum_i p(x, z_i) / q(z_i | x)       (ELBO at k = 1, IWAE-k)
    a bound of the model's own       log_prob_bound
    annealed importance sampling     log p(x) = log p*(x) - log Z,  Z = E prod_t p*_t(x_t-1) / p*_t-1(x_t-1)

A density over an image of L levels is turned into a bound on the mass of its bin by uniform dequantisation; a model of binarized
images gives the mass of binary ones, which is another unit. The first two rise to log p(x) from below. Annealing errs to the good
side: log of a mean of few weights lies below log Z in the mean, so log p(x) comes out too high. The same walk backwards, from the
model to the base law, errs to the other side, and tells by how much.

Sources: uniform dequantisation: L. Theis, A. van den Oord, M. Bethge, ICLR 2016; k draws: Y. Burda, R. Grosse,
R. Salakhutdinov, ICLR 2016; annealing: R. M. Neal, Statistics and Computing 2001; of Boltzmann machines: R. Salakhutdinov,
I. Murray, ICML 2008; from both ends: Y. Burda, R. Grosse, R. Salakhutdinov, AISTATS 2015; R. Grosse, Z. Ghahramani, R. P. Adams,
arXiv:1511.02543, 2015.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pofxy.base.data import DataSpec, dequantize
from pofxy.base.prediction import device_of, inference
from pofxy.base.tags import tags_of

logger = logging.getLogger("pofxy")

DEQUANTIZATIONS = 4
# IWAE-64 takes the draws in groups of as many, IWAE-512 takes all groups; the second only for the first images of a large set.
GROUP = 64
GROUPS = 8
MANY_DRAWS_ON = 1000
# A batch of repeated images: few rows stay in the processor's cache.
ROWS = 512
CHAINS = 100
TEMPERATURES = 1000
BURN_IN = 1000
# The difference of the walks, in nats, and the share of effective chains from which on log Z is not to be trusted.
LARGEST_GAP = 1.0
LEAST_EFFECTIVE = 0.1
BINARIZED = {"threshold": "0.5-threshold", "stochastic": "stochastic binarisation"}
# What log p(x) may be, each in a unit of its own; metrics name these.
KINDS = ("log_mass", "log_density", *(f"log_mass_{how}" for how in BINARIZED))


@dataclass(frozen=True)
class Estimate:
    """log p(x) of test images or rows.

    Attributes:
        values: (n,) nats, of the first n images; -inf where the model holds an image for impossible, NaN where it is broken.
        estimator: how they were found, the passport; it is the same for all seeds of a model, so that they can be averaged.
        bound: whether they are a lower bound, in the mean.
        common_error: standard error in nats that all values share: the one of log Z.
        note: what is known of this one estimate alone: log Z, its interval and its check.
    """

    values: Tensor
    estimator: str
    bound: bool
    common_error: float = 0.0
    note: str = ""

    @property
    def n(self) -> int:
        """Images or rows."""
        return len(self.values)


def estimates(model, x: Tensor, spec: DataSpec, walks: "Annealing | None" = None) -> list[Estimate]:
    """Every estimate of log p(x), the best known first.

    Args:
        model: fitted, with a verb of density or more.
        x: (N, ...); of a model with the attribute `binarized` the images as `binarize` gives them.
        spec: of the data set. With L levels the values are log masses of L-level images, without (a table) log densities.
        walks: what `anneal` found of this model, where it was asked before: one log Z holds for every split.

    Returns:
        One for each way; [] for a model without such a verb. IWAE-512 is of the first 1,000 images. Values that are not finite
        stay as they are: a single impossible image makes the mean -inf, and whoever takes it decides what that means.

    Raises:
        ValueError: where the model's law and the data are of different kinds, so that values would be of another unit.
    """
    binarized, density = tags_of(model).binarized, tags_of(model).likelihood == "density"
    _check_units(type(model).__name__, x, spec, binarized, density)
    dequantized = density and spec.levels is not None

    def points(x):
        return dequantize(x, spec.levels) if dequantized else x

    # Jensen: log of the mass of the bin >= mean over the bin of log(density x volume of the bin).
    volume = -math.log(spec.levels - 1) * math.prod(spec.shape) if dequantized else 0.0
    draws = DEQUANTIZATIONS if dequantized else 1

    def mean(function):
        return sum(_in_batches(model, function, points(x)) for _ in range(draws)) / draws + volume

    found = []
    if hasattr(model, "log_prob"):
        how = tags_of(model).estimator
        exact = "uniform-dequantized bound" if dequantized else "" if how else "exact density" if density else "exact mass"
        found.append(Estimate(mean(model.log_prob), ", ".join(filter(None, [how, exact])), bound=dequantized))
    if hasattr(model, "log_weight"):
        # Each draw of a code has its own draw of the bin: the weight times the volume is the mass in the mean.
        weighted = _importance_weighted(model, x, lambda repeated: model.log_weight(points(repeated)) + volume)
        found += [Estimate(values, name + ", uniform-dequantized" * dequantized, bound=True) for name, values in weighted.items()]
    if hasattr(model, "log_prob_bound"):
        found.append(
            Estimate(mean(model.log_prob_bound), tags_of(model).bound + ", uniform-dequantized" * dequantized, bound=True)
        )
    if hasattr(model, "log_unnormalized"):
        walks = walks or anneal(model, x[torch.arange(CHAINS) % len(x)])
        below = tags_of(model).bound
        name = ", ".join([below] * bool(below) + [walks.name] + ["uniform-dequantized bound"] * dequantized)
        bound = bool(below) or dequantized
        found.append(Estimate(mean(model.log_unnormalized) - walks.log_z, name, bound, walks.error, str(walks)))
    if binarized:
        name = BINARIZED[binarized]
        found = [Estimate(e.values, f"{e.estimator}, {name}", e.bound, e.common_error, e.note) for e in found]
    return found


def kind(model, spec: DataSpec) -> str:
    """Which of KINDS a model's log p(x) is: of L-level images, of rows of a table, or of binarized images."""
    if how := tags_of(model).binarized:
        return f"log_mass_{how}"
    return "log_density" if spec.levels is None else "log_mass"


def binarize(x: Tensor, how: str, generator: torch.Generator | None = None) -> Tensor:
    """Binary images of the shape of x, float32: "threshold": white from 0.5 on; "stochastic": white with probability x.

    Stochastic ones with fixed draws are the test set of R. Salakhutdinov, I. Murray, ICML 2008: the same for every model.
    """
    if how not in BINARIZED:
        raise ValueError(f"binarized = {how!r} is none of {', '.join(BINARIZED)}")
    return (x >= 0.5).float() if how == "threshold" else torch.bernoulli(x, generator=generator)


@dataclass(frozen=True)
class Annealing:
    """log Z by annealed importance sampling, and what speaks for it.

    Attributes:
        log_z: in nats; its exponential is Z in the mean.
        error: its standard error in nats, over the chains, by the delta method.
        effective: of the chains, as many as weights of one size would be worth.
        reverse: log Z by the walk from the model back to the base law.
        chains, temperatures: of each walk.
    """

    log_z: float
    error: float
    effective: float
    reverse: float
    chains: int
    temperatures: int

    @property
    def interval(self) -> tuple[float, float]:
        """Of log Z, 95 %."""
        return self.log_z - 1.96 * self.error, self.log_z + 1.96 * self.error

    @property
    def gap(self) -> float:
        """Reverse less forward, nats: with samples of the model to start from, in the mean no less than the error of log Z."""
        return self.reverse - self.log_z

    @property
    def agrees(self) -> bool:
        """Whether both walks find the same Z; not so where one is NaN."""
        return abs(self.gap) <= LARGEST_GAP

    @property
    def name(self) -> str:
        """The passport."""
        check = f"within {LARGEST_GAP:.0f} nat" if self.agrees else "failed"
        return f"AIS-{self.temperatures} x {self.chains}, reverse check {check}"

    def __str__(self) -> str:
        low, high = self.interval
        found = f"log Z = {self.log_z:.2f} ({low:.2f} to {high:.2f}), reverse check {self.gap:+.2f} nats"
        return f"{found}, {self.effective:.0f} of {self.chains} chains effective"


def anneal(model, start: Tensor, chains: int = CHAINS, temperatures: int = TEMPERATURES, burn_in: int = BURN_IN) -> Annealing:
    """log Z of a model with `log_unnormalized` and what belongs to it, from both ends.

    Args:
        model: fitted.
        start: images (n, ...), whose states are where the chains of the reverse walk start. Test images: they find what the walk
            from the base law did not, if the model has learned their law; exact samples of the model need no burn-in, and make
            the check a bound.
        chains: of the walk from the base law; the reverse one has n.
        temperatures: steps from beta 0 to 1.
        burn_in: steps of `gibbs_step` at beta 1 that bring `start` to the model's law.

    Returns:
        Both estimates of log Z. A warning is logged where they differ by more than a nat, or a few chains have all the weight.
    """
    betas = schedule(temperatures)
    with inference(model):
        forward = _walk(model, model.base_sample(chains), betas)
        state = model.state_of(start.to(device_of(model)))
        for _ in range(burn_in):
            state = model.gibbs_step(state, 1.0)
        backward = _walk(model, state, betas[::-1])
    weights = forward.softmax(0)  # (chains,)
    effective = float(1 / (weights**2).sum())
    # Delta method: the standard error of log Z is the one of Z over Z; with weights w of mean 1 it is std(w) / sqrt(chains).
    error = float((chains * weights).std() / math.sqrt(chains))
    reverse = -_log_mean_exp(backward)
    found = Annealing(float(_log_mean_exp(forward)), error, effective, float(reverse), chains, temperatures)
    trusted = found.agrees and effective >= LEAST_EFFECTIVE * chains
    logger.log(logging.INFO if trusted else logging.WARNING, "%s: %s", type(model).__name__, found)
    return found


def schedule(temperatures: int, steepness: float = 4.0) -> list[float]:
    """Inverse temperatures from 0 to 1, a sigmoid, close together at both ends: the first and last steps change the law most.

    Returns:
        temperatures + 1 numbers. Source: R. Grosse, Z. Ghahramani, R. P. Adams, arXiv:1511.02543.
    """
    curve = torch.sigmoid(torch.linspace(-steepness, steepness, temperatures + 1, dtype=torch.float64))
    return ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()


def _walk(model, state: Tensor, betas: list[float]) -> Tensor:
    """log of the importance weight of each chain that starts at a draw of the law at betas[0]: (n,) float64 on the CPU."""
    weight = torch.zeros(len(state), dtype=torch.float64)
    for step, (old, new) in enumerate(pairwise(betas), 1):
        # (n,): float64 sums, for a thousand small differences of large numbers.
        weight += (model.log_annealed(state, new) - model.log_annealed(state, old)).cpu().double()
        if step < len(betas) - 1:
            state = model.gibbs_step(state, new)
    return weight


def _importance_weighted(model, x: Tensor, log_weight: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """The bounds of 512, 64 and 1 draws by name, of the same draws: the fewer a bound takes, the more of it are averaged."""
    first, rest = x[:MANY_DRAWS_ON], x[MANY_DRAWS_ON:]
    elbo, groups = _groups(model, first, log_weight, GROUPS)  # (n,), (8, n)
    tight = groups.logsumexp(0) - math.log(GROUPS)
    loose = groups.mean(0)
    if len(rest):
        elbo_rest, (loose_rest,) = _groups(model, rest, log_weight, 1)  # (N - n,), (1, N - n)
        elbo, loose = torch.cat([elbo, elbo_rest]), torch.cat([loose, loose_rest])
    return {f"IWAE-{GROUPS * GROUP}": tight, f"IWAE-{GROUP}": loose, "ELBO": elbo}


def _groups(model, x: Tensor, log_weight: Callable[[Tensor], Tensor], groups: int) -> tuple[Tensor, Tensor]:
    """The mean of all log weights (n,) and the log of the mean weight of each group of draws (groups, n)."""
    device, elbo, means = device_of(model), [], []
    with inference(model):
        for part in x.split(ROWS // GROUP):
            repeated = part.to(device).repeat(GROUP, *[1] * (x.ndim - 1))  # (B, ...) -> (64 B, ...)
            drawn = [log_weight(repeated).view(GROUP, len(part)) for _ in range(groups)]  # (64 B,) -> (64, B)
            elbo.append(torch.stack([group.mean(0) for group in drawn]).mean(0).cpu())
            means.append(torch.stack([_log_mean_exp(group) for group in drawn]).cpu())
    return torch.cat(elbo), torch.cat(means, 1)


def _log_mean_exp(weight: Tensor) -> Tensor:
    return weight.logsumexp(0) - math.log(len(weight))


def _in_batches(model, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of rows applied in batches on the model's device, (N,) on the CPU."""
    with inference(model):
        return torch.cat([function(part.to(device_of(model))).cpu() for part in x.split(512)])


def _check_units(name: str, x: Tensor, spec: DataSpec, binarized: str, density: bool) -> None:
    if binarized:
        if binarized not in BINARIZED:
            raise ValueError(f"{name}: binarized = {binarized!r} is none of {', '.join(BINARIZED)}")
        if density or spec.levels is None:
            raise ValueError(f"{name}: a binarized model gives masses of images, no density, and of no table")
        if not ((x == 0) | (x == 1)).all():
            raise ValueError(f"{name}: a binarized model is scored on binary images, and these have other grey levels")
    elif spec.levels is None and not density:
        raise ValueError(f"{name}: {spec.name} is a table, whose rows have a density; the class does not say measure = 'density'")
