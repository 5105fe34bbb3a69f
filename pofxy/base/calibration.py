"""Calibration: a classifier whose probabilities are corrected on the val split, to agree with how often it is right.

    temperature:  p'(y | x) = softmax(s(x) / T)_y,             T > 0 minimizes the log loss on val
    isotonic:     p'(y | x) = f_y(p_y) / sum_k f_k(p_k),       f_k non-decreasing, minimizes sum_n (f_k(p_k(x_n)) - [y_n = k])^2

The model is fitted on train as it is without calibration; only the correction is fitted on val. p are the model's probabilities
and s its scores: `decision_function`, else log p(x, y) of a generative classifier, which is log p(y | x) up to a constant (Bayes'
rule), else log p. Temperature scaling has one parameter and changes no predicted label. Isotonic regression corrects any monotone
error, one class against the rest; it needs more images, and may change labels.

n val images cannot show that a probability is much below e = 1 / (n + 1). Three rules follow. A probability of 0, as forests and
trees give it, counts as e / K before its logarithm is taken, or as the smallest positive one on val if that is less. T is never
so low that the mean confidence on val is above (n + 1) / (n + 2), the accuracy by Laplace's rule of succession where all of val
is classified right: there the log loss alone has no best T. Isotonic regression gives (1 - e) p'(y | x) + e (p_y + 1 / K) / 2,
which is never 0, and in the model's own order where f_y is constant.

Reference: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017,
https://arxiv.org/abs/1706.04599 (temperature). B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate multiclass
probability estimates", KDD 2002, https://doi.org/10.1145/775047.775151 (isotonic regression of each class against the rest).
"""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.data import TrainingData, validation_splits
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import Tags, tags_of

# T is searched between these, a range that is wide enough for scores of any unit.
LOWEST_TEMPERATURE = 1e-4
HIGHEST_TEMPERATURE = 1e4
BISECTIONS = 60
# The lowest score, relative to the largest of an image, that T is fitted to.
LOWEST_SCORE = -1e5


class CalibratedClassifier(nn.Module):
    """A classifier with corrected probabilities. It only classifies: the model's other capabilities are not passed on.

    A subclass has `scores(x)` (N, K), what is corrected; `fit_correction(scores, y)`, on images that the model was not fitted to;
    `correction()` and `load_correction(correction)`, the fitted numbers as a nest of lists, numbers and tensors; and
    `count_correction()`, how many they are.

    Args:
        model: with `predict` and `predict_proba`; `fit` fits it, `calibrate` takes it as it is.
    """

    scores: Callable[[Tensor], Tensor]
    fit_correction: Callable[[Tensor, Tensor], None]
    correction: Callable[[], dict[str, Any]]
    load_correction: Callable[[dict[str, Any]], None]
    count_correction: Callable[[], int]

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.tags = Tags(images_only=tags_of(model).images_only, trained_in_steps=tags_of(model).trained_in_steps)

    def fit(self, data: TrainingData, trainer) -> None:
        """Fits the model on train and the correction on val.

        A subset of a learning curve has no val split. There the correction is fitted to the predictions of models for the
        cross-validation fold that each was not fitted to. Where nothing can be held out, nothing is corrected.
        """
        unfitted = deepcopy(self.model)
        self.model.fit(data, trainer)
        self.eval()
        scores = []
        labels = []
        for split in validation_splits(data):
            held_out = self
            if split is not data:
                held_out = type(self)(deepcopy(unfitted))
                held_out.model.fit(split, trainer)
            scores.append(predict_batched(held_out, "scores", split.x_val))
            labels.append(split.y_val)
        if scores:
            self.fit_correction(torch.cat(scores), torch.cat(labels))

    def calibrate(self, data: TrainingData) -> None:
        """Fits the correction alone, on val, for a model that is fitted already."""
        self.eval()
        self.fit_correction(predict_batched(self, "scores", data.x_val), data.y_val)


class TemperatureScaling(CalibratedClassifier):
    """Temperature scaling of a model without `decision_function`: of log p(x, y) where it has that, else of log p(y | x)."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.temperature = 1.0
        self.floor = -math.inf  # the lowest score that counts

    def predict(self, x: Tensor) -> Tensor:
        """The model's own label, (N,): a temperature does not change the order of the classes."""
        return self.model.predict(x)

    def predict_proba(self, x: Tensor) -> Tensor:
        """softmax(s(x) / T), (N, K)."""
        return (self.scores(x).clamp(min=self.floor) / self.temperature).softmax(1)

    def scores(self, x: Tensor) -> Tensor:
        """log p(y | x) up to a constant, (N, K); -inf for a class with probability 0."""
        return self.model.log_joint(x) if hasattr(self.model, "log_joint") else self.model.predict_proba(x).log()

    def fit_correction(self, scores: Tensor, y: Tensor) -> None:
        """Finds T by bisection: both the derivative of the log loss and the mean confidence increase with 1 / T.

        Args:
            scores: of held-out images, (N, K).
            y: their labels, (N,).
        """
        n, classes = scores.shape
        if not hasattr(self.model, "decision_function") and not hasattr(self.model, "log_joint"):
            smallest = float(scores[scores.isfinite()].min())
            self.floor = min(smallest, -math.log((n + 1) * classes))
        scores = scores.double().clamp(min=self.floor)
        # A class with probability 0 would make every temperature infinitely bad.
        scores = (scores - scores.amax(1, keepdim=True)).clamp(min=LOWEST_SCORE)
        true_score = scores.gather(1, y[:, None]).mean()
        highest_confidence = (n + 1) / (n + 2)
        low = math.log(1 / HIGHEST_TEMPERATURE)
        high = math.log(1 / LOWEST_TEMPERATURE)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            probabilities = (scores * math.exp(middle)).softmax(1)  # (N, K)
            # The derivative of the log loss with respect to 1 / T is the expected score less the true label's.
            expected_score = (probabilities * scores).sum(1).mean()
            if expected_score < true_score and probabilities.amax(1).mean() < highest_confidence:
                low = middle
            else:
                high = middle
        self.temperature = math.exp(-(low + high) / 2)

    def count_correction(self) -> int:
        """One: T."""
        return 1

    def correction(self) -> dict[str, Any]:
        """T, and the lowest score that counts; None for no limit."""
        return {"temperature": self.temperature, "floor": self.floor if math.isfinite(self.floor) else None}

    def load_correction(self, correction: dict[str, Any]) -> None:
        """Takes over what `correction` gave."""
        self.temperature = float(correction["temperature"])
        self.floor = -math.inf if correction["floor"] is None else float(correction["floor"])


