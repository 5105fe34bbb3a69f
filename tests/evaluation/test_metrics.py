"""Metrics of labels, probabilities, likelihood and reconstruction against independent implementations."""

import importlib
import inspect
import math

import numpy as np
import pytest
import torch

from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation.metrics.accuracy import accuracy
from pofxy.evaluation.metrics.adversarial import adversarial
from pofxy.evaluation.metrics.auroc import auroc
from pofxy.evaluation.metrics.balanced_accuracy import balanced_accuracy
from pofxy.evaluation.metrics.bits_per_dim import bits_per_dim
from pofxy.evaluation.metrics.brier_score import brier_score
from pofxy.evaluation.metrics.expected_calibration_error import bins, expected_calibration_error
from pofxy.evaluation.metrics.frechet_distance import frechet_distance
from pofxy.evaluation.metrics.log_loss import log_loss
from pofxy.evaluation.metrics.macro_f1 import macro_f1
from pofxy.evaluation.metrics.missing_pixels import missing_pixels
from pofxy.evaluation.metrics.psnr import psnr
from pofxy.evaluation.metrics.reconstruction_mse import reconstruction_mse
from pofxy.evaluation.metrics.robustness import robustness
from pofxy.study import catalog

METRICS = catalog.metrics()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def classified(rng):
    """Class probabilities (500, 7) that favor the true label, and the labels (500,)."""
    logits = rng.normal(size=(500, 7))
    y = rng.integers(7, size=500)
    logits[np.arange(500), y] += 1.5
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), y


@pytest.fixture
def reconstructed(rng):
    """Images and their reconstructions, (20, 3, 16, 16) each."""
    x = rng.random((20, 3, 16, 16), dtype=np.float32)
    return x, np.clip(x + 0.1 * rng.normal(size=x.shape), 0, 1).astype(np.float32)


def test_accuracy_is_that_of_scikit_learn(classified):
    from sklearn import metrics

    probability, y = classified
    label = probability.argmax(1)
    assert accuracy(label, y).mean() == pytest.approx(metrics.accuracy_score(y, label))


def test_log_loss_is_that_of_scikit_learn(classified):
    from sklearn import metrics

    probability, y = classified
    assert log_loss(probability, y).mean() == pytest.approx(metrics.log_loss(y, probability), rel=1e-12)
    confident_and_wrong = log_loss(np.eye(7)[(y + 1) % 7], y)
    assert np.isfinite(confident_and_wrong).all()
    assert confident_and_wrong.mean() == pytest.approx(-math.log(np.finfo(float).eps))


def test_metrics_over_classes_are_those_of_scikit_learn(classified):
    from sklearn import metrics

    probability, y = classified
    label = probability.argmax(1)
    assert balanced_accuracy(label, y) == pytest.approx(metrics.balanced_accuracy_score(y, label), rel=1e-12)
    assert macro_f1(label, y) == pytest.approx(metrics.f1_score(y, label, average="macro"), rel=1e-12)
    brier = metrics.brier_score_loss(y, probability, scale_by_half=False)
    assert brier_score(probability, y).mean() == pytest.approx(brier, rel=1e-12)
    area = metrics.roc_auc_score(y, probability, multi_class="ovr", average="macro")
    assert auroc(probability, y) == pytest.approx(area, rel=1e-12)
    # Scores rounded to a tenth tie often, and a tie counts half.
    rounded = probability.round(1)
    areas = [metrics.roc_auc_score(y == k, rounded[:, k]) for k in range(7)]
    assert auroc(rounded, y) == pytest.approx(np.mean(areas), rel=1e-12)


def test_metrics_over_classes_where_a_class_is_never_predicted_or_never_occurs():
    y = np.array([0, 0, 1, 1, 3, 3])
    label = np.array([0, 0, 1, 2, 0, 1])
    assert balanced_accuracy(label, y) == pytest.approx((1 + 0.5 + 0) / 3)
    assert macro_f1(label, y) == pytest.approx((4 / 5 + 2 / 4 + 0 + 0) / 4)
    assert auroc(np.eye(4)[label], y) == pytest.approx(np.mean([7 / 8, 5 / 8, 1 / 2]))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_expected_calibration_error_is_that_of_torchmetrics(classified, exponent):
    import_torchvision()  # torchmetrics imports it
    from torchmetrics.functional.classification import multiclass_calibration_error

    probability, y = classified
    probability = probability**exponent / (probability**exponent).sum(1, keepdims=True)
    expected = multiclass_calibration_error(torch.from_numpy(probability), torch.from_numpy(y), 7, n_bins=15, norm="l1")
    assert expected_calibration_error(probability, y) == pytest.approx(float(expected), rel=1e-6)
    confidence, bin_accuracy, count = bins(probability, y)
    assert count.sum() == 500
    assert np.isnan(bin_accuracy).sum() == (count == 0).sum()
    assert (np.nan_to_num(bin_accuracy) * count).sum() == pytest.approx((probability.argmax(1) == y).sum())
    edges = np.arange(16) / 15
    assert all(low < c <= high for c, low, high in zip(confidence, edges, edges[1:]) if np.isfinite(c))


