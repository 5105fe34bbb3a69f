"""Every metric of labels, likelihood and reconstruction against an implementation that is not ours."""

import importlib
import inspect
import math

import numpy as np
import pytest
import torch

from pofxy.study import catalog

METRICS = catalog.metrics()
RNG = np.random.default_rng(0)


def metric(name):
    return getattr(importlib.import_module(f"pofxy.evaluation.metrics.{name}"), METRICS[name].public)


@pytest.fixture
def classified():
    logits = RNG.normal(size=(500, 7))
    y = RNG.integers(7, size=500)
    logits[np.arange(500), y] += 1.5
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probability, y


@pytest.fixture
def rebuilt():
    x = RNG.random((20, 3, 16, 16), dtype=np.float32)
    return x, np.clip(x + 0.1 * RNG.normal(size=x.shape), 0, 1).astype(np.float32)


def test_accuracy_is_scikit_learns(classified):
    from sklearn.metrics import accuracy_score

    probability, y = classified
    assert metric("accuracy")(probability.argmax(1), y).mean() == pytest.approx(accuracy_score(y, probability.argmax(1)))


def test_log_loss_is_scikit_learns(classified):
    from sklearn.metrics import log_loss

    probability, y = classified
    assert metric("log_loss")(probability, y).mean() == pytest.approx(log_loss(y, probability), rel=1e-12)
    sure_and_wrong = metric("log_loss")(np.eye(7)[(y + 1) % 7], y)
    assert np.isfinite(sure_and_wrong).all() and sure_and_wrong.mean() == pytest.approx(-math.log(np.finfo(float).eps))


def test_metrics_of_classes_are_scikit_learns(classified):
    from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, roc_auc_score

    probability, y = classified
    label = probability.argmax(1)
    assert metric("balanced_accuracy")(label, y) == pytest.approx(balanced_accuracy_score(y, label), rel=1e-12)
    assert metric("macro_f1")(label, y) == pytest.approx(f1_score(y, label, ema_decay="macro"), rel=1e-12)
    brier = brier_score_loss(y, probability, scale_by_half=False)
    assert metric("brier_score")(probability, y).mean() == pytest.approx(brier, rel=1e-12)
    area = roc_auc_score(y, probability, multi_class="ovr", ema_decay="macro")
    assert metric("auroc")(probability, y) == pytest.approx(area, rel=1e-12)
    # Scores in steps of a tenth tie often, and a tie counts half.
    rough = probability.round(1)
    areas = [roc_auc_score(y == k, rough[:, k]) for k in range(7)]
    assert metric("auroc")(rough, y) == pytest.approx(np.mean(areas), rel=1e-12)


def test_metrics_of_classes_where_one_is_never_named_or_never_there():
    y, label = np.array([0, 0, 1, 1, 3, 3]), np.array([0, 0, 1, 2, 0, 1])
    assert metric("balanced_accuracy")(label, y) == pytest.approx((1 + 0.5 + 0) / 3)
    assert metric("macro_f1")(label, y) == pytest.approx((4 / 5 + 2 / 4 + 0 + 0) / 4)
    assert metric("auroc")(np.eye(4)[label], y) == pytest.approx(np.mean([7 / 8, 5 / 8, 1 / 2]))


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_expected_calibration_error_is_torchmetrics(classified, sharper):
    from pofxy.data.torchvision_compat import import_torchvision

    import_torchvision()
    from torchmetrics.functional.classification import multiclass_calibration_error

    probability, y = classified
    probability = probability**sharper / (probability**sharper).sum(1, keepdims=True)
    theirs = multiclass_calibration_error(torch.from_numpy(probability), torch.from_numpy(y), 7, n_bins=15, norm="l1")
    assert metric("expected_calibration_error")(probability, y) == pytest.approx(float(theirs), rel=1e-6)
    bins = importlib.import_module("pofxy.evaluation.metrics.expected_calibration_error").bins
    confidence, accuracy, count = bins(probability, y)
    assert count.sum() == 500 and np.isnan(accuracy).sum() == (count == 0).sum()
    assert (np.nan_to_num(accuracy) * count).sum() == pytest.approx((probability.argmax(1) == y).sum())
    edges = np.arange(16) / 15
    assert all(low < c <= high for c, low, high in zip(confidence, edges, edges[1:]) if np.isfinite(c))


def test_metrics_of_probes_average_what_is_not_clean():
    flags = np.zeros((4, 2, 3), bool)
    flags[:, :, 0] = True
    flags[:2, 1, 1:] = True
    assert metric("robustness")(flags) == pytest.approx(0.25)
    assert metric("adversarial")(flags) == pytest.approx(0.5), "of the second condition, PGD, alone"
    assert metric("missing_pixels")(flags[:, 1:]) == pytest.approx(0.5)


def test_reconstruction_metrics_are_torchmetrics(rebuilt):
    from pofxy.data.torchvision_compat import import_torchvision

    import_torchvision()  # torchmetrics imports it
    from torchmetrics.functional.image import peak_signal_noise_ratio
    from torchmetrics.functional.regression import mean_squared_error

    x, found = (torch.from_numpy(part).double() for part in rebuilt)
    theirs = peak_signal_noise_ratio(found, x, data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3))
    assert metric("psnr")(*rebuilt).mean() == pytest.approx(float(theirs), rel=1e-6)
    assert metric("reconstruction_mse")(*rebuilt).mean() == pytest.approx(float(mean_squared_error(found, x)), rel=1e-6)
    assert metric("psnr")(rebuilt[0], rebuilt[0]).max() == 100


@pytest.mark.parametrize("rows", [(400, 300), (50, 60)], ids=["more rows than features", "fewer"])
def test_frechet_distance_is_torch_fidelitys_and_scipys(rows):
    from pofxy.data.torchvision_compat import import_torchvision

    import_torchvision()
    from scipy.linalg import sqrtm
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    mix = RNG.normal(size=(64, 64)) / 8
    a = np.maximum(RNG.normal(size=(rows[0], 64)) @ mix, 0)
    b = np.maximum(RNG.normal(size=(rows[1], 64)) @ mix + 0.2, 0)
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    ours, _ = metric("frechet_distance")(a, b)
    assert ours == pytest.approx(theirs, rel=1e-4)
    if min(rows) > 64:  # a singular product has no root that SciPy finds to this precision
        cross = np.trace(sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real)
        gap = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.cov(a, rowvar=False).trace() + np.cov(b, rowvar=False).trace() - 2 * cross
        assert ours == pytest.approx(gap, rel=1e-4)
    assert metric("frechet_distance")(a, a)[0] == pytest.approx(0, abs=1e-6)


def test_bits_per_dimension_of_a_uniform_law_is_the_depth_of_the_image():
    log_mass = np.full(5, -64 * math.log(256))
    assert metric("bits_per_dim")(log_mass, 64) == pytest.approx([8] * 5)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_direction_unit_and_what_it_is(name):
    entry = METRICS[name]
    assert isinstance(entry.constants["HIGHER_IS_BETTER"], bool) and entry.constants["UNIT"]
    module = importlib.import_module(f"pofxy.evaluation.metrics.{name}")
    assert "\n\n    " in inspect.getdoc(module), "its formula stands indented in the module's docstring"
    assert entry.public == name
    unknown = (
        set(entry.parameters) - set(catalog.capabilities()) - set(catalog.FACTS) - set(catalog.DERIVED) - set(catalog.probes())
    )
    assert not unknown, f"nobody gives {unknown}"
