"""Calibrated classifiers: what temperature and isotonic regression do, and how they are saved. Their contract: test_models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from torch.nn import functional

from contract import MODELS, SMALL, calibrated_once, fitted_once, made_data, specification
from pofxy.base import calibration
from pofxy.base.calibration import TemperatureScaling, calibrated, isotonic_regression
from pofxy.base.classifiers import LogitsClassifierMixin, ProbabilisticClassifierMixin
from pofxy.base.data import TrainingData, validation_splits
from pofxy.base.hyperparameters import default_hyperparameters
from pofxy.base.prediction import predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.evaluation.metrics.expected_calibration_error import expected_calibration_error
from pofxy.storage.files import FileError, read_json
from pofxy.storage.models import load_model, model_class, new_model, save_model
from pofxy.study import catalog, fingerprint
from pofxy.study.run import Run
from pofxy.training import fit
from pofxy.training.trainer import Trainer

SCHEMA = Path(__file__).resolve().parents[2] / "config/schema.yaml"
METHODS = yaml.safe_load(SCHEMA.read_text())["properties"]["settings"]["additionalProperties"]["properties"]["calibrate"]["enum"]
every = pytest.mark.parametrize("method", METHODS)


def models(*names):
    return pytest.mark.parametrize("name", names)


@models("random_forest", "gaussian_naive_bayes", "lenet")
def test_a_temperature_changes_no_label(name):
    variant, data = calibrated_once(name, "temperature")
    assert variant.temperature != 1
    x = torch.cat([data.x, data.x_val, torch.rand(200, *data.spec.shape, generator=torch.Generator().manual_seed(0))])
    assert torch.equal(predict_batched(variant, "predict", x), predict_batched(variant.model, "predict", x))


@every
@models("random_forest", "logistic_regression", "gaussian_naive_bayes", "lenet")
def test_it_is_saved_and_loaded_bit_for_bit(name, method, tmp_path):
    variant, data = calibrated_once(name, method)
    settings = {key: value for key, value in SMALL.items() if key in MODELS[name].parameters}
    save_model(tmp_path / "model", variant, MODELS[name].family, name, settings, data.spec, calibrate=method)
    assert read_json(tmp_path / "model/model.json")["calibrate"] == method
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".skops"}
    loaded = load_model(tmp_path / "model")
    for capability in catalog.calibrated_capabilities(MODELS[name], method):
        ours, theirs = (predict_batched(each, capability, data.x_val) for each in (variant, loaded))
        assert torch.equal(ours, theirs), capability


def test_a_saved_calibration_of_an_unknown_kind_is_refused(tmp_path):
    variant, data = calibrated_once("logistic_regression", "temperature")
    save_model(tmp_path / "model", variant, "discriminative", "logistic_regression", {}, data.spec, calibrate="temperature")
    header = read_json(tmp_path / "model/model.json")
    for method in ("platt", "isotonic"):
        (tmp_path / "model/model.json").write_text(json.dumps(header | {"calibrate": method}))
        with pytest.raises(FileError, match="not a calibrated classifier"):
            load_model(tmp_path / "model")


class Logits(LogitsClassifierMixin):
    """A made classifier: x are the logits of the true distribution, and it multiplies them by `factor`."""

    def __init__(self, factor):
        self.factor = factor

    def fit(self, data, trainer):
        pass

    def decision_function(self, x):
        return self.factor * x


class Probabilities(ProbabilisticClassifierMixin):
    """The same without scores."""

    def __init__(self, factor):
        self.factor = factor

    def fit(self, data, trainer):
        pass

    def predict_proba(self, x):
        return (self.factor * x).softmax(1)


def sampled(n, seed, classes=4):
    """Logits (n, K) and labels that were sampled from them."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(n, classes, generator=generator)
    return x, torch.multinomial(x.softmax(1), 1, generator=generator)[:, 0]


def calibrated_on(model, method, n, seed=0):
    x, y = sampled(n, seed)
    variant = calibrated(model, method)
    variant.calibrate(TrainingData(specification((4,), None, 4), x, y, *sampled(n, seed + 1)))
    return variant


