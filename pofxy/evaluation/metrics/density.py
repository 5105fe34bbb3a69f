"""Density: in how many test images' neighbourhoods a sample lies, against how many it should be.

    1/(5 n) sum_i sum_j [s_i in B(t_j, d_5(t_j))],      d_5 the distance to the 5th nearest other test image

Precision asks whether there is one such ball, density how many: an outlier's huge ball counts once. About 1 where samples
follow the law. Source: M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo, "Reliable fidelity and diversity metrics for generative
models", ICML 2020. Trap: samples that keep to the densest part of the data exceed 1, so more is not always better.
"""

HIGHER_IS_BETTER = True
UNIT = "relative density"
LOWEST = 0.0
NEIGHBOURS = 5


def density(sample_test_balls):
    """A fifth of the number of test images' balls that each sample lies in, (n,)."""
    return sample_test_balls / NEIGHBOURS