def test_metrics_of_changed_images_leave_out_the_unchanged_ones():
    correct = np.zeros((4, 2, 3), bool)
    correct[:, :, 0] = True
    correct[:2, 1, 1:] = True
    assert robustness(correct) == pytest.approx(0.25)
    assert adversarial(correct) == pytest.approx(0.5), "of the second condition, PGD, alone"
    assert missing_pixels(correct[:, 1:]) == pytest.approx(0.5)


def test_reconstruction_metrics_are_those_of_torchmetrics(reconstructed):
    import_torchvision()  # torchmetrics imports it
    from torchmetrics.functional.image import peak_signal_noise_ratio
    from torchmetrics.functional.regression import mean_squared_error

    x, reconstruction = (torch.from_numpy(part).double() for part in reconstructed)
    expected = peak_signal_noise_ratio(reconstruction, x, data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3))
    assert psnr(*reconstructed).mean() == pytest.approx(float(expected), rel=1e-6)
    assert reconstruction_mse(*reconstructed).mean() == pytest.approx(float(mean_squared_error(reconstruction, x)), rel=1e-6)
    assert psnr(reconstructed[0], reconstructed[0]).max() == 100


@pytest.mark.parametrize("rows", [(400, 300), (50, 60)], ids=["more rows than features", "fewer"])
def test_frechet_distance_is_that_of_torch_fidelity_and_scipy(rng, rows):
    import_torchvision()  # torch-fidelity imports it
    from scipy.linalg import sqrtm
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    mixing = rng.normal(size=(64, 64)) / 8
    a = np.maximum(rng.normal(size=(rows[0], 64)) @ mixing, 0)
    b = np.maximum(rng.normal(size=(rows[1], 64)) @ mixing + 0.2, 0)
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in (a, b)]
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    distance, _ = frechet_distance(a, b)
    assert distance == pytest.approx(expected, rel=1e-4)
    if min(rows) > 64:  # SciPy finds the root of a singular product less precisely
        covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        cross = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
        by_scipy = ((a.mean(0) - b.mean(0)) ** 2).sum() + covariances[0].trace() + covariances[1].trace() - 2 * cross
        assert distance == pytest.approx(by_scipy, rel=1e-4)
    assert frechet_distance(a, a)[0] == pytest.approx(0, abs=1e-6)


def test_bits_per_dimension_of_a_uniform_distribution_is_the_bit_depth_of_the_image():
    log_mass = np.full(5, -64 * math.log(256))
    assert bits_per_dim(log_mass, 64) == pytest.approx([8] * 5)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_states_its_direction_unit_formula_and_types(name):
    entry = METRICS[name]
    assert isinstance(entry.higher_is_better, bool) and entry.unit
    module = importlib.import_module(f"pofxy.evaluation.metrics.{name}")
    assert "\n\n    " in inspect.getdoc(module), "its formula stands indented in the module's docstring"
    assert entry.public == name
    signature = inspect.signature(getattr(module, name))
    assert signature.return_annotation in (np.ndarray, float, tuple[float, float])
    assert {parameter.annotation for parameter in signature.parameters.values()} <= {np.ndarray, int}


@pytest.mark.parametrize("name", METRICS)
def test_each_argument_of_a_metric_is_a_quantity_or_a_fact(name):
    known = {*catalog.quantities(), *catalog.facts()}
    unknown = {dependency.name for dependency in METRICS[name].dependencies} - known
    assert not unknown, f"nothing provides {unknown}"


def test_an_argument_that_nothing_provides_is_named():
    with pytest.raises(ValueError, match="'novelty' is an argument of a metric or quantity, and neither a quantity nor a fact"):
        catalog.why_not((catalog.Dependency("novelty"),), ("predict",))
