"""Every metric against an implementation that is not ours, and the evaluation around them."""

import importlib
import inspect
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pofxy import catalog, protocol
from pofxy.evaluation import Evidence, scores

METRICS = catalog.metrics()
RNG = np.random.default_rng(0)


def metric(name):
    return getattr(importlib.import_module(f"pofxy.metrics.{name}"), METRICS[name].public)


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


def test_reconstruction_metrics_are_torchmetrics(rebuilt):
    from pofxy.vision import import_torchvision

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
    from pofxy.vision import import_torchvision

    import_torchvision()
    from scipy.linalg import sqrtm
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    mix = RNG.normal(size=(64, 64)) / 8
    a = np.maximum(RNG.normal(size=(rows[0], 64)) @ mix, 0)
    b = np.maximum(RNG.normal(size=(rows[1], 64)) @ mix + 0.2, 0)
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    ours = metric("frechet_distance")(a, b)
    assert ours == pytest.approx(theirs, rel=1e-4)
    if min(rows) > 64:  # a singular product has no root that SciPy finds to this precision
        cross = np.trace(sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real)
        gap = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.cov(a, rowvar=False).trace() + np.cov(b, rowvar=False).trace() - 2 * cross
        assert ours == pytest.approx(gap, rel=1e-4)
    assert metric("frechet_distance")(a, a) == pytest.approx(0, abs=1e-6)


def test_bits_per_dimension_of_a_uniform_law_is_the_depth_of_the_image():
    log_mass = np.full(5, -64 * math.log(256))
    assert metric("bits_per_dim")(log_mass, 64) == pytest.approx([8] * 5)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_direction_unit_and_what_it_is(name):
    entry = METRICS[name]
    assert isinstance(entry.constants["HIGHER_IS_BETTER"], bool) and entry.constants["UNIT"]
    module = importlib.import_module(f"pofxy.metrics.{name}")
    assert "\n\n    " in inspect.getdoc(module), "its formula stands indented in the module's docstring"
    assert entry.public == name
    unknown = set(entry.parameters) - set(protocol.VERBS) - set(catalog.FACTS) - set(catalog.DERIVED)
    assert not unknown, f"nobody gives {unknown}"


class UniformDensity(torch.nn.Module):
    """The uniform law over the bins of all pixels: its exact mass is L^-D for every image."""

    measure = "density"

    def log_prob(self, x):
        low, high = -0.5 / 16, 1 + 0.5 / 16
        inside = ((x >= low) & (x <= high)).flatten(1).all(1)
        return torch.where(inside, torch.tensor(-x[0].numel() * math.log(high - low)), torch.tensor(-math.inf))


def evidence(model, **more):
    x = torch.randint(0, 17, (80, 1, 4, 4), generator=torch.Generator().manual_seed(0)) / 16
    spec = protocol.Spec("made", (1, 4, 4), 10, 17, tuple("0123456789"))
    return Evidence(model, x, torch.arange(80) % 10, spec, **more)


def test_dequantisation_turns_a_density_into_the_mass_of_the_image():
    """For a law that is flat within each bin the bound is tight: log2 17 bits, with no spread between images."""
    (row,) = scores(evidence(UniformDensity()), ("log_prob",))
    assert row["value"] == pytest.approx(math.log2(17), abs=1e-5) and row["ci_low"] == pytest.approx(row["ci_high"], abs=1e-5)
    assert row["estimator"] == "uniform-dequantised bound" and row["unit"] == "bits/dim"


def test_verbs_decide_and_every_score_has_its_passport():
    labels = torch.arange(80) % 10
    model = SimpleNamespace(predict=lambda x: labels[: len(x)].where(torch.arange(len(x)) >= 20, -1))
    (row,) = scores(evidence(model), ("predict",))
    assert row["metric"] == "accuracy" and row["value"] == 0.75 and row["n"] == 80 and row["split"] == "test"
    assert 0.6 < row["ci_low"] < 0.75 < row["ci_high"] < 0.9
    # The normal approximation of a share's interval, within the bootstrap's own noise.
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 80), rel=0.15)


def test_samples_are_compared_with_as_many_test_images():
    judge = torch.nn.Module()
    judge.encode = lambda x: x.flatten(1)[:, :4]
    samples = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    (row,) = scores(evidence(SimpleNamespace(), samples=samples, judge=judge), ("sample",))
    assert row["metric"] == "frechet_distance" and row["n"] == 50 and row["estimator"].startswith("feature_net ")
    assert row["ci_low"] < row["value"] < row["ci_high"]


def test_a_score_that_is_no_number_is_an_error():
    broken = SimpleNamespace(predict_proba=lambda x: torch.full((len(x), 10), math.nan))
    with pytest.raises(ValueError, match="metric log_loss is nan"):
        scores(evidence(broken), ("predict_proba",))
