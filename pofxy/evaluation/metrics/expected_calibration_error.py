"""Expected calibration error: the mean difference between confidence and accuracy.

    sum_b n_b / N |accuracy_b - confidence_b|,     b = 1..15 bins of equal width of the confidence max_k p(k | x)

Also known as ECE. Confidences are taken in single precision, and those within 1e-5 of the edge of a bin lie on it, so that shares
such as 1/3 are in the same bin whatever precision they come in.

The interval allows for the bias. With e_b the standard error of a bin's gap g_b, |g_b| is too large by at most 0.8 e_b, the mean
of |N(0, e_b)|, and by less the larger the gap is. The lower end is the error minus the largest bias that each bin's own interval
allows and 1.96 standard errors; the upper end is the error plus 1.96 standard errors.

Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 3.
https://arxiv.org/abs/1706.04599

Traps: it uses only the confidence in the predicted label. It is biased upwards where images are few, also for a classifier that
is nearly always confident and right. A classifier that always predicts the class frequencies has an error of 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from pofxy.evaluation.intervals import Z95

HIGHER_IS_BETTER = False
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0
BINS = 15


@dataclass(frozen=True)
class Calibration:
    """The bars of a reliability diagram, B bins, and the error that they make.

    Attributes:
        confidence: mean confidence in each bin, (B,), NaN for an empty one.
        accuracy: share of correct labels in each bin, (B,), NaN for an empty one.
        count: number of images in each bin, (B,).
        error: the expected calibration error.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float


def expected_calibration_error(predict_proba: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """The error over 15 bins of equal width.

    Args:
        predict_proba: class probabilities, (N, K).
        y: true labels, (N,).

    Returns:
        The error, 0 to 1, and both ends of its interval.
    """
    bars = calibration(predict_proba, y)
    filled = bars.count > 0
    count = bars.count[filled]
    weight = count / count.sum()
    gap = np.abs(bars.accuracy - bars.confidence)[filled]
    # Agresti and Coull: two more right and two more wrong images, as a bin without a wrong image is not known to be free of them.
    accuracy = (bars.accuracy[filled] * count + Z95**2 / 2) / (count + Z95**2)
    error = np.sqrt(accuracy * (1 - accuracy) / (count + Z95**2))  # (bins,), of each gap
    bias = _folded_mean(np.maximum(gap - Z95 * error, 0), error) - np.maximum(gap - Z95 * error, 0)
    # Which bin an image is in varies too.
    variance = (weight**2 * error**2).sum() + max((weight * gap**2).sum() - bars.error**2, 0) / count.sum()
    half = Z95 * math.sqrt(variance)
    low = bars.error - float((weight * bias).sum()) - half
    return bars.error, max(low, LOWEST), min(bars.error + half, HIGHEST)


def calibration(predict_proba: np.ndarray, y: np.ndarray, n_bins: int = BINS) -> Calibration:
    """The reliability diagram of a classifier.

    Args:
        predict_proba: class probabilities, (N, K), in any precision: kept predictions, in single precision, give the same result.
        y: true labels, (N,).
        n_bins: number of bins, B. Bin b holds the confidences in (b / B, (b + 1) / B].
    """
    probabilities = predict_proba.astype(np.float32)
    confidence = probabilities.max(1).astype(float)
    correct = probabilities.argmax(1) == y
    # In single precision 2/3 of 15 bins is 10.0000006, beyond the edge that it lies on.
    index = np.clip(np.ceil(np.round(confidence * n_bins, 5)).astype(int) - 1, 0, n_bins - 1)
    count = np.bincount(index, minlength=n_bins)
    count_or_nan = np.where(count > 0, count, np.nan)
    mean_confidence = np.bincount(index, weights=confidence, minlength=n_bins) / count_or_nan
    accuracy = np.bincount(index, weights=correct, minlength=n_bins) / count_or_nan
    error = float(np.nansum(count * np.abs(accuracy - mean_confidence)) / len(y))
    return Calibration(mean_confidence, accuracy, count, error)


def _folded_mean(mean: np.ndarray, error: np.ndarray) -> np.ndarray:
    """E|X| of X ~ N(mean, error^2), elementwise."""
    from scipy.special import erf

    scaled = mean / error
    return error * math.sqrt(2 / math.pi) * np.exp(-(scaled**2) / 2) + mean * erf(scaled / math.sqrt(2))
