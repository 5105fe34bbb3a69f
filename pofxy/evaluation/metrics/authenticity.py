"""Authenticity: the share of samples that are no near copies of a train image.

    1/n sum_i [d(s_i, x_i) > d(x_i, its nearest other train image)],      x_i the train image nearest to s_i, in pixels

A sample closer to a train image than any other real image is, is held for a copy of it. Source: A. Alaa, B. van Breugel, E.
Saveliev, M. van der Schaar, "How faithful is your synthetic data? Sample-level metrics for evaluating and auditing generative
models", ICML 2022. Traps: fresh images of the very law reach but a third (where it has one dimension) to a half (where it has
many), so read it beside `real_train`; noise, far from everything, does.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def authenticity(sample_nearest_train, sample_nearest_train_own):
    """1 for each sample that is no near copy, else 0, (n,).

    Args:
        sample_nearest_train: distance of each sample to its nearest train image, (n,).
        sample_nearest_train_own: of that train image to its nearest other one, (n,).
    """
    return (sample_nearest_train > sample_nearest_train_own).astype(float)
