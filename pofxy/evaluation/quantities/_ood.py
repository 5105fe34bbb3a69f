"""Out-of-distribution (OOD) images, and how often a score takes them for less typical than test images.

    a_n = P(s(OOD image) < s(x_n)) + 1/2 P(s(OOD image) = s(x_n)),      AUROC = mean of a_n over the test images

The placement value a_n is the share of OOD images whose score s is below that of test image n. Its mean is the area under the ROC
curve (AUROC) of telling test images from OOD images.

Source: J. A. Hanley, K. O. Hajian-Tilaki, "Sampling variability of nonparametric estimates of the areas under receiver operating
characteristic curves: an update", Academic Radiology 1997, https://doi.org/10.1016/S1076-6332(97)80161-4.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pofxy.base.data import DataSpec
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import tags_of
from pofxy.evaluation.quantity import ProbeResult, fixed_generator

# What gives a log-likelihood, the first that a model has; one up to a constant ranks images all the same.
DENSITY = ("log_prob", "log_weight", "log_prob_bound", "log_unnormalized")
# Importance samples for one image: the logarithm of the mean weight is a lower bound of log p(x) in expectation.
N_IMPORTANCE_SAMPLES = 16


def placement_values(score: Callable[[Tensor], Tensor], x: Tensor, ood_images: dict[str, Tensor]) -> ProbeResult:
    """Placement values of test images among every kind of OOD images, at place 0.

    Args:
        score: (n, C, H, W) -> (n,), the larger, the more typical; infinite values are ranked as any other.
        x: test images, (P, C, H, W).
        ood_images: by kind, (n, C, H, W) each.

    Raises:
        ValueError: where a score is NaN.
    """
    test_scores = _checked(score(x), "the test images")
    values = []
    for kind, images in ood_images.items():
        ood_scores = _checked(score(images), f"the OOD images '{kind}'").sort().values
        below, not_above = (torch.searchsorted(ood_scores, test_scores, right=right) for right in (False, True))
        values.append((below + not_above) / 2 / len(ood_scores))
    return ProbeResult(torch.stack(values, 1)[:, :, None].float(), tuple(ood_images), (0.0,))


def log_likelihood(model, x: Tensor, spec: DataSpec) -> Tensor:
    """log p(x), a bound or an estimate of it, in nats, (n,), up to a constant that is the same for all images.

    A density is taken at a dequantized point of x (n, C, H, W), and a model of binary images gets binarized ones; the random
    numbers are the same for every model.
    """
    tags = tags_of(model)
    if tags.likelihood == "density" and spec.levels is not None:
        x = x + (torch.rand(x.shape, generator=fixed_generator()) - 0.5) / (spec.levels - 1)
    if tags.binarized == "threshold":
        x = (x >= 0.5).to(x.dtype)
    elif tags.binarized == "stochastic":
        x = torch.bernoulli(x, generator=fixed_generator())
    capability = next(name for name in DENSITY if hasattr(model, name))
    if capability == "log_weight":
        log_weights = torch.stack([predict_batched(model, capability, x) for _ in range(N_IMPORTANCE_SAMPLES)])  # (16, n)
        return log_weights.logsumexp(0) - math.log(N_IMPORTANCE_SAMPLES)
    return predict_batched(model, capability, x)


def _checked(scores: Tensor, of: str) -> Tensor:
    if scores.isnan().any():
        raise ValueError(f"the score of {of} is NaN for {int(scores.isnan().sum())} of {len(scores)}")
    return scores.double()
