"""Nats, pixels drawn: the length of a black-and-white image, each pixel of which was drawn, under the model's code.

    1/N sum_n -log p(b_n),      b_nd ~ Bernoulli(x_nd),  the same draws for all models,    p the mass of the binary image

For models of binary images alone. In nats for the whole image: the convention of "binarized MNIST". Source: R. Salakhutdinov,
I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008. Traps: no model gets below the entropy of the draws,
sum_d H(x_nd), so the gap between two models is small beside their values; the draws here are not those of the published file, and
neither are they images cut at 0.5, on which values are far lower.
"""

HIGHER_IS_BETTER = False
UNIT = "nats (stochastic)"


def nats_binarized_stochastic(log_mass_stochastic):
    """-log p of each binary image in nats, (N,)."""
    return -log_mass_stochastic
