"""Fréchet distance of decoded noise: how far images decoded from standard normal latents lie from test images.

    Fréchet distance of the features of g(z), z ~ N(0, I), and of test images,     g the decoder

A model that is trained for reconstruction alone does not constrain the distribution of its latents: it need not be N(0, I), and
a point between two latents need not decode to an image. A variational autoencoder is trained to make it N(0, I).

Source: D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014 (the prior of the latents),
https://arxiv.org/abs/1312.6114; the distance is `frechet_distance`.

Trap: for a variational model the decoded images are the means of p(x | z), without the noise of single pixels that its samples
have. So this is not its distance as a sampler.
"""

import numpy as np

from pofxy.evaluation.frechet import frechet_with_error

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
FEWEST_ROWS = 2
LOWEST = 0.0


def decoded_noise_distance(decoded_features: np.ndarray, test_features: np.ndarray) -> tuple[float, float]:
    """Fréchet distance between decoded noise and test images.

    Args:
        decoded_features: features of decoded noise, (n, Z).
        test_features: features of test images, (N, Z).

    Returns:
        The distance and its standard error by the delta method.
    """
    return frechet_with_error(decoded_features, test_features)
