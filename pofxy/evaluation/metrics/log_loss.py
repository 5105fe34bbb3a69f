"""Log-loss: the mean negative log-probability of the true labels.

    1/N sum_n -log p(y_n | x_n),     probabilities below 2.2e-16 are set to 2.2e-16

A proper scoring rule: the true probabilities minimize its expected value. Unlike accuracy, it penalizes a classifier that is
confident and wrong.

Source: I. J. Good, "Rational decisions", Journal of the Royal Statistical Society B, 1952.
https://doi.org/10.1111/j.2517-6161.1952.tb00104.x

Trap: a few confident errors can outweigh everything else.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "nats"
LOWEST = 0.0


def log_loss(predict_proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Negative log-probability of each true label.

    Args:
        predict_proba: class probabilities, (N, K).
        y: true labels, (N,).

    Returns:
        -log p(y | x) in nats, (N,).
    """
    probability = predict_proba[np.arange(len(y)), y]
    return -np.log(np.maximum(probability.astype(float), np.finfo(float).eps))
