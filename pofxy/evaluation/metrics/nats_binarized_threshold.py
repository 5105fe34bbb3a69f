"""Nats, binarized at 0.5: the code length of a binary image under the model, where each pixel was compared with 0.5.

    1/N sum_n -log p(b_n),      b_nd = [x_nd >= 0.5],      p the mass of the binary image

Only for models of binary images, such as a Boltzmann machine.

Source: R. Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008, since when nats for the
whole image are the convention. https://doi.org/10.1145/1390156.1390266

Traps: a binary image contains less information than one of L gray levels, so this is no number of bits per dimension, whatever
it is divided by. It is not comparable with stochastically binarized images, whose noise costs additional nats (Y. Burda, R.
Grosse, R. Salakhutdinov, ICLR 2016, section 5, https://arxiv.org/abs/1509.00519).
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "nats (0.5-threshold)"


def nats_binarized_threshold(log_mass_threshold: np.ndarray) -> np.ndarray:
    """Code length of each binary image.

    Args:
        log_mass_threshold: log p of the binary image in nats, (N,).

    Returns:
        -log p in nats, (N,).
    """
    return -log_mass_threshold
