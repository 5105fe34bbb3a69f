"""Coverage: the share of test images in whose neighbourhood some sample lies.

    1/N sum_j [s_i in B(t_j, d_5(t_j)) for some i],      d_5 the distance to the 5th nearest other test image

The neighbourhoods are those of real images, which samples cannot inflate as they can for recall. Source: M. F. Naeem, S. J. Oh,
Y. Uh, Y. Choi, J. Yoo, "Reliable fidelity and diversity metrics for generative models", ICML 2020. Traps: with as many samples
as test images, true samples reach 1 - 2^-5 = 97 % at most, on average; with fewer, less.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def coverage(test_own_ball):
    """1 for each test image whose own ball holds a sample, else 0, (N,)."""
    return test_own_ball.astype(float)
