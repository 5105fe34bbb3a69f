"""Expected calibration error: how far confidence and accuracy lie apart, on average.

    sum_b n_b / N |accuracy_b - confidence_b|,     b = 1..15 bins of equal width of the confidence max_k p(k | x)

Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 3. Traps: it sees
the confidence in the predicted label alone; it is biased upwards where images are few, for a classifier that is nearly always
sure and right as well; and one that always answers with the class frequencies has an error of 0.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "share"
LOWEST = 0.0


def expected_calibration_error(predict_proba, y):
    """The error, 0 to 1; predict_proba (N, K), y (N,)."""
    confidence, accuracy, count = bins(predict_proba, y)
    return float(np.nansum(count * np.abs(accuracy - confidence)) / count.sum())


def bins(predict_proba, y, number: int = 15):
    """The bars of the reliability diagram.

    Args:
        predict_proba: (N, K).
        y: (N,).
        number: B, of bins; bin b holds the confidences in (b / B, (b + 1) / B].

    Returns:
        mean confidence (B,), accuracy (B,), both NaN for an empty bin, and number of images (B,).
    """
    sure = predict_proba.max(1).astype(float)
    right = predict_proba.argmax(1) == y
    which = np.clip(np.ceil(sure * number).astype(int) - 1, 0, number - 1)
    count = np.bincount(which, minlength=number)
    some = np.where(count > 0, count, np.nan)
    return (
        np.bincount(which, weights=sure, minlength=number) / some,
        np.bincount(which, weights=right, minlength=number) / some,
        count,
    )
