"""Codes and labels: how well the labels can be read off the codes by simple means, with few labels and with many.

    linear probe:  softmax regression (C = 1, never tuned) on codes of mean 0 and variance 1
    k-NN:          k = 1 where one image of each class has a label, 5 else, by Euclidean distance between the codes as they are

The variance is that of the code as a whole: scaled one by one, dimensions that a model does not use would count as much as
those it does. Principal components of the pixels, as many as the code has dimensions, go through the same: what a code gains
it must gain over them. Scale and components are learned from all train rows, whose labels they do not need. Where few are
labelled, the value of an image is the share of DRAWS draws of the labelled rows in which it was right. Source of linear
probes: G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshops 2017.
"""

import warnings

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import ProbeResult, generator

CURVE = "latent_probe"
UNIT = "accuracy"
NEEDS = ("encode",)
IMAGES_ONLY = False
# Labels for each class, before all of them.
FEW = (1, 10)
DRAWS = 5
# Train rows that are used: more of them would move a probe of so few numbers by little.
ROWS = 5000
# Steps of the softmax regression at most; a probe that still moves then is not sharper for more of them.
STEPS = 200


def latent_probe(model, x, y, x_train, y_train):
    """Accuracy of each image by every probe and number of labels for each class; x (N, ...), y (N,)."""
    x_train, y, y_train = x_train[:ROWS], y.numpy(), y_train[:ROWS].numpy()
    codes = [predict_batched(model, "encode", rows).flatten(1).float().numpy() for rows in (x_train, x)]  # (M, Z), (N, Z)
    pixels = [rows.flatten(1).float().numpy() for rows in (x_train, x)]  # (M, D), (N, D)
    components = PCA(min(codes[0].shape[1], *pixels[0].shape), random_state=0).fit(pixels[0])
    draws = _labelled(y_train)
    values = []  # four of (N, places)
    for train, test in (codes, [components.transform(rows) for rows in pixels]):
        mean, scale = train.mean(0), np.sqrt(train.var(0).mean()) + 1e-12
        for probe, known, asked in (
            (_linear_probe, (train - mean) / scale, (test - mean) / scale),
            (_neighbors, train, test),
        ):
            shares = [np.mean([probe(known[rows], y_train[rows], asked) == y for rows in sets], 0) for sets in draws.values()]
            values.append(np.stack(shares, 1))  # (N,) for each place -> (N, places)
    conditions = ("linear probe", "k-NN", "PCA, linear probe", "PCA, k-NN")
    return ProbeResult(torch.from_numpy(np.stack(values, 1)).float(), conditions, tuple(draws))


def _labelled(y):
    """Sets of rows, by the mean number of labels that they give a class; those of a draw hold one another."""
    classes = np.unique(y)
    random = generator()
    orders = [torch.randperm(len(y), generator=random).numpy() for _ in range(DRAWS)]
    most = len(y) / len(classes)
    found = {
        float(few): [np.concatenate([order[y[order] == k][:few] for k in classes]) for order in orders]
        for few in FEW
        if few < most
    }
    return found | {most: [np.arange(len(y))]}


def _linear_probe(known, y, asked):
    """Labels (N,) of asked (N, Z) by softmax regression on known (M, Z), y (M,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(max_iter=STEPS).fit(known, y).predict(asked)


def _neighbors(known, y, asked):
    """Labels (N,) of asked (N, Z) by a vote of the nearest of known (M, Z), y (M,)."""
    single = len(y) == len(np.unique(y))
    return KNeighborsClassifier(1 if single else min(5, len(y))).fit(known, y).predict(asked)
