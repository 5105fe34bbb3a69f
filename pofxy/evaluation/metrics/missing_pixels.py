"""Missing pixels: the accuracy when a part of each image is unknown.

    1/9 sum_s accuracy(share s of the pixels unknown),     s = 10, 20, .. 90 %

A density that can integrate unknown pixels out classifies by p(y | known pixels), which is exact; any other model sees the mean
of the train images in their place. The estimator of each score says which. Source of the exact rule: Z. Ghahramani, M. I.
Jordan, "Supervised learning from missing_pixels data via an EM approach", NIPS 1993. Trap: pixels are missing at random here; a
hidden corner is another matter (occlusion, under robustness).
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def missing_pixels(missing_pixels):
    """Mean accuracy over the shares above 0; missing_pixels (N, 1, shares) bool: whether the label is right, share 0 first."""
    return float(missing_pixels[:, :, 1:].mean())
