"""Outliers, and how often a score takes them for less typical than test images: shared by the probes of outliers.

    a_n = P(s(outlier) < s(x_n)) + 1/2 P(s(outlier) = s(x_n)),      AUROC = mean of a_n over the test images

The placement value a_n is the share of outliers whose score s lies below that of test image n. Its mean is the area under the
ROC curve of telling test images from outliers. Source: J. A. Hanley, K. O. Hajian-Tilaki, "Sampling variability of nonparametric
estimates of the areas under receiver operating characteristic curves: an update", Academic Radiology 1997.
"""

import math

import torch

from pofxy.base.prediction import predict_batched
from pofxy.base.tags import tags_of
from pofxy.evaluation.quantities import ProbeResult, generator

# What gives a log-likelihood, the first that a model has; one up to a constant ranks images all the same.
DENSITY = ("log_prob", "log_weight", "log_prob_bound", "log_unnormalized")
# Weights for one image: the logarithm of their mean is a lower bound of log p(x) on average.
WEIGHTS = 16


def placed(score, x, spec, others):
    """Placement values of x (N, C, H, W) among every kind of outliers, as ProbeResult at place 0.

    Args:
        score: (n, C, H, W) -> (n,), the larger, the more typical; infinite values are ranked as any other.
        x: the test images.
        spec: of their data set.
        others: images of other data sets, (n, C, H, W), by name.

    Raises:
        ValueError: where a score is NaN.
    """
    own = _checked(score(x), "the test images")
    values = []
    kinds = outliers(x, spec, others)
    for name, images in kinds.items():
        strange = _checked(score(images), f"the outliers '{name}'").sort().values
        below, not_above = (torch.searchsorted(strange, own, right=right) for right in (False, True))
        values.append((below + not_above) / 2 / len(strange))
    return ProbeResult(torch.stack(values, 1)[:, :, None].float(), tuple(kinds), (0.0,))


def outliers(x, spec, others):
    """As many images as x (N, C, H, W) of each kind, by its name: of the same shape, on the same grid of grey levels."""
    random, top = generator(), spec.levels - 1
    n, channels, height, width = x.shape
    order = torch.rand(n, 1, height * width, generator=random).argsort(2).expand(n, channels, -1)
    made = {
        "noise": torch.randint(spec.levels, x.shape, generator=random) / top,
        "inverted": 1 - x,
        "shuffled pixels": x.flatten(2).gather(2, order).view(x.shape),  # (N, C, H W) -> (N, C, H, W)
    }
    return made | {name: (images[:n].clamp(0, 1) * top).round() / top for name, images in others.items()}


def log_likelihood(model, x, spec):
    """log p(x), a bound or an estimate of it, in nats, (N,), up to what is the same for all images.

    A density is one over dequantized images, and a model of binary images has a mass for such alone: x (N, C, H, W) is made so,
    by the same random numbers for every model.
    """
    if tags_of(model).likelihood == "density":
        x = x + (torch.rand(x.shape, generator=generator()) - 0.5) / (spec.levels - 1)
    how = tags_of(model).binarized
    if how:
        x = (x >= 0.5).to(x.dtype) if how == "threshold" else torch.bernoulli(x, generator=generator())
    verb = next(verb for verb in DENSITY if hasattr(model, verb))
    if verb == "log_weight":
        weights = torch.stack([predict_batched(model, verb, x) for _ in range(WEIGHTS)])  # (WEIGHTS, N)
        return weights.logsumexp(0) - math.log(WEIGHTS)
    return predict_batched(model, verb, x)


def _checked(scores, whose):
    if scores.isnan().any():
        raise ValueError(f"the score of {whose} is NaN for {int(scores.isnan().sum())} of {len(scores)}")
    return scores.double()
