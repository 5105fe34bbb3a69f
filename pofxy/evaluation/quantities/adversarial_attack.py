"""Adversarial attacks: the test images, changed by at most epsilon in each number so that the classifier errs.

    margin(x) = max_{k != y} s_k(x) - s_y(x)
    FGSM:   x' = clip(x + e sign grad margin(x))
    PGD:    x' <- clip(x' + a sign grad margin(x')),  kept within e of x,  from a random start

FGSM is one step; PGD takes STEPS of them with a = 2.5 e / STEPS. Both climb the margin of the scores rather than the loss,
whose gradient is 0 in floating point where a classifier is sure of itself. Sources: Goodfellow, Shlens, Szegedy, ICLR 2015;
Madry et al., ICLR 2018; the margin is N. Carlini, D. Wagner, "Towards evaluating the robustness of neural networks", S&P 2017,
f_6.
"""

import torch

from pofxy.base.prediction import device_of, evaluation_mode
from pofxy.evaluation.quantities import ProbeResult, generator

CURVE = "adversarial"
UNIT = "accuracy"
NEEDS = ("decision_function",)
IMAGES_ONLY = False
RADII = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
STEPS = 10
BATCH = 256


def adversarial_attack(model, x, y):
    """Where predict is right, of x (N, ...), y (N,) under FGSM and PGD at every radius."""
    start = torch.rand(x.shape, generator=generator()) * 2 - 1
    with evaluation_mode(model):
        parts = [_rightness(model, *part) for part in zip(x.split(BATCH), y.split(BATCH), start.split(BATCH), strict=True)]
    return ProbeResult(torch.cat(parts), ("FGSM", "PGD"), RADII)


def _rightness(model, x, y, start):
    """(B, 2, radii)."""
    device = device_of(model)
    x, y, start = x.to(device), y.to(device), start.to(device)
    slope = _slope(model, x, y)
    fgsm, pgd = [], []
    for radius in RADII:
        fgsm.append(_right(model, (x + radius * slope).clamp(0, 1), y))
        found = (x + radius * start).clamp(0, 1)
        for _ in range(STEPS if radius else 0):
            found = found + 2.5 * radius / STEPS * _slope(model, found, y)
            found = torch.maximum(torch.minimum(found, x + radius), x - radius).clamp(0, 1)
        pgd.append(_right(model, found, y))
    return torch.stack([torch.stack(fgsm, 1), torch.stack(pgd, 1)], 1).cpu()


def _slope(model, x, y):
    """The sign of the gradient of the margin by x, the shape of x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        scores = model.decision_function(x)  # (B, K)
        own = scores.gather(1, y[:, None]).squeeze(1)
        other = scores.scatter(1, y[:, None], -torch.inf).amax(1)
        return torch.autograd.grad((other - own).sum(), x)[0].sign()


def _right(model, x, y):
    with torch.no_grad():
        return model.predict(x) == y
