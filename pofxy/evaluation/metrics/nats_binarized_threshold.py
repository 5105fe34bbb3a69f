"""Nats, images cut at 0.5: the length of a black-and-white image under the model's code.

    1/N sum_n -log p(b_n),      b_nd = [x_nd >= 0.5],      p the mass of the binary image

For models of binary images alone, such as a Boltzmann machine. Source: nats for the whole image are the convention since
R. Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008. Traps: a cut image says less than
one of L grey levels, so this is no bits per dimension, whatever it is divided by; nor is it comparable with images of which each
pixel is drawn, whose noise costs nats of its own (Y. Burda, R. Grosse, R. Salakhutdinov, ICLR 2016, section 5).
"""

HIGHER_IS_BETTER = False
UNIT = "nats (0.5-threshold)"


def nats_binarized_threshold(log_mass_threshold):
    """-log p of each binary image in nats, (N,)."""
    return -log_mass_threshold
