"""Adversarial attacks: accuracy on test images that were changed by at most epsilon in each value, so that the classifier errs.

    margin(x) = max_{k != y} s_k(x) - s_y(x)
    FGSM:   x' = clip(x + e sign grad margin(x))
    PGD:    x' <- clip(x' + a sign grad margin(x')),  kept within e of x,  from a random start

The fast gradient sign method (FGSM) takes one step; projected gradient descent (PGD) takes STEPS of them with a = 2.5 e / STEPS.
Both increase the margin of the scores rather than the loss, whose gradient is 0 in floating point where a classifier is very
confident.

References: I. Goodfellow, J. Shlens, C. Szegedy, ICLR 2015, https://arxiv.org/abs/1412.6572; A. Madry et al., ICLR 2018,
https://arxiv.org/abs/1706.06083; the margin is f_6 of N. Carlini, D. Wagner, "Towards evaluating the robustness of neural
networks", S&P 2017, https://arxiv.org/abs/1608.04644.
"""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsDecisionFunction
from pofxy.base.prediction import device_of, evaluation_mode
from pofxy.evaluation.quantity import ProbeResult, fixed_generator, quantity

RADII = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
STEPS = 10
BATCH = 256


@quantity(rows="test", curve="adversarial", unit="accuracy")
def adversarial_attack(model: SupportsDecisionFunction, x_probe: Tensor, y_probe: Tensor, predict: Tensor) -> ProbeResult:
    """Where `predict` is right under FGSM and PGD at every radius; x_probe (P, ...), y_probe (P,)."""
    start = torch.rand(x_probe.shape, generator=fixed_generator()) * 2 - 1
    with evaluation_mode(model):
        parts = [
            _rightness(model, *part) for part in zip(x_probe.split(BATCH), y_probe.split(BATCH), start.split(BATCH), strict=True)
        ]
    clean = (predict[: len(y_probe)] == y_probe).view(-1, 1, 1).expand(-1, 2, 1)  # (P,) -> (P, 2, 1)
    return ProbeResult(torch.cat([clean, torch.cat(parts)], 2), ("FGSM", "PGD"), RADII)


def _rightness(model, x, y, start):
    """At every radius but 0, (B, 2, radii - 1)."""
    device = device_of(model)
    x, y, start = x.to(device), y.to(device), start.to(device)
    slope = _slope(model, x, y)
    fgsm, pgd = [], []
    for radius in RADII[1:]:
        fgsm.append(_right(model, (x + radius * slope).clamp(0, 1), y))
        attacked = (x + radius * start).clamp(0, 1)
        for _ in range(STEPS):
            attacked = attacked + 2.5 * radius / STEPS * _slope(model, attacked, y)
            attacked = torch.maximum(torch.minimum(attacked, x + radius), x - radius).clamp(0, 1)
        pgd.append(_right(model, attacked, y))
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
