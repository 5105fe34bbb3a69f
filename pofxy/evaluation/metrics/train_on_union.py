"""Train on union: the accuracy on real test images of a classifier that saw samples beside real train images.

    1/N sum_n [c(x_n) = y_n],      c trained on train images and samples together

Whether samples are of use as further data: compare it with what the same classifier reaches without them. Source: S. Ravuri, O.
Vinyals, "Classification accuracy score for conditional generative models", NeurIPS 2019 (naive augmentation score). Traps:
where train images are plenty it hardly moves; poor samples can make it worse, and copies only repeat what is there.
"""

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def train_on_union(union_predict, y):
    """1 where the label (N,) is the true one (N,), else 0; (N,)."""
    return (union_predict == y).astype(float)
