"""Expected calibration error: the mean difference between confidence and accuracy.

    sum_b n_b / N |accuracy_b - confidence_b|,     b = 1..15 bins of equal width of the confidence max_k p(k | x)

Also known as ECE.

Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 3.
https://arxiv.org/abs/1706.04599

Traps: it uses only the confidence in the predicted label. It is biased upwards where images are few, also for a classifier that
is nearly always confident and right. A classifier that always predicts the class frequencies has an error of 0.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "share"
LOWEST = 0.0


def expected_calibration_error(predict_proba: np.ndarray, y: np.ndarray) -> float:
    """The error over 15 bins of equal width.

    Args:
        predict_proba: class probabilities, (N, K).
        y: true labels, (N,).

    Returns:
        The error, 0 to 1.
    """
    confidence, accuracy, count = bins(predict_proba, y)
    return float(np.nansum(count * np.abs(accuracy - confidence)) / count.sum())


def bins(predict_proba: np.ndarray, y: np.ndarray, n_bins: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bars of the reliability diagram.

    Args:
        predict_proba: class probabilities, (N, K).
        y: true labels, (N,).
        n_bins: number of bins, B. Bin b holds the confidences in (b / B, (b + 1) / B].

    Returns:
        Mean confidence (B,) and accuracy (B,), both NaN for an empty bin, and the number of images (B,).
    """
    confidence = predict_proba.max(1).astype(float)
    correct = predict_proba.argmax(1) == y
    index = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    count = np.bincount(index, minlength=n_bins)
    count_or_nan = np.where(count > 0, count, np.nan)
    return (
        np.bincount(index, weights=confidence, minlength=n_bins) / count_or_nan,
        np.bincount(index, weights=correct, minlength=n_bins) / count_or_nan,
        count,
    )