@pytest.mark.parametrize("kind", [Logits, Probabilities])
@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_the_temperature_of_a_wrong_factor_is_found(kind, factor):
    assert calibrated_on(kind(factor), "temperature", 20_000).temperature == pytest.approx(factor, rel=0.03)


def test_the_temperature_has_the_lowest_log_loss_on_val():
    variant = calibrated_on(Logits(3.0), "temperature", 500)
    x, y = sampled(500, 1)
    best = minimize_scalar(lambda t: float(functional.cross_entropy(3 * x.double() / t, y)), bounds=(0.1, 30), method="bounded")
    assert variant.temperature == pytest.approx(best.x, rel=1e-4)


@every
@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_the_calibration_error_of_a_miscalibrated_model_falls(method, factor):
    x, y = sampled(5000, 9)
    variant = calibrated_on(Probabilities(factor), method, 2000)
    before, after = (expected_calibration_error(each.predict_proba(x).numpy(), y.numpy())[0] for each in (variant.model, variant))
    # One class against the rest and then normalized is not exact for more than two classes.
    assert before > 0.2 and after < (0.03 if method == "temperature" else 0.05)


def test_a_model_that_is_right_on_all_of_val_becomes_no_surer_than_val_can_show():
    y = torch.arange(100) % 4
    for spread in (0.1, 10.0):
        variant = calibrated(Logits(1.0), "temperature")
        variant.fit_correction(spread * functional.one_hot(y, 4).float(), y)
        confidence = variant.predict_proba(spread * functional.one_hot(y, 4).float()).amax(1)
        torch.testing.assert_close(confidence, torch.full((100,), 101 / 102), atol=1e-4, rtol=0)


@every
def test_probabilities_of_exactly_zero_and_one_are_corrected(method):
    """As those of a forest: where one of them is wrong, the log loss is infinite before, and finite after."""
    y = torch.arange(40) % 4
    certain = functional.one_hot(y, 4).double()
    certain[0] = certain[1]
    model = Probabilities(1.0)
    model.predict_proba = lambda x: x
    variant = calibrated(model, method)
    variant.fit_correction(variant.scores(certain), y)
    corrected = variant.predict_proba(certain)
    assert (corrected > 0).all() and 0.9 < corrected[2, 2] < 1
    torch.testing.assert_close(corrected.sum(1), torch.ones(40).double())


def test_isotonic_regression_is_scikit_learns():
    rng = np.random.default_rng(0)
    x = rng.random(300).round(2)  # with ties
    y = (rng.random(300) < x**2).astype(float)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    thresholds, values = isotonic_regression(x, y)
    grid = np.linspace(-0.2, 1.2, 500)
    np.testing.assert_allclose(np.interp(grid, thresholds, values), theirs.predict(grid), atol=1e-12)
    np.testing.assert_allclose(thresholds, theirs.X_thresholds_)
    for constant in ([0.5], [0.5, 0.5]):
        thresholds, values = isotonic_regression(np.array(constant), np.ones(len(constant)))
        assert (thresholds.tolist(), values.tolist()) == ([0.5], [1.0])


def test_isotonic_calibration_keeps_the_order_where_its_steps_are_flat():
    variant = calibrated_on(Probabilities(1.0), "isotonic", 50)
    one, two = variant.predict_proba(torch.tensor([[5.0, 0, 0, 0], [6.0, 0, 0, 0]]))
    assert one[0] < two[0] < 1


@every
@models("random_forest", "lenet")
def test_the_model_is_fitted_as_without_calibration(name, method):
    """The same seed gives the same model."""
    model, data = fitted_once(name)
    settings = {key: value for key, value in SMALL.items() if key in MODELS[name].parameters}
    seed_everything(7)
    variant = new_model(MODELS[name].family, name, settings, method)
    variant.fit(data, Trainer())
    own, inner = (predict_batched(each, "predict_proba", data.x_val) for each in (model, variant.model))
    assert torch.equal(own, inner)
    taken, _ = calibrated_once(name, method)
    assert torch.equal(*(predict_batched(each, "predict_proba", data.x_val) for each in (taken, variant)))


