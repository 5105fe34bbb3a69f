"""Bits per dimension: the code length of an image under the model, per pixel and channel.

    1/N sum_n -log2 p(x_n) / D,      p the mass of the L-level image

The score's estimator says how log p(x) was found. `exact mass` is p(x) itself. `IWAE-k` is the importance-weighted bound with k
importance samples; a larger k gives a tighter bound. `ELBO` is the evidence lower bound, the same bound with one sample and the
loosest; the gap between the two shows how far q(z | x) is from the posterior. `uniform-dequantized` marks a model of a density,
whose score is a bound, too: the model pays for each bin within which its density changes. `AIS` (annealed importance sampling)
divides by an estimate of the normalizer, which tends to be too low and so flatters the model; the reverse check shows by how
much.

The difference between train and test images shows how much the model has memorized.

Sources: L. Theis, A. van den Oord, M. Bethge, "A note on the evaluation of generative models", ICLR 2016,
https://arxiv.org/abs/1511.01844; Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders", ICLR 2016,
https://arxiv.org/abs/1509.00519; R. Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008
(AIS), https://doi.org/10.1145/1390156.1390266

Traps: only values on the same data set are comparable. Of two bounds, the lower value may only be the tighter bound. A good
likelihood does not imply samples that look good, nor the reverse.
"""

import math

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "bits/dim"


def bits_per_dim(log_mass: np.ndarray, dimensions: int) -> np.ndarray:
    """Bits per dimension of each image.

    Args:
        log_mass: log p(x) in nats, (N,).
        dimensions: numbers in an image, D.

    Returns:
        Bits per dimension, (N,).
    """
    return -log_mass / (dimensions * math.log(2))
