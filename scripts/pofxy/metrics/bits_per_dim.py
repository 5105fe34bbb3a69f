"""Bits per dimension: the length of an image in bits under the model's code, per pixel and channel.

    1/N sum_n -log2 p(x_n) / D,      p the mass of the L-level image

A density is turned into a bound on that mass by uniform dequantisation; a bound is marked as one by its estimator. Only values on
the same data set are comparable. Source: L. Theis, A. van den Oord, M. Bethge, "A note on the evaluation of generative models",
ICLR 2016. Trap: likelihood and the look of samples can go apart.
"""

import math

HIGHER_IS_BETTER = False
UNIT = "bits/dim"


def bits_per_dim(log_mass, dimensions):
    """Bits per dimension of each image, (N,); log_mass (N,) nats, dimensions D."""
    return -log_mass / (dimensions * math.log(2))
