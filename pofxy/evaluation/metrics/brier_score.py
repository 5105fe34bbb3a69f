"""Brier score: the squared distance of the probabilities from the truth.

    1/N sum_n sum_k (p(k | x_n) - [y_n = k])^2,     0 at best, 2 at worst

A proper scoring rule that no single image can dominate, as it can the log-loss. Source: G. W. Brier, "Verification of forecasts
expressed in terms of probability", Monthly Weather Review, 1950, eq. 2. Trap: for two classes many books give half of it.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared probability"


def brier_score(predict_proba, y):
    """The squared distance for each image, (N,); predict_proba (N, K), y (N,)."""
    truth = np.eye(predict_proba.shape[1])[y]  # (N, K)
    return ((predict_proba.astype(float) - truth) ** 2).sum(1)
