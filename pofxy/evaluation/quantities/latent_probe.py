"""Latent probes: how well labels can be predicted from the latents by simple classifiers, with few labels and with many.

    linear probe:  softmax regression (C = 1, never tuned) on latents of mean 0 and variance 1
    k-NN:          k = 1 where one image of each class has a label, 5 else, by Euclidean distance between the unscaled latents

The variance is that of the latent vector as a whole: scaled one by one, dimensions that a model does not use would count as much
as those it does. Principal components of the pixels, as many as the latents have dimensions, are the baseline: what a model gains
it must gain over them. Scale and components are learned from all train rows, whose labels they do not need. Where few are
labelled, the value of an image is the share of DRAWS sets of labelled rows with which its prediction was right.

Source of linear probes: G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshops
2017, https://arxiv.org/abs/1610.01644.
"""

import warnings

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from pofxy.base.capabilities import SupportsEncode
from pofxy.base.passes import MAX_PROBE_IMAGES
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import ProbeResult, fixed_generator, quantity

# Labels for each class, before all of them.
FEW = (1, 10)
DRAWS = 5
# Train rows that are used: more of them would move a probe of so few numbers by little. They are as many for every model, because
# the places of the curve are numbers of labels.
MAX_ROWS = 5000
# Steps of the softmax regression at most; a probe that still moves then is not sharper for more of them.
STEPS = 200


@quantity(rows="test", curve="latent_probe", unit="accuracy")
def latent_probe(
    model: SupportsEncode,
    x: Tensor,
    y: Tensor,
    latents: Tensor,
    x_train_subset: Tensor,
    y_train_subset: Tensor,
) -> ProbeResult:
    """Where every probe is right, by the number of labels for each class, for the first test images; x (N, ...), y (N,)."""
    x_train = x_train_subset[:MAX_ROWS]
    y_test = y[:MAX_PROBE_IMAGES].numpy()
    y_train = y_train_subset[:MAX_ROWS].numpy()
    encoded = predict_batched(model, "encode", x_train), latents[:MAX_PROBE_IMAGES]
    own = [rows.flatten(1).float().numpy() for rows in encoded]  # (M, Z), (P, Z)
    pixels = [rows.flatten(1).float().numpy() for rows in (x_train, x[:MAX_PROBE_IMAGES])]  # (M, D), (P, D)
    components = PCA(min(own[0].shape[1], *pixels[0].shape), random_state=0).fit(pixels[0])
    draws = _labelled(y_train)
    values = []  # four of (N, places)
    for train, test in (own, [components.transform(rows) for rows in pixels]):
        mean, scale = train.mean(0), np.sqrt(train.var(0).mean()) + 1e-12
        for probe, known, queries in (
            (_linear_probe, (train - mean) / scale, (test - mean) / scale),
            (_neighbors, train, test),
        ):
            shares = [
                np.mean([probe(known[rows], y_train[rows], queries) == y_test for rows in sets], 0) for sets in draws.values()
            ]
            values.append(np.stack(shares, 1))  # (N,) for each place -> (N, places)
    conditions = ("linear probe", "k-NN", "PCA, linear probe", "PCA, k-NN")
    return ProbeResult(torch.from_numpy(np.stack(values, 1)).float(), conditions, tuple(draws))


def _labelled(y):
    """Sets of rows, by the mean number of labels that they give a class; those of a draw hold one another."""
    classes = np.unique(y)
    random = fixed_generator()
    orders = [torch.randperm(len(y), generator=random).numpy() for _ in range(DRAWS)]
    most = len(y) / len(classes)
    found = {
        float(few): [np.concatenate([order[y[order] == k][:few] for k in classes]) for order in orders]
        for few in FEW
        if few < most
    }
    return found | {most: [np.arange(len(y))]}


def _linear_probe(known, y, queries):
    """Labels (N,) of queries (N, Z) by softmax regression on known (M, Z), y (M,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(max_iter=STEPS).fit(known, y).predict(queries)


def _neighbors(known, y, queries):
    """Labels (N,) of queries (N, Z) by a vote of the nearest of known (M, Z), y (M,)."""
    single = len(y) == len(np.unique(y))
    return KNeighborsClassifier(1 if single else min(5, len(y))).fit(known, y).predict(queries)
