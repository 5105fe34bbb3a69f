"""Train on synthetic: the accuracy on real test images of a classifier that saw samples alone.

    1/N sum_n [c(x_n) = y_n],      c trained on samples s_i with the labels y_i that were asked for

A classifier of fixed architecture and steps; what it learns is what the model knows of p(x, y), fidelity and diversity at once.
Sources: S. Ravuri, O. Vinyals, "Classification accuracy score for conditional generative models", NeurIPS 2019; K. Shmelkov, C.
Schmid, K. Alahari, "How good is my GAN?", ECCV 2018 (GAN-train). Traps: it grows with the number of samples, so its ceiling is
`real_train`, as many train images; copies of the train images get that ceiling.
"""

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def train_on_synthetic(synthetic_predict, y):
    """1 where the label (N,) is the true one (N,), else 0; (N,)."""
    return (synthetic_predict == y).astype(float)
