"""Corruptions: accuracy under noise, blur, occlusion, translation, rotation, low contrast and inversion, at five severities.

    right_n(c, s) = [predict(corrupt_c(x_n, s)) = y_n],      s = 0 (clean), 1, .. 5

Lengths are shares of the image, so that a severity means the same at 8 pixels and at 64. Corrupted images are rounded to the same
gray levels again.

Source of the idea: D. Hendrycks, T. Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pofxy.base.capabilities import SupportsPredict
from pofxy.base.data import DataSpec
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import ProbeResult, fixed_generator, quantity
from pofxy.nets.affine import transform

SEVERITIES = (0, 1, 2, 3, 4, 5)


@quantity(rows="test", images_only=True, curve="robustness", unit="accuracy")
def corruption(model: SupportsPredict, x_probe: Tensor, y_probe: Tensor, predict: Tensor, spec: DataSpec) -> ProbeResult:
    """Where `predict` is right under every corruption and severity; x_probe (P, C, H, W), y_probe (P,)."""
    corruptions = {
        "gaussian_noise": _noisy,
        "blur": _blurred,
        "occlusion": _occluded,
        "shift": _shifted,
        "rotation": _rotated,
        "contrast": _flattened,
        "inversion": _inverted,
    }
    clean = predict[: len(y_probe)] == y_probe
    right = [
        torch.stack([clean, *(_right(model, corrupt(x_probe, severity), y_probe, spec) for severity in SEVERITIES[1:])], 1)
        for corrupt in corruptions.values()
    ]
    return ProbeResult(torch.stack(right, 1), tuple(corruptions), SEVERITIES)


def _right(model, x, y, spec):
    top = spec.levels - 1
    return predict_batched(model, "predict", (x.clamp(0, 1) * top).round() / top) == y


def _noisy(x, severity):
    """Independent noise, sigma .08 to .4."""
    return x + 0.08 * severity * torch.randn(x.shape, generator=fixed_generator())


def _blurred(x, severity):
    """A Gaussian kernel of sigma 2 to 10 % of the smaller side."""
    sigma = 0.02 * severity * min(x.shape[2:])
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)  # (C, 1, 1, 2 reach + 1)
    x = F.pad(x, (0, 0, reach, reach), "replicate")
    x = F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])
    return F.conv2d(F.pad(x, (reach, reach, 0, 0), "replicate"), kernel, groups=x.shape[1])


def _occluded(x, severity):
    """A square of 15 to 55 % of the smaller side, at a random place, in middle gray."""
    side = max(1, round((0.05 + 0.1 * severity) * min(x.shape[2:])))
    top, left = (
        torch.rand(2, len(x), 1, 1, generator=fixed_generator()) * (torch.tensor(x.shape[2:]) - side + 1).view(2, 1, 1, 1)
    ).long()
    rows, columns = torch.arange(x.shape[2])[:, None], torch.arange(x.shape[3])
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)  # (N, H, W)
    return torch.where(inside[:, None], 0.5, x)


def _shifted(x, severity):
    """By 4 to 20 % of the side, in a random direction; the border is repeated."""
    angle = 2 * math.pi * torch.rand(len(x), generator=fixed_generator())
    # The sampling grid runs from -1 to 1: a side is 2 long.
    return _moved(x, torch.zeros(len(x)), 0.08 * severity * torch.stack([angle.cos(), angle.sin()], 1))


def _rotated(x, severity):
    """By 12 to 60 degrees, to the left or to the right, about the middle."""
    side = torch.randint(0, 2, (len(x),), generator=fixed_generator()) * 2 - 1
    return _moved(x, side * math.radians(12) * severity, torch.zeros(len(x), 2))


def _moved(x, angle, translation):
    """x rotated by angle (N,) and translated by (N, 2)."""
    one = torch.ones(len(x))
    return transform(x, angle, one, one, translation)


def _flattened(x, severity):
    """Contrast: 83 to 15 % of the distance of each pixel from the mean of its image is left."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (1 - 0.17 * severity) * (x - mean)


def _inverted(x, severity):
    """Towards the negative: from 20 % of the way to the negative itself."""
    return x + 0.2 * severity * (1 - 2 * x)
