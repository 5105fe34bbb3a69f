"""Log-loss: how surprised the classifier is by the true labels.

    1/N sum_n -log p(y_n | x_n),     probabilities below 2.2e-16 counted as that

A proper scoring rule: it is lowest for the true probabilities, so it sees what accuracy does not, a classifier that is sure and
wrong. Source: I. J. Good, "Rational decisions", Journal of the Royal Statistical Society B, 1952. Trap: a handful of sure
mistakes can outweigh everything else.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "nats"


def log_loss(predict_proba, y):
    """-log p(y | x) of each image in nats, (N,); predict_proba (N, K), y (N,)."""
    probability = predict_proba[np.arange(len(y)), y]
    return -np.log(np.maximum(probability.astype(float), np.finfo(float).eps))