@every
def test_on_a_subset_it_is_calibrated_by_cross_validation(method, monkeypatch):
    """Predictions of images that a forest was grown on are nearly all right: their calibration would make it overconfident."""
    data = made_data(specification())
    subset = TrainingData(data.spec, data.x, data.y, data.x, data.y)
    seen = []
    monkeypatch.setattr(calibration, "predict_batched", lambda *given: seen.append(given) or predict_batched(*given))
    variant = new_model("discriminative", "random_forest", {"n_estimators": 5}, method)
    variant.fit(subset, Trainer())
    folds = validation_splits(subset)
    assert len(folds) == len(seen) == 5
    assert all(torch.equal(x, split.x_val) for (_, _, x), split in zip(seen, folds, strict=True))
    assert len({id(held_out.model) for held_out, _, _ in seen} | {id(variant.model)}) == 6
    one_each = TrainingData(data.spec, *[data.x[:3], data.y[:3]] * 2)
    variant = new_model("discriminative", "random_forest", {}, method)
    variant.fit(one_each, Trainer())
    plain = predict_batched(variant.model, "predict_proba", data.x_val)
    torch.testing.assert_close(predict_batched(variant, "predict_proba", data.x_val), plain)


class Silent:
    """A tracker of nothing."""

    def __getattr__(self, name):
        return lambda *given, **named: None


def test_a_fitted_model_of_the_study_is_not_fitted_again(tmp_path):
    """The calibrated run takes the other run's model, and counts what that cost."""
    data = made_data(specification())
    settings = {"n_estimators": 5}

    def fit_to(model, calibrate="", fitted=()):
        able = catalog.calibrated_capabilities(MODELS["random_forest"], "isotonic")
        run = Run("made", model, "random_forest", "discriminative", 3, able, calibrate)
        outputs = fit.Outputs(*(str(tmp_path / model / name) for name in ("model", "history.csv", "train.json", "taken")))
        (tmp_path / model).mkdir()
        fit.fit(run, settings, data, outputs, "code", 60, {"commit": "", "config_hash": ""}, Silent(), fitted)
        return outputs

    plain = fit_to("forest")
    marked = read_json(plain.cost) | {"fit_seconds": 1000.0, "fit_core_seconds": 900.0}
    Path(plain.cost).write_text(json.dumps(marked))
    again = fit_to("again", "isotonic")
    taken = fit_to("taken", "isotonic", (plain.model, plain.cost))
    first, second = (predict_batched(load_model(each.model), "predict_proba", data.x_val) for each in (again, taken))
    assert torch.equal(first, second)
    costs = read_json(taken.cost)
    assert 1000 < costs["fit_seconds"] < 1060 and 900 < costs["fit_core_seconds"] < 960
    assert read_json(again.cost)["fit_seconds"] < 60
    assert costs["settings"] == default_hyperparameters(model_class("discriminative", "random_forest")) | settings | {
        "calibrate": "isotonic"
    }


def test_no_other_model_depends_on_the_code_of_calibration():
    file = catalog.PACKAGE / "base/calibration.py"
    scripts = catalog.PACKAGE.parent / "scripts"
    known = [entry.path for entry in MODELS.values()]
    assert file not in fingerprint.closure(*known, *(scripts / f"{name}.py" for name in ("train", "learn", "sample", "evaluate")))


def test_the_words_of_the_config_are_those_of_the_code():
    assert sorted(METHODS) == ["isotonic", "temperature"]
    assert isinstance(calibrated(Logits(1), "temperature"), TemperatureScaling)
    with pytest.raises(ValueError, match="neither temperature nor isotonic"):
        calibrated(Logits(1), "platt")
    assert not isinstance(calibrated(Logits(1), "isotonic"), TemperatureScaling)
