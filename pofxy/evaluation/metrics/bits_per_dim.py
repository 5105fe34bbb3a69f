"""Bits per dimension: the length of an image in bits under the model's code, per pixel and channel.

    1/N sum_n -log2 p(x_n) / D,      p the mass of the L-level image

How well p is known, the estimator tells. `exact mass` is p itself. `IWAE-k` is a bound of k draws of a code, the tighter the
larger k, and `ELBO` that of one draw, the loosest: the gap between them tells how far q(z | x) is from the posterior. A model of
density is scored by a bound, too, `uniform-dequantized`: it pays for each bin within which its density changes. `AIS` divides by
an estimate of the normaliser that is rather too low than too high, which flatters the model; the reverse check tells by how much.
How much more bits test images take than train images is what the model learned by heart.

Sources: L. Theis, A. van den Oord, M. Bethge, "A note on the evaluation of generative models", ICLR 2016; IWAE: Y. Burda,
R. Grosse, R. Salakhutdinov, ICLR 2016; AIS: R. Salakhutdinov, I. Murray, ICML 2008. Traps: only values on the same data set are
comparable, and of two bounds the lower one may only be the tighter one; likelihood and the look of samples can go apart.
"""

import math

HIGHER_IS_BETTER = False
UNIT = "bits/dim"


def bits_per_dim(log_mass, dimensions):
    """Bits per dimension of each image, (N,); log_mass (N,) nats, dimensions D."""
    return -log_mass / (dimensions * math.log(2))
