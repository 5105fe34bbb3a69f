"""Denoising: test images under noise, and how far their reconstructions lie from the images without it.

    e_n(sigma) = |r(clip(x_n + sigma u_n)) - x_n|^2 / D,      u_n ~ N(0, I),  clip into [0, 1]

Noisy images are clipped, since no model was ever shown an intensity below 0 or above 1. Two yardsticks see the same noisy images:
a Gaussian filter, whose width is chosen for each sigma on noisy train images, and the mean train image, which looks at nothing.
Source of the idea: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with denoising
autoencoders", ICML 2008.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import ProbeResult, generator

CURVE = "denoising"
UNIT = "squared intensity"
NEEDS = ("reconstruct",)
IMAGES_ONLY = True
SIGMAS = (0.1, 0.2, 0.3, 0.5)
# Of the Gaussian filter, in pixels; 0 leaves the image as it is.
WIDTHS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0)
# Train images on which the width is chosen.
TUNED_ON = 500


def denoising(model, x, x_train):
    """Squared error of each image by the model, by the filter and by the mean image, at every sigma; x (N, C, H, W)."""
    random = generator()
    noise = torch.randn(x.shape, generator=random)
    tuning = x_train[:TUNED_ON]
    tuning_noise = torch.randn(tuning.shape, generator=random)
    mean = _error(x_train.mean(0), x)
    places = []
    for sigma in SIGMAS:
        noisy = (x + sigma * noise).clamp(0, 1)
        width = _best_width((tuning + sigma * tuning_noise).clamp(0, 1), tuning)
        model_error = _error(predict_batched(model, "reconstruct", noisy), x)
        places.append(torch.stack([model_error, _error(_filtered(noisy, width), x), mean], 1))  # 3 of (N,) -> (N, 3)
    return ProbeResult(torch.stack(places, 2), ("model", "Gaussian filter", "mean image"), SIGMAS)


def _error(found, x):
    """Mean squared difference of each image, (N,)."""
    return ((found - x) ** 2).flatten(1).mean(1)


def _best_width(noisy, clean):
    """The width in pixels that brings noisy images nearest to the clean ones."""
    return min(WIDTHS, key=lambda width: float(_error(_filtered(noisy, width), clean).mean()))


def _filtered(x, width):
    """x (N, C, H, W) under a Gaussian filter; the border is repeated."""
    if not width:
        return x
    # A filter along one axis is a matrix: what it makes of the unit vectors.
    rows, columns = (torch.from_numpy(gaussian_filter1d(np.eye(side), width, axis=0, mode="nearest")) for side in x.shape[2:])
    return rows.to(x.dtype) @ x @ columns.to(x.dtype).T
