"""All that a metric may ask for, computed once and only where one asks.

A metric's parameters name what it needs: a verb (what the model gives for the test images), a fact of the data (`y`), a derived
quantity (`sample_features`), or a probe (`denoised`), which puts the model through more than the images as they are. The catalog
knows the names; this module knows how each is had.

Samples are compared with as many test images, chosen at random by the seed and alike for every model: the first ones of a data
set may differ from the last.
"""

import hashlib
import importlib
import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import best_device, predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.data.known_distributions.known_images import shapes
from pofxy.evaluation import likelihood
from pofxy.evaluation.neighbors import balls, nearest
from pofxy.evaluation.quantities import ProbeResult
from pofxy.evaluation.tsne import embed
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

# Test images that a probe takes: the test split is in random order, so the first ones are a fair sample.
MAX_PROBE_IMAGES = 500
# Train images that a probe may learn from, and that a classifier of samples may see besides.
TRAIN_ROWS = 10_000
# Train images whose likelihood stands beside that of the test images.
TRAIN_LIKELIHOODS = 1000
# Of K-means on the codes.
STARTS = 5
# The classifier that learns from samples: the feature net's architecture with fewer steps.
CLASSIFIER_STEPS = 200
OF_FEATURE_NET = (
    "sample_features",
    "sample_probabilities",
    "sample_test_balls",
    "test_sample_balls",
    "test_own_ball",
    "decoded_features",
)
# Nearest images of the pool that a permutation test can do with: that all are of one side has a chance of 2^-19.
POOLED = 20


