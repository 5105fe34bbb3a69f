"""Samples and test images as a feature net sees them, and what a classifier learns from samples."""

import hashlib

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsEncode, SupportsPredictProba
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.neighbors import balls
from pofxy.evaluation.quantity import NotApplicable, quantity
from pofxy.training.trainer import Trainer

# The classifier that learns from samples: the feature net's architecture with fewer steps.
CLASSIFIER_STEPS = 200


@quantity()
def feature_net_hash(feature_net: torch.nn.Module) -> str:
    """The first 8 hexadecimal digits of the SHA-256 of the feature net's numbers."""
    return _hash(feature_net)


@quantity(rows="samples", source="feature_net {feature_net_hash}", redrawn=True)
def sample_features(sample_pixels: Tensor, feature_net: SupportsEncode) -> Tensor:
    """Features of the samples, (n, F)."""
    return predict_batched(feature_net, "encode", sample_pixels)


@quantity(rows="test")
def test_features(test_pixels: Tensor, feature_net: SupportsEncode) -> Tensor:
    """Features of as many test images, (n, F)."""
    return predict_batched(feature_net, "encode", test_pixels)


@quantity(rows="samples", source="feature_net {feature_net_hash}", redrawn=True)
def sample_probabilities(sample_pixels: Tensor, feature_net: SupportsPredictProba) -> Tensor:
    """p(y | x) of the samples by the feature net, (n, K)."""
    return predict_batched(feature_net, "predict_proba", sample_pixels)


@quantity(rows="samples", source="Inception-v3 {inception_hash}")
def sample_inception(sample_pixels: Tensor, inception: SupportsEncode | None, spec: DataSpec) -> Tensor:
    """Features of the samples by the standard feature net, (n, 2048)."""
    return predict_batched(_standard(inception, spec), "encode", sample_pixels, batch=32)


@quantity(rows="test")
def test_inception(test_pixels: Tensor, inception: SupportsEncode | None, spec: DataSpec) -> Tensor:
    """Features of as many test images by the standard feature net, (n, 2048)."""
    return predict_batched(_standard(inception, spec), "encode", test_pixels, batch=32)


@quantity()
def inception_hash(inception: torch.nn.Module) -> str:
    """The first 8 hexadecimal digits of the SHA-256 of the standard feature net's numbers."""
    return _hash(inception)


@quantity(kept=False)
def sample_balls(test_features: Tensor, sample_features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The counts of `neighbors.balls` for test images and samples in feature space."""
    if min(len(test_features), len(sample_features)) < 2:
        raise NotApplicable("a single point has no nearest neighbor")
    return balls(test_features, sample_features)


@quantity(rows="samples", source="feature_net {feature_net_hash}", redrawn=True)
def sample_test_balls(sample_balls: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """In how many balls around test images each sample lies, (n,)."""
    return sample_balls[0]


@quantity(rows="test", source="feature_net {feature_net_hash}", redrawn=True)
def test_sample_balls(sample_balls: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """In how many balls around samples each test image lies, (n,)."""
    return sample_balls[1]


@quantity(rows="test", source="feature_net {feature_net_hash}", redrawn=True)
def test_own_ball(sample_balls: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Whether the ball around each test image holds a sample, (n,)."""
    return sample_balls[2]


@quantity(kept=False)
def classifier_steps() -> int:
    """The steps that the classifier of samples is trained for."""
    return CLASSIFIER_STEPS


@quantity(rows="test", source="feature_net's architecture, {classifier_steps} steps")
def synthetic_predict(
    sample_pixels: Tensor, sample_labels: Tensor, x: Tensor, spec: DataSpec, feature_net: torch.nn.Module
) -> Tensor:
    """Labels of the test images, (N,), by a classifier that was trained on the samples alone."""
    return _classify(sample_pixels, sample_labels, x, spec, type(feature_net))


@quantity(rows="test", source="feature_net's architecture, {classifier_steps} steps")
def union_predict(
    sample_pixels: Tensor,
    sample_labels: Tensor,
    x_train_subset: Tensor,
    y_train_subset: Tensor,
    x: Tensor,
    spec: DataSpec,
    feature_net: torch.nn.Module,
) -> Tensor:
    """Labels of the test images, (N,), by a classifier that was trained on train images and samples."""
    images = torch.cat([x_train_subset, sample_pixels])
    return _classify(images, torch.cat([y_train_subset, sample_labels]), x, spec, type(feature_net))


def _classify(images: Tensor, labels: Tensor, x: Tensor, spec: DataSpec, architecture: type) -> Tensor:
    """Labels of x (N, ...), by a classifier of a fixed architecture trained on images (M, ...), a tenth of which are its val."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    n_val = max(len(images) // 10, 1)
    val, train = order[:n_val], order[n_val:]
    classifier = build_model(architecture, steps=CLASSIFIER_STEPS)
    classifier.fit(TrainingData(spec, images[train], labels[train], images[val], labels[val]), Trainer())
    return predict_batched(classifier, "predict", x)


def _standard(inception: SupportsEncode | None, spec: DataSpec) -> SupportsEncode:
    if inception is None:
        raise NotApplicable("the config names no weights of the standard feature net")
    if len(spec.shape) != 3:
        raise NotApplicable("the standard feature net takes images, and this is a table")
    return inception


def _hash(net: torch.nn.Module) -> str:
    numbers = (tensor.cpu().contiguous().numpy().tobytes() for tensor in net.state_dict().values())
    return hashlib.sha256(b"".join(numbers)).hexdigest()[:8]
