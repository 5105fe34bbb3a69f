"""Accuracy by a bound: the share of test images whose label has the highest bound of log p(x, y).

    1/n sum_i [argmax_y b(x_i, y) = y_i],     b(x, y) <= log p(x, y)

On the first images of the test split, as many as the estimator names. Source: A. C. Li et al., "Your diffusion model is secretly
a zero-shot classifier", ICCV 2023. Traps: fewer images than `accuracy` has, so compare intervals; a bound that is looser for some
classes than for others errs though the model may not; it says nothing of how sure the model is.
"""

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def bound_accuracy(bound_classifier):
    """1 where the label has the highest bound, else 0, (n,); bound_classifier (n, 1, 1) bool."""
    return bound_classifier[:, 0, 0].astype(float)