class EvaluationContext:
    """What one fitted model is judged by.

    Args:
        model: fitted.
        test, train: x (N, ...) float32 and y (N,) int64 of each split.
        spec: of the data set.
        samples: of the model, (n, ...), and the labels that were asked for, (n,), -1 where none were; or None.
        judge: the fitted feature net, or None.
        seed: of the random subsets.
        others: images of other data sets, by name, to be told from these. Where there is none, an embedded data set serves.
        inception: the standard feature net, or None.

    Raises:
        ValueError: where the test split, or another data set, is of another shape than what the data set says of itself.
    """

    def __init__(self, model, test, train, spec, samples=None, judge=None, seed=0, others=None, inception=None):
        if tuple(test[0].shape[1:]) != spec.shape:
            raise ValueError(
                f"{spec.name}: test images are {tuple(test[0].shape[1:])}, and the models were fitted on {spec.shape}"
            )
        self.model, self.spec, self.judge, self.seed, self.inception = model, spec, judge, seed, inception
        self.images, self.labels = test
        self.train, self.train_labels = train
        self.samples, self.asked = samples if samples is not None else (None, None)
        for name, x in (others or {}).items():
            if tuple(x.shape[1:]) != spec.shape:
                raise ValueError(f"outliers: {name} has images {tuple(x.shape[1:])}, and {spec.name} has {spec.shape}")
        self._others = others
        self._given: dict[str, np.ndarray] = {}
        self._measured: dict[str, ProbeResult] = {}
        self._estimates: dict[str, list[likelihood.Estimate]] = {}

    def get(self, name: str) -> np.ndarray | int:
        """What a metric's parameter names, but for a likelihood, of which there may be several estimates."""
        if name not in self._given:
            # Each quantity draws from a fresh seed: what it is does not hang on what was asked for before it.
            seed_everything(self.seed)
            own = getattr(type(self), f"_{name}", None)
            if own:
                value = own(self)
            else:
                value = self.probe(name).values if name in catalog.probes() else predict_batched(self.model, name, self.images)
            self._given[name] = value.numpy() if isinstance(value, Tensor) else value
        return self._given[name]

    def probe(self, name: str) -> ProbeResult:
        """What a probe found on the first images of the test split."""
        if name not in self._measured:
            seed_everything(self.seed)
            entry = catalog.probes()[name]
            able = {
                "model": self.model,
                "x": self.images[:MAX_PROBE_IMAGES],
                "y": self.labels[:MAX_PROBE_IMAGES],
                "spec": self.spec,
                "judge": self.judge,
            }
            # What takes time to make is made for those that ask for it.
            able |= {name: getattr(self, name) for name in ("mean", "others") if name in entry.parameters}
            if {"x_train", "y_train"} & set(entry.parameters):
                able |= dict(zip(("x_train", "y_train"), self._train_rows))
            function = getattr(importlib.import_module(f"pofxy.evaluation.quantities.{name}"), entry.public)
            self._measured[name] = function(**{parameter: able[parameter] for parameter in entry.parameters})
        return self._measured[name]

    def estimates(self, kind: str, split: str = "test") -> list[likelihood.Estimate]:
        """Every estimate of a likelihood on a split: of all test images, or of as many train images, chosen at random."""
        key = f"{kind}, {split}"
        if key not in self._estimates:
            seed_everything(self.seed)
            x = self.images
            if split == "train":
                x = self.train[self._random_rows(len(self.train), min(len(x), TRAIN_LIKELIHOODS))]
            self._estimates[key] = likelihood.estimates(self.model, self._binarized(x), self.spec, self._walks)
        return self._estimates[key]

    @property
    def notes(self) -> list[str]:
        """What is known of single estimates alone: a normaliser with its interval and its check from the other end."""
        return sorted({estimate.note for found in self._estimates.values() for estimate in found if estimate.note})

    def suits(self, name: str) -> bool:
        """Whether what a metric's parameter names can be had of this model and makes sense for this data set."""
        if name in likelihood.KINDS:
            return name == likelihood.kind(self.model, self.spec)
        if name == "levels":
            return self.spec.levels is not None
        if name in ("sample_labels", "synthetic_predict", "union_predict"):
            return self.asked is not None and bool((self.asked >= 0).all())
        if name.endswith("_inception"):
            return self.inception is not None and len(self.spec.shape) == 3
        probe = catalog.probes().get(name)
        return not (probe and probe.constants["IMAGES_ONLY"] and len(self.spec.shape) != 3)

    def estimator(self, name: str) -> str:
        """How a quantity was estimated: a part of the score's passport. "" for plain outputs."""
        if name in catalog.probes():
            conditions = self.probe(name).conditions
            return conditions[0] if len(conditions) == 1 else ""
        if name.endswith("_inception"):
            return f"Inception-v3 {_hash(self.inception)}"
        if name.startswith(("sample_nearest", "sample_pool", "sample_pixels")):
            return "pixels" if len(self.spec.shape) == 3 else "columns"
        if name in OF_FEATURE_NET:
            return f"feature_net {self.judge_hash}"
        if name in ("synthetic_predict", "union_predict"):
            return f"feature_net's architecture, {CLASSIFIER_STEPS} steps"
        return f"{self.get('codes').shape[1]} dimensions" if name in ("codes", "code_clusters") else ""

    @cached_property
    def others(self) -> dict[str, Tensor]:
        """Images of another data set, by its name; none for a table."""
        return self._others or _embedded(self.spec)

    @cached_property
    def mean(self) -> Tensor:
        """Of the train images, (...): what an imputing classifier sees of a pixel that is not known."""
        return self.train.mean(0)

    @cached_property
    def judge_hash(self) -> str:
        """The first 8 hexadecimal digits of the SHA-256 of the feature net's numbers."""
        return _hash(self.judge)

    @cached_property
    def nearest_train(self) -> tuple[Tensor, Tensor]:
        """Of each sample, distances and indices of its three nearest images in `unseen`, (n, 3) each."""
        return nearest(self.samples.flatten(1), self.unseen.flatten(1), 3)

    @cached_property
    def unseen(self) -> Tensor:
        """The train images that samples may have been copied from. Real images are no copies: they are left out themselves."""
        if not tags_of(self.model).samples_are_real:
            return self.train
        shown = {x.numpy().tobytes() for x in self.samples}
        return self.train[torch.tensor([x.numpy().tobytes() not in shown for x in self.train])]

    @cached_property
    def pca(self) -> "EvaluationContext":
        """The same evidence for principal components of as many dimensions as the model's code: the baseline of codes."""
        from sklearn.decomposition import PCA

        x = self._train_rows[0].flatten(1)
        size = min(self.get("codes").shape[1], x.shape[1], len(x))
        components = PCA(size, svd_solver="covariance_eigh").fit(x)
        other = EvaluationContext(
            self.model, (self.images, self.labels), (self.train, self.train_labels), self.spec, seed=self.seed
        )
        other._given["codes"] = components.transform(self.images.flatten(1)).astype(np.float32)
        return other

    def redrawn(self, labels: Tensor | None) -> "EvaluationContext":
        """The same evidence with other samples of the same number."""
        x = sample_batched(self.model, len(self.samples), labels)
        samples = x, labels if labels is not None else torch.full((len(x),), -1)
        data = (self.images, self.labels), (self.train, self.train_labels)
        return EvaluationContext(self.model, *data, self.spec, samples, self.judge, self.seed, self._others, self.inception)

    @cached_property
    def _walks(self) -> likelihood.Annealing | None:
        """The normaliser of a model that knows its law but for that: once for test and train."""
        if not hasattr(self.model, "log_unnormalized"):
            return None
        return likelihood.anneal(self.model, self._binarized(self.images[: likelihood.CHAINS]))

    def _binarized(self, x: Tensor) -> Tensor:
        how = tags_of(self.model).binarized
        # A pixel drawn by its grey level is drawn alike for every model.
        return likelihood.binarize(x, how, torch.Generator().manual_seed(0)) if how else x

    def _random_rows(self, of: int, n: int) -> Tensor:
        return torch.from_numpy(np.sort(np.random.default_rng(self.seed).permutation(of)[:n]))

    @cached_property
    def _train_rows(self) -> tuple[Tensor, Tensor]:
        # The same rows for every seed, too: what is compared is the models alone.
        rows = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(0))[:TRAIN_ROWS]
        return self.train[rows], self.train_labels[rows]

    @cached_property
    def _compared(self) -> Tensor:
        n = len(self.images) if self.samples is None else len(self.samples)
        return self.images[self._random_rows(len(self.images), n)]

    @cached_property
    def _balls(self) -> tuple[Tensor, Tensor, Tensor]:
        return balls(*(torch.from_numpy(self.get(name)) for name in ("test_features", "sample_features")))

    @cached_property
    def _pool(self) -> tuple[Tensor, Tensor]:
        """Distances and indices (n, POOLED) of the images nearest to each sample, among as many train as test images."""
        size = self.get("pool_size")
        train, test = (x[self._random_rows(len(x), size)].flatten(1) for x in (self.unseen, self.images))
        return nearest(self.samples.flatten(1), torch.cat([train, test]), min(POOLED, 2 * size))

    def _x(self):
        return self.images

    def _y(self):
        return self.labels

    def _dimensions(self):
        return math.prod(self.spec.shape)

    def _levels(self):
        return self.spec.levels

    def _class_scores(self):
        """(N, K): the larger, the more the model believes in the class."""
        return self.get("predict_proba" if hasattr(self.model, "predict_proba") else "decision_function")

    def _codes(self):
        return predict_batched(self.model, "encode", self.images)

    def _decoded_features(self):
        noise = torch.randn(len(self._compared), self.get("codes").shape[1])
        return predict_batched(self.judge, "encode", predict_batched(self.model, "decode", noise))

    def _code_map(self):
        return embed(self.get("codes"))

    def _code_clusters(self):
        """(N,): the cluster of each code, by K-means with as many clusters as classes, the best of several starts."""
        from sklearn.cluster import KMeans

        return KMeans(self.spec.classes, n_init=STARTS, random_state=0).fit_predict(self.get("codes"))

    def _sample_pixels(self):
        return self.samples

    def _test_pixels(self):
        return self._compared

    def _train_pixels(self):
        return self.unseen[self._random_rows(len(self.unseen), len(self.samples))]

    def _sample_labels(self):
        return self.asked

    def _sample_features(self):
        return predict_batched(self.judge, "encode", self.samples)

    def _test_features(self):
        return predict_batched(self.judge, "encode", self._compared)

    def _sample_probabilities(self):
        return predict_batched(self.judge, "predict_proba", self.samples)

    def _sample_inception(self):
        return predict_batched(self.inception, "encode", self.samples, batch=32)

    def _test_inception(self):
        return predict_batched(self.inception, "encode", self._compared, batch=32)

    def _sample_test_balls(self):
        return self._balls[0]

    def _test_sample_balls(self):
        return self._balls[1]

    def _test_own_ball(self):
        return self._balls[2]

    def _sample_nearest_train(self):
        return self.nearest_train[0][:, 0]

    def _sample_nearest_train_own(self):
        own = self.unseen[self.nearest_train[1][:, 0]].flatten(1)
        return nearest(own, self.unseen.flatten(1), 2)[0][:, 1]  # the nearest of all is the image itself

    def _pool_size(self):
        """Train images in the pool, and test images."""
        return min(len(self.samples), len(self.images), len(self.unseen))

    def _sample_pool_distance(self):
        return self._pool[0]

    def _sample_pool_index(self):
        return self._pool[1]

    def _synthetic_predict(self):
        return self._classified(self.samples, self.asked)

    def _union_predict(self):
        x, y = self._train_rows
        return self._classified(torch.cat([x, self.samples]), torch.cat([y, self.asked]))

    def _classified(self, x: Tensor, y: Tensor) -> Tensor:
        """Labels of the test images, (N,), by a fixed classifier that learns from x (M, ...), y (M,), a tenth of them its val."""
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        val, rest = order[: max(len(x) // 10, 1)], order[max(len(x) // 10, 1) :]
        classifier = type(self.judge)(steps=CLASSIFIER_STEPS)
        classifier.fit(TrainingData(self.spec, x[rest], y[rest], x[val], y[val]), Trainer())
        return predict_batched(classifier, "predict", self.images)


def _embedded(spec: DataSpec) -> dict[str, Tensor]:
    """Images of an embedded data set, brought to the shape of this one: drawn shapes, and digits where these are its own."""
    if len(spec.shape) != 3:
        return {}
    if (spec.distribution or {}).get("of") != "known_images":
        return {"known_images": shapes(MAX_PROBE_IMAGES, spec, np.random.default_rng(0))}
    from sklearn.datasets import load_digits

    return {
        "digits": torch.from_numpy(load_digits().images[:MAX_PROBE_IMAGES, None]).float() / 16
    }  # (N, 1, 8, 8), as known images are


def open_inception(weights: str | None):
    """The standard feature net with the weights that the config names; None where it names none."""
    if weights is None:
        return None
    from pofxy.evaluation.inception import Inception  # it imports torchvision

    return Inception(weights).to(best_device())


def _hash(net: torch.nn.Module) -> str:
    state = net.state_dict().values()
    return hashlib.sha256(b"".join(tensor.cpu().contiguous().numpy().tobytes() for tensor in state)).hexdigest()[:8]
