"""Nats, stochastically binarized: the code length of a binary image under the model, where each pixel was sampled.

    1/N sum_n -log p(b_n),      b_nd ~ Bernoulli(x_nd),  the same binary images for all models,    p the mass of the binary image

Only for models of binary images. In nats for the whole image, the convention for "binarized MNIST".

Source: R. Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008.
https://doi.org/10.1145/1390156.1390266

Traps: no model gets below the entropy of the sampled pixels, sum_d H(x_nd), so differences between models are small beside
their values. The binary images are not those of the published file. Images binarized by a threshold of 0.5 are not comparable:
their values are far lower.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "nats (stochastic)"


def nats_binarized_stochastic(log_mass_stochastic: np.ndarray) -> np.ndarray:
    """Code length of each binary image.

    Args:
        log_mass_stochastic: log p of the binary image in nats, (N,).

    Returns:
        -log p in nats, (N,).
    """
    return -log_mass_stochastic
