"""Reconstruction error: the mean squared difference of an image and its reconstruction.

    1/N sum_n |x_n - r(x_n)|^2 / D

Source: G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science, 2006, who
compare autoencoders by it. Trap: it rewards blur; and it says nothing of what the model makes by itself.
"""

HIGHER_IS_BETTER = False
UNIT = "squared intensity"


def reconstruction_mse(x, reconstruct):
    """Mean squared difference of each image, (N,), at intensities in [0, 1]; x and reconstruct (N, ...)."""
    return ((x.astype(float) - reconstruct) ** 2).reshape(len(x), -1).mean(1)
