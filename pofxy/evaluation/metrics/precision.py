"""Precision: the share of samples that lie where test images lie.

    1/n sum_i [s_i in B(t_j, d_5(t_j)) for some j],      d_5 the distance to the 5th nearest other test image

The balls around the test images' features stand for the law's support. Source: T. Kynkaanniemi, T. Karras, S. Laine, J.
Lehtinen, T. Aila, "Improved precision and recall metric for assessing generative models", NeurIPS 2019, eqs. 1 and 2. Traps:
one outlier among the test images has a ball so large that any sample lies in it (`density` counts balls instead); copies of one
good image get the full score; real images score below 1, more so where images are few.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def precision(sample_test_balls):
    """1 for each sample that lies in some test image's ball, else 0, (n,); sample_test_balls (n,) counts them."""
    return (sample_test_balls > 0).astype(float)
