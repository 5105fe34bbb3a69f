"""Reconstruction error: the mean squared difference between an image and its reconstruction.

    1/N sum_n |x_n - r(x_n)|^2 / D

Source: G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science, 2006, where
autoencoders are compared by it. https://doi.org/10.1126/science.1127647

Trap: it rewards blur. It says nothing about the images that the model samples by itself.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared intensity"


def reconstruction_mse(x: np.ndarray, reconstruct: np.ndarray) -> np.ndarray:
    """Mean squared difference of each image, at intensities in [0, 1].

    Args:
        x: images, (N, ...).
        reconstruct: their reconstructions, (N, ...).

    Returns:
        The mean over pixels and channels, (N,).
    """
    return ((x.astype(float) - reconstruct) ** 2).reshape(len(x), -1).mean(1)