class LogitsTemperatureScaling(TemperatureScaling):
    """Temperature scaling of a model with `decision_function`, whose softmax gives the probabilities."""

    def decision_function(self, x: Tensor) -> Tensor:
        """s(x) / T, (N, K)."""
        return self.scores(x) / self.temperature

    def scores(self, x: Tensor) -> Tensor:
        """The model's own scores, (N, K)."""
        return self.model.decision_function(x)


class IsotonicCalibration(ProbabilisticClassifierMixin, CalibratedClassifier):
    """Isotonic regression of each class against the rest, normalized."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.thresholds: list[Tensor] = []  # of each class, the probabilities at which f_k is known
        self.values: list[Tensor] = []  # f_k there; linear in between
        self.random_share = 0.0

    def predict_proba(self, x: Tensor) -> Tensor:
        """The corrected probabilities, (N, K)."""
        probabilities = self.scores(x)
        if not self.thresholds:
            return probabilities
        p = probabilities.detach().double().cpu().numpy()  # (N, K)
        known = zip(p.T, self.thresholds, self.values, strict=True)
        separate = np.stack([np.interp(column, threshold, value) for column, threshold, value in known], 1)  # (N, K)
        total = separate.sum(1, keepdims=True)
        corrected = np.divide(separate, total, out=p.copy(), where=total > 0)
        corrected = (1 - self.random_share) * corrected + self.random_share * (p + 1 / p.shape[1]) / 2
        return torch.from_numpy(corrected).to(probabilities)

    def scores(self, x: Tensor) -> Tensor:
        """The model's own probabilities, (N, K)."""
        return self.model.predict_proba(x)

    def fit_correction(self, scores: Tensor, y: Tensor) -> None:
        """Fits each f_k by isotonic regression.

        Args:
            scores: probabilities of held-out images, (N, K).
            y: their labels, (N,).
        """
        n, classes = scores.shape
        fits = [isotonic_regression(scores[:, k].double().numpy(), (y == k).double().numpy()) for k in range(classes)]
        self.thresholds = [torch.from_numpy(thresholds) for thresholds, _ in fits]
        self.values = [torch.from_numpy(values) for _, values in fits]
        self.random_share = 1 / (n + 1)

    def count_correction(self) -> int:
        """Thresholds and values."""
        return sum(part.numel() for part in [*self.thresholds, *self.values])

    def correction(self) -> dict[str, Any]:
        """Thresholds and values of each f_k, and the share of random labels."""
        return {"thresholds": self.thresholds, "values": self.values, "random_share": self.random_share}

    def load_correction(self, correction: dict[str, Any]) -> None:
        """Takes over what `correction` gave."""
        self.thresholds = list(correction["thresholds"])
        self.values = list(correction["values"])
        self.random_share = float(correction["random_share"])


def isotonic_regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The non-decreasing function of x with the smallest sum of squares to y, by the pool-adjacent-violators algorithm.

    Source: R. E. Barlow, D. J. Bartholomew, J. M. Bremner, H. D. Brunk, "Statistical inference under order restrictions", 1972.

    Args:
        x: (N,).
        y: (N,).

    Returns:
        Distinct x in ascending order, and the function there; points within a constant piece are left out.
    """
    x, place = np.unique(x, return_inverse=True)
    weight = np.bincount(place).astype(float)
    mean = np.bincount(place, weights=y) / weight
    blocks: list[list[float]] = []  # mean, weight and number of points of each constant piece
    for value, count in zip(mean, weight, strict=True):
        blocks.append([value, count, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            after = blocks.pop()
            before = blocks.pop()
            total = before[1] + after[1]
            blocks.append([(before[0] * before[1] + after[0] * after[1]) / total, total, before[2] + after[2]])
    fitted = np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])
    inner = np.zeros(len(x), dtype=bool)
    inner[1:-1] = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    return x[~inner], fitted[~inner]


def calibrated(model: Any, method: str) -> CalibratedClassifier:
    """The model with a correction that is not fitted yet.

    Args:
        model: with `predict` and `predict_proba`.
        method: "temperature" or "isotonic".

    Raises:
        ValueError: for another method.
    """
    if method == "isotonic":
        return IsotonicCalibration(model)
    if method != "temperature":
        raise ValueError(f"calibrate: {method!r} is neither temperature nor isotonic")
    return LogitsTemperatureScaling(model) if hasattr(model, "decision_function") else TemperatureScaling(model)
