"""Recall: the share of test images that lie where samples lie.

    1/N sum_j [t_j in B(s_i, d_5(s_i)) for some i],      d_5 the distance to the 5th nearest other sample

It falls where a part of the data is never made. Source: T. Kynkaanniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved
precision and recall metric for assessing generative models", NeurIPS 2019, eqs. 1 and 2. Traps: samples that are scattered
widely have large balls, so noise around the data can get all of it (`coverage` uses the test images' balls); it hangs on the
number of samples.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def recall(test_sample_balls):
    """1 for each test image that lies in some sample's ball, else 0, (N,); test_sample_balls (N,) counts them."""
    return (test_sample_balls > 0).astype(float)
