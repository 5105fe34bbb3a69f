"""Denoising: squared error of the reconstructions of noisy test images, against the images without noise.

    e_n(sigma) = |r(clip(x_n + sigma u_n)) - x_n|^2 / D,      u_n ~ N(0, I),  clip into [0, 1]

Noisy images are clipped, because no model was trained on intensities below 0 or above 1. Two baselines get the same noisy images:
a Gaussian filter, whose width is chosen for each sigma on noisy train images, and the mean train image.

Source of the idea: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with denoising
autoencoders", ICML 2008, https://doi.org/10.1145/1390156.1390294.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from pofxy.base.capabilities import SupportsReconstruct
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import ProbeResult, fixed_generator, quantity

SIGMAS = (0.1, 0.2, 0.3, 0.5)
# Of the Gaussian filter, in pixels; 0 leaves the image as it is.
WIDTHS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0)
# Train images on which the width is chosen.
TUNED_ON = 500


@quantity(rows="test", images_only=True, curve="denoising", unit="squared intensity")
def denoising(model: SupportsReconstruct, x_probe: Tensor, x_train_subset: Tensor) -> ProbeResult:
    """Squared error of each image by the model, by the filter and by the mean image, at every sigma; x_probe (P, C, H, W)."""
    random = fixed_generator()
    noise = torch.randn(x_probe.shape, generator=random)
    tuning = x_train_subset[:TUNED_ON]
    tuning_noise = torch.randn(tuning.shape, generator=random)
    mean = _error(x_train_subset.mean(0), x_probe)
    places = []
    for sigma in SIGMAS:
        noisy = (x_probe + sigma * noise).clamp(0, 1)
        width = _best_width((tuning + sigma * tuning_noise).clamp(0, 1), tuning)
        model_error = _error(predict_batched(model, "reconstruct", noisy), x_probe)
        places.append(torch.stack([model_error, _error(_filtered(noisy, width), x_probe), mean], 1))  # 3 of (N,) -> (N, 3)
    return ProbeResult(torch.stack(places, 2), ("model", "Gaussian filter", "mean image"), SIGMAS)


def _error(estimate, x):
    """Mean squared difference of each image, (N,)."""
    return ((estimate - x) ** 2).flatten(1).mean(1)


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
