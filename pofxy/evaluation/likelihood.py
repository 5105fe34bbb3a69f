"""log p(x) of whole test sets, by every estimator that a model's capabilities allow.

    exact mass or density            log_prob
    importance-weighted bounds       log p(x) >= E log 1/k sum_i p(x, z_i) / q(z_i | x)
    a bound of the model's own       log_prob_bound
    annealed importance sampling     log p(x) = log p*(x) - log Z

The importance-weighted bound with k importance samples is named IWAE-k, after the importance-weighted autoencoder; at k = 1 it
is the evidence lower bound (ELBO). It rises to log p(x) from below as k grows. Annealed importance sampling (AIS) errs to the
other side: log p(x) comes out too high, see `ais`.

A density over an image of L levels becomes a bound on the mass of its bin by uniform dequantization. A model of binarized
images gives the mass of binary images, which is another unit.

References: uniform dequantization: L. Theis, A. van den Oord, M. Bethge, "A note on the evaluation of generative models", ICLR
2016, https://arxiv.org/abs/1511.01844; importance-weighted bounds: Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted
autoencoders", ICLR 2016, https://arxiv.org/abs/1509.00519
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pofxy.base.data import DataSpec, dequantize
from pofxy.base.prediction import device_of, inference, predict_batched
from pofxy.base.tags import tags_of
from pofxy.evaluation.ais import CHAINS, Annealing, anneal

# What gives a log-likelihood, the best known first.
CAPABILITIES = ("log_prob", "log_weight", "log_prob_bound", "log_unnormalized")
# Importance samples of the first estimate.
N_IMPORTANCE_SAMPLES = 16
# Images on which the noise of a bound with random dequantizations (and of an estimate of log p(x)) is measured.
PILOT = 100
# A bound takes the smallest of these numbers of dequantizations whose noise is at most MAX_NOISE of the variance of log p(x)
# between images: more of them would make the interval of the mean at most sqrt(1 + 1/3) = 1.15 times narrower. Models are
# compared by that mean.
DEQUANTIZATIONS = (1, 2, 4)
MAX_NOISE = 1 / 3
# Seed of the first point: none that a run has, because with the run's own seed the second point would be the same.
FIRST_POINT = 1_000_003
# Importance samples are drawn in groups. IWAE-64 averages over the groups, IWAE-512 takes them together.
GROUP = 64
GROUPS = 8
# Number of images that get all groups; the others of a large set get one.
ALL_GROUPS_ON = 1000
# Rows of a batch of repeated images: few rows stay in the processor's cache.
ROWS = 512
BINARIZED = {"threshold": "0.5-threshold", "stochastic": "stochastic binarization"}
# What log p(x) may be, each in its own unit; metrics take one of these as a parameter.
KINDS = ("log_mass", "log_density", *(f"log_mass_{method}" for method in BINARIZED))


@dataclass(frozen=True)
class Estimate:
    """log p(x) of test images or rows.

    Attributes:
        values: nats of the first n images, (n,); -inf where the model makes an image impossible, NaN where it is broken.
        estimator: how they were found, a part of a score's provenance. It is the same for all seeds of a model, so that their
            scores can be averaged.
        bound: whether they are a lower bound, on average.
        common_error: standard error in nats that all values share: that of log Z.
        note: facts about this single estimate: the number of dequantizations; log Z, its interval and its check.
    """

    values: Tensor
    estimator: str
    bound: bool
    common_error: float = 0.0
    note: str = ""

    @property
    def n(self) -> int:
        """Number of images or rows."""
        return len(self.values)


def first_estimate(model, x: Tensor, spec: DataSpec) -> Tensor:
    """log p(x) in nats by the model's best capability, (N,): what `estimates` starts from, and what images are ranked by.

    It is the value itself, or a bound or estimate by one call of the model. A density of an image is taken at one dequantized
    point, with the same random numbers for every model. Of importance weights, the log of the mean of 16 is taken, a lower bound
    in expectation. `log_unnormalized` lacks log Z.

    Args:
        model: fitted, with one capability of likelihood or more.
        x: as of `estimates`.
        spec: of the data set.
    """
    points = x if is_of_images_as_they_are(model, spec) or tags_of(model).binarized else _fixed_point(x, spec)
    capability = _first_capability(model)
    if capability == "log_weight":
        log_weights = torch.stack([predict_batched(model, capability, points) for _ in range(N_IMPORTANCE_SAMPLES)])  # (16, N)
        values = log_weights.logsumexp(0) - math.log(N_IMPORTANCE_SAMPLES)
    else:
        values = predict_batched(model, capability, points)
    return values + _log_volume(model, spec)


def is_of_images_as_they_are(model, spec: DataSpec) -> bool:
    """Whether log p(x) is that of x itself: neither of a dequantized point nor of a binarized image."""
    tags = tags_of(model)
    return not tags.binarized and (tags.likelihood == "mass" or spec.levels is None)


def estimates(
    model, x: Tensor, spec: DataSpec, annealing: Annealing | None = None, first: Tensor | None = None
) -> list[Estimate]:
    """Every estimate of log p(x), the best known first.

    A bound by dequantization is the mean over several points of the bin. How many follows from a pilot: the first images get a
    second point, and the variance of the differences is the noise. The choice depends on how far the values are apart, and not on
    how high they are, so the mean over all points stays unbiased.

    Args:
        model: fitted, with one capability of likelihood or more.
        x: (N, ...). For a model with the tag `binarized`, images as `binarize` returns them.
        spec: of the data set. With L levels the values are log masses of L-level images; without (a table), log densities.
        annealing: log Z of this model where it was estimated before, as one estimate serves every split.
        first: the `first_estimate` of x, (N,), where it is known already.

    Returns:
        One estimate for each way; [] for a model without such a capability. IWAE-512 covers the first 1,000 images. Values that
        are not finite are kept: a single impossible image makes the mean -inf, and the caller decides what that means.

    Raises:
        ValueError: where the model's distribution and the data are of different kinds, so that values would be in another unit.
    """
    tags = tags_of(model)
    is_density = tags.likelihood == "density"
    _check_units(type(model).__name__, x, spec, tags.binarized, is_density)
    levels = spec.levels if is_density else None
    dequantized = levels is not None
    log_volume = _log_volume(model, spec)

    def points(rows: Tensor) -> Tensor:
        return rows if levels is None else dequantize(rows, levels)

    def again(capability: str, rows: Tensor) -> Tensor:
        return predict_batched(model, capability, points(rows)) + log_volume

    def mean(capability: str) -> tuple[Tensor, str]:
        values = first if first is not None and capability == _first_capability(model) else again(capability, x)
        if not dequantized:
            return values, ""
        pilot = again(capability, x[:PILOT])
        n = _n_dequantizations(values, pilot)
        if n > 1:
            second = torch.cat([pilot, again(capability, x[PILOT:])]) if len(x) > PILOT else pilot  # (N,)
            more = [again(capability, x) for _ in range(n - 2)]
            values = torch.stack([values, second, *more]).mean(0)  # n of (N,) -> (N,)
        return values, f"log p(x) of {len(x)} images by {n} dequantization{'s' * (n > 1)} of each"

    results = []
    if hasattr(model, "log_prob"):
        exact = "" if tags.log_prob_estimator else "exact density" if is_density else "exact mass"
        name = _joined(tags.log_prob_estimator, "uniform-dequantized bound" if dequantized else exact)
        values, note = mean("log_prob")
        results.append(Estimate(values, name, bound=dequantized, note=note))
    if hasattr(model, "log_weight"):
        # Each importance sample gets its own point of the bin: the mean of weight times volume is the mass.
        bounds = _importance_weighted(model, x, lambda repeated: model.log_weight(points(repeated)) + log_volume)
        for name, values in bounds.items():
            results.append(Estimate(values, _joined(name, "uniform-dequantized" if dequantized else ""), bound=True))
    if hasattr(model, "log_prob_bound"):
        name = _joined(tags.bound, "uniform-dequantized" if dequantized else "")
        values, note = mean("log_prob_bound")
        results.append(Estimate(values, name, bound=True, note=note))
    if hasattr(model, "log_unnormalized"):
        annealing = annealing or anneal(model, x[torch.arange(CHAINS) % len(x)])
        values, note = mean("log_unnormalized")
        name = _joined(tags.bound, annealing.name, "uniform-dequantized bound" if dequantized else "")
        bound = bool(tags.bound) or dequantized
        note = _joined(str(annealing), note)
        results.append(Estimate(values - annealing.log_z, name, bound, annealing.standard_error, note))
    if tags.binarized:
        results = [replace(result, estimator=_joined(result.estimator, BINARIZED[tags.binarized])) for result in results]
    return results


def kind(model, spec: DataSpec) -> str:
    """Which of KINDS a model's log p(x) is: of L-level images, of rows of a table, or of binarized images."""
    if method := tags_of(model).binarized:
        return f"log_mass_{method}"
    return "log_density" if spec.levels is None else "log_mass"


