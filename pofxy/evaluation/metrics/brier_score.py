"""Brier score: the squared distance between the predicted probabilities and the true labels.

    1/N sum_n sum_k (p(k | x_n) - [y_n = k])^2,     0 at best, 2 at worst

A proper scoring rule. A single image cannot dominate it, as it can dominate the log-loss.

Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review, 1950, eq. 2.
https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

Trap: for two classes, many books define half of this value.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared probability"
LOWEST = 0.0
HIGHEST = 2.0


def brier_score(predict_proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distance of each image.

    Args:
        predict_proba: class probabilities, (N, K).
        y: true labels, (N,).

    Returns:
        Squared distances, 0 to 2, (N,).
    """
    truth = np.eye(predict_proba.shape[1])[y]  # (N, K)
    return ((predict_proba.astype(float) - truth) ** 2).sum(1)