def binarize(x: Tensor, method: str, generator: torch.Generator | None = None) -> Tensor:
    """Binary images.

    With a generator of fixed seed the stochastic images are the same for every model, as in R. Salakhutdinov, I. Murray, "On the
    quantitative analysis of deep belief networks", ICML 2008. https://doi.org/10.1145/1390156.1390266

    Args:
        x: images in [0, 1], of any shape.
        method: "threshold": 1 from 0.5 on; "stochastic": 1 with probability x.
        generator: of the random numbers; None for torch's own.

    Returns:
        0 or 1, of the shape of x, float32.

    Raises:
        ValueError: for another method.
    """
    if method not in BINARIZED:
        raise ValueError(f"binarized = {method!r} is none of {', '.join(BINARIZED)}")
    return (x >= 0.5).float() if method == "threshold" else torch.bernoulli(x, generator=generator)


def _importance_weighted(model, x: Tensor, log_weight: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """The bounds IWAE-512, IWAE-64 and ELBO by name, from the same importance samples: a smaller k averages more terms."""
    rest = x[ALL_GROUPS_ON:]
    elbo, groups = _groups(model, x[:ALL_GROUPS_ON], log_weight, GROUPS)  # (n,), (8, n)
    tight = groups.logsumexp(0) - math.log(GROUPS)  # (n,)
    loose = groups.mean(0)  # (n,)
    if len(rest):
        elbo_rest, groups_rest = _groups(model, rest, log_weight, 1)  # (N - n,), (1, N - n)
        elbo = torch.cat([elbo, elbo_rest])
        loose = torch.cat([loose, groups_rest[0]])
    return {f"IWAE-{GROUPS * GROUP}": tight, f"IWAE-{GROUP}": loose, "ELBO": elbo}


def _groups(model, x: Tensor, log_weight: Callable[[Tensor], Tensor], groups: int) -> tuple[Tensor, Tensor]:
    """The mean of all log weights, (n,), and the log of the mean weight of each group of importance samples, (groups, n)."""
    device = device_of(model)
    elbos = []
    log_means = []
    with inference(model):
        for batch in x.split(ROWS // GROUP):
            repeated = batch.to(device).repeat(GROUP, *[1] * (x.ndim - 1))  # (B, ...) -> (64 B, ...)
            log_weights = [log_weight(repeated).view(GROUP, len(batch)) for _ in range(groups)]  # (64 B,) -> (64, B)
            elbos.append(torch.stack([group.mean(0) for group in log_weights]).mean(0).cpu())  # (B,)
            log_means.append(torch.stack([group.logsumexp(0) - math.log(GROUP) for group in log_weights]).cpu())  # (groups, B)
    return torch.cat(elbos), torch.cat(log_means, 1)


def _n_dequantizations(values: Tensor, second: Tensor) -> int:
    """How many of DEQUANTIZATIONS the bounds `values` (N,) need, given the same of other points of the first images, (n,)."""
    noise = (values[: len(second)] - second).double().square().mean() / 2
    between_images = values.double().var() - noise
    return next((n for n in DEQUANTIZATIONS if noise / n <= MAX_NOISE * between_images), DEQUANTIZATIONS[-1])


def _fixed_point(x: Tensor, spec: DataSpec) -> Tensor:
    """A uniform point of each pixel's bin, the same for every model; x (N, ...)."""
    assert spec.levels is not None
    return x + (torch.rand(x.shape, generator=torch.Generator().manual_seed(FIRST_POINT)) - 0.5) / (spec.levels - 1)


def _log_volume(model, spec: DataSpec) -> float:
    """Log of the volume of a bin, where a density of images stands for a mass, else 0.

    Jensen: the log mass of a bin is at least the mean over the bin of log(density x volume of the bin).
    """
    if tags_of(model).likelihood != "density" or spec.levels is None:
        return 0.0
    return -math.log(spec.levels - 1) * math.prod(spec.shape)


def _first_capability(model) -> str:
    return next(name for name in CAPABILITIES if hasattr(model, name))


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _check_units(name: str, x: Tensor, spec: DataSpec, binarized: str, is_density: bool) -> None:
    if binarized:
        if binarized not in BINARIZED:
            raise ValueError(f"{name}: binarized = {binarized!r} is none of {', '.join(BINARIZED)}")
        if is_density or spec.levels is None:
            raise ValueError(f"{name}: a binarized model gives masses of images, no density, and of no table")
        if not ((x == 0) | (x == 1)).all():
            raise ValueError(f"{name}: a binarized model is scored on binary images, and these have other gray levels")
    elif spec.levels is None and not is_density:
        raise ValueError(f"{name}: {spec.name} is a table, whose rows have a density; its tags lack likelihood='density'")
