"""The contract that every model keeps: one parametrized test per capability, over the models that the catalog finds."""

import copy
import inspect
import math
from dataclasses import is_dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from contract import (
    DISCRIMINATIVE,
    MODELS,
    THREE_PIXELS,
    WITH_STEPS,
    budget,
    calibrated_once,
    fitted,
    fitted_once,
    fitted_to_three_pixels,
    having,
    is_density,
    made_data,
    specification,
    table_specification,
)
from pofxy.base.bayes import BayesRuleBoundMixin
from pofxy.base.calibration import calibrated
from pofxy.base.data import DataSpec, TrainingData, check_data
from pofxy.base.hyperparameters import default_hyperparameters
from pofxy.base.prediction import evaluation_mode, inference, predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.models.generative import flow_matching
from pofxy.storage.files import FileError
from pofxy.storage.models import load_model, model_class, save_model
from pofxy.study import catalog
from pofxy.training.sample_monitor import SampleMonitor
from pofxy.training.trainer import Trainer
from pofxy.workflow import cost

CALIBRATED = pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if not catalog.why_not_calibrated(entry)])


@pytest.mark.parametrize("name", MODELS)
def test_catalog_entry_agrees_with_the_class(name):
    entry = MODELS[name]
    kind = model_class(entry.family, name)
    assert kind.__name__ == entry.public
    assert set(entry.capabilities) == {method for method in catalog.capabilities() if callable(getattr(kind, method, None))}
    defaults = {key: parameter.default for key, parameter in entry.parameters.items()}
    assert defaults == default_hyperparameters(kind)
    assert all(parameter.type for parameter in entry.parameters.values()), "the config's check of types needs an annotation"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_documents_its_paper_and_its_hyperparameters(name):
    kind = model_class(MODELS[name].family, name)
    if MODELS[name].family != "reference":
        assert "Reference" in inspect.getdoc(inspect.getmodule(kind)), "a model names its paper"
    # A group is named in the class's Args, and its hyperparameters are documented by the group's own class.
    signature = inspect.signature(kind).parameters
    groups = {key: type(argument.default) for key, argument in signature.items() if is_dataclass(argument.default)}
    missing = [key for key in groups if f" {key}: " not in (kind.__doc__ or "")]
    text = "".join(part.__doc__ or "" for part in (kind, *groups.values()))
    missing += [key for key in MODELS[name].parameters if f" {key}: " not in text]
    assert not missing, f"not in the Args of the class, or in the Attributes of a group: {missing}"


@having("predict")
def test_predict_gives_labels_better_than_chance(name):
    model, data = fitted_once(name)
    labels = predict_batched(model, "predict", data.x_val)
    assert labels.shape == (30,) and labels.dtype == torch.int64
    assert (labels == data.y_val).float().mean() > 0.6


@having("predict_proba")
def test_predict_proba_is_a_distribution_that_predict_agrees_with(name):
    model, data = fitted_once(name)
    probability = predict_batched(model, "predict_proba", data.x_val)
    assert probability.shape == (30, data.spec.classes) and (probability >= 0).all()
    torch.testing.assert_close(probability.sum(1), torch.ones(30, dtype=probability.dtype), atol=1e-5, rtol=0)
    assert torch.equal(probability.argmax(1), predict_batched(model, "predict", data.x_val))


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
@CALIBRATED
def test_a_calibrated_variant_is_a_classifier_and_nothing_else(name, method):
    variant, data = calibrated_once(name, method)
    able = catalog.calibrated_capabilities(MODELS[name], method)
    assert set(able) == {each for each in catalog.capabilities() if callable(getattr(variant, each, None))}
    assert tags_of(variant).images_only == MODELS[name].tags.images_only
    seed_everything(0)
    probability = predict_batched(variant, "predict_proba", data.x_val)
    assert probability.shape == (30, 3) and (probability >= 0).all()
    assert method == "temperature" or (probability > 0).all()
    torch.testing.assert_close(probability.sum(1), torch.ones(30, dtype=probability.dtype), atol=1e-5, rtol=0)
    seed_everything(0)
    labels = predict_batched(variant, "predict", data.x_val)
    assert labels.dtype == torch.int64 and torch.equal(probability.argmax(1), labels)
    if "decision_function" in able:
        scores = predict_batched(variant, "decision_function", data.x_val)
        torch.testing.assert_close(scores.softmax(1), probability, atol=1e-5, rtol=1e-4)
    assert cost.count_parameters(variant) > cost.count_parameters(variant.model)


@CALIBRATED
def test_the_scores_of_a_temperature_are_those_of_the_models_own_probabilities(name):
    """At a temperature of 1 nothing changes."""
    model, data = fitted_once(name)
    seed_everything(0)
    own = predict_batched(model, "predict_proba", data.x_val)
    seed_everything(0)
    unscaled = predict_batched(calibrated(model, "temperature"), "predict_proba", data.x_val)
    torch.testing.assert_close(unscaled, own, atol=1e-5, rtol=1e-4)


@having("decision_function")
def test_predict_is_the_largest_score_and_scores_have_gradients(name):
    model, data = fitted_once(name)
    scores = predict_batched(model, "decision_function", data.x_val)
    assert scores.shape == (30, 3) and scores.isfinite().all()
    assert torch.equal(scores.argmax(1), predict_batched(model, "predict", data.x_val))
    x = data.x_val.clone().requires_grad_()
    with evaluation_mode(model):
        model.decision_function(x)[:, 0].sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0


@having("log_joint_known")
def test_log_joint_known_integrates_out_unknown_pixels(name):
    """Nothing unknown: the joint. One pixel unknown: a sum, or an integral by quadrature. All unknown: the class prior."""
    model, grid = fitted_to_three_pixels(name)
    x = grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(5))[:5]]
    known = torch.ones_like(x, dtype=torch.bool)
    joint = predict_batched(model, "log_joint", x)
    torch.testing.assert_close(predict_batched(model, "log_joint_known", x, known), joint)
    known[..., 1] = False
    step = 1 / 200 if is_density(model) else 1.0
    values = torch.arange(-3, 4, step) if is_density(model) else grid.unique()
    points = x[:, None].repeat(1, len(values), 1, 1, 1)  # (5, G, 1, 1, 3)
    points[..., 1] = values[None, :, None, None]
    joints = predict_batched(model, "log_joint", points.flatten(0, 1)).view(5, len(values), 3)  # (5 G, K) -> (5, G, K)
    one_unknown = predict_batched(model, "log_joint_known", x, known)
    torch.testing.assert_close(one_unknown.double(), joints.double().logsumexp(1) + math.log(step), atol=1e-3, rtol=1e-4)
    hidden = torch.where(known, x, 0.3)
    assert torch.equal(predict_batched(model, "log_joint_known", hidden, known), one_unknown), "unknown values have no influence"
    all_unknown = predict_batched(model, "log_joint_known", x, torch.zeros_like(known))
    torch.testing.assert_close(all_unknown, model.log_prior.expand(5, 3), atol=1e-5, rtol=1e-5)
    assert float(all_unknown.exp().sum(1).mean()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if hasattr(model_class(MODELS[name].family, name), "picture")])
def test_the_visualization_has_images_and_a_caption(name):
    model, data = fitted_once(name)
    picture = model.picture(data.x_val, data.y_val)
    assert picture.images.ndim == 4 and picture.images.shape[1:] == (1, 8, 8) and picture.images.isfinite().all()
    assert len(picture.images) % picture.columns == 0 or len(picture.images) > picture.columns
    assert picture.signed or (picture.images.min() >= 0 and picture.images.max() <= 1)
    assert picture.caption.endswith(".") and not picture.images.requires_grad


@pytest.mark.parametrize("name", DISCRIMINATIVE)
def test_every_discriminative_model_has_a_visualization(name):
    assert hasattr(model_class("discriminative", name), "picture")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, entry in MODELS.items()
        if entry.family == "generative" and not entry.tags.images_only and "sample" in entry.capabilities
    ],
)
def test_samples_of_a_table_with_values_0_and_1_stay_between_them(name):
    spec = table_specification(3, classes=2)
    y = torch.arange(120) % 2
    x = torch.rand(120, 3, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    x[:, 0] = y
    model = fitted(MODELS[name], TrainingData(spec, x[:90], y[:90], x[90:], y[90:]))
    samples = sample_batched(model, 200)
    assert samples.shape == (200, 3) and samples.min() >= 0 and samples.max() <= 1
    if "log_prob" in MODELS[name].capabilities:
        assert predict_batched(model, "log_prob", x[90:]).isfinite().all()


@having("predict", of_any_data=True)
def test_one_image_of_a_class_and_a_constant_pixel_are_enough(name):
    """As at the left end of a learning curve: every pixel of the border is the same in all images."""
    data = made_data(specification())
    data.x[..., 0, :] = 0
    data.x[..., -1, :] = 1
    index = torch.cat([torch.nonzero(data.y == 0)[:1, 0], torch.nonzero(data.y == 1)[:1, 0], torch.nonzero(data.y == 2)[:9, 0]])
    few = TrainingData(data.spec, *[data.x[index], data.y[index]] * 2)
    labels = predict_batched(fitted(MODELS[name], few, steps=30), "predict", data.x_val)
    assert labels.shape == (30,) and labels.min() >= 0 and labels.max() <= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": (slice(0, 2), math.nan)}, r"made: 2 of 60 rows of train have a number that is NaN or infinite"),
        ({"x_val": (slice(4, 5), math.inf)}, r"made: 1 of 30 rows of val have a number that is NaN or infinite"),
        ({"y": (slice(0, 1), 3)}, r"made: train has labels 0..3; with 3 classes they are 0..2"),
        ({"y_val": (slice(0, 1), -1)}, r"made: val has labels -1..2"),
        ({"y": (slice(None), 1)}, r"made: class a has no example in train"),
    ],
)
def test_check_data_names_what_is_wrong(change, message):
    data = made_data(specification())
    check_data(data)
    for name, (where, value) in change.items():
        getattr(data, name)[where] = value
    with pytest.raises(ValueError, match=message):
        check_data(data)


def test_check_data_refuses_images_of_two_sizes_and_a_single_class():
    data = made_data(specification())
    with pytest.raises(ValueError, match=r"made: val has x \(30, 1, 7, 8\)"):
        check_data(TrainingData(data.spec, data.x, data.y, data.x_val[:, :, 1:], data.y_val))
    one = specification(classes=1)
    with pytest.raises(ValueError, match="made: one class only"):
        check_data(TrainingData(one, data.x, data.y * 0, data.x_val, data.y_val * 0))


@having("log_joint")
def test_joint_marginal_and_posterior_agree(name):
    model, data = fitted_once(name)
    joint = predict_batched(model, "log_joint", data.x_val)
    marginal = predict_batched(model, "log_prob", data.x_val)
    assert joint.shape == (30, data.spec.classes)
    torch.testing.assert_close(joint.logsumexp(1), marginal, atol=1e-4, rtol=1e-5)
    posterior = (joint - marginal[:, None]).exp()
    torch.testing.assert_close(posterior, predict_batched(model, "predict_proba", data.x_val), atol=1e-5, rtol=1e-4)
    if "decision_function" in MODELS[name].capabilities:
        torch.testing.assert_close(predict_batched(model, "decision_function", data.x_val), joint)


@having("log_prob")
def test_log_prob_is_finite_and_prefers_the_data_to_noise(name):
    model, data = fitted_once(name)
    log_prob = predict_batched(model, "log_prob", data.x_val)
    noise = torch.randint(0, 5, data.x_val.shape, generator=torch.Generator().manual_seed(3)) / 4
    assert log_prob.shape == (30,) and log_prob.isfinite().all()
    of_noise = predict_batched(model, "log_prob", noise).mean()
    assert log_prob.mean() > of_noise or (name == "noise" and log_prob.mean() == of_noise)


@having("log_prob", of_any_data=True)
def test_log_prob_integrates_to_one(name, monkeypatch):
    """All images of three pixels for a mass, gray or binary ones; importance sampling around the data for a density."""
    # Thousands of points far from the data: with fewer steps of its solver, which are accurate enough for this test.
    monkeypatch.setattr(flow_matching, "MIN_STEPS", 8)
    monkeypatch.setattr(flow_matching, "MAX_STEPS", 16)
    model, grid = fitted_to_three_pixels(name)
    if not is_density(model):
        total = predict_batched(model, "log_prob", grid).double().exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-4)
    else:
        # Sobol points: the mean of 2^14 of them is closer than that of 10^5 random ones.
        wide = stats.t(5, loc=0.5, scale=0.6)
        uniform = torch.quasirandom.SobolEngine(3, scramble=True, seed=0).draw(2**14, dtype=torch.float64)
        points = torch.from_numpy(wide.ppf(uniform.numpy())).float()
        log_weight = predict_batched(model, "log_prob", points.view(-1, *THREE_PIXELS), batch=2**13)
        log_weight = log_weight - torch.from_numpy(wide.logpdf(points.double().numpy()).sum(1))
        assert float(log_weight.double().exp().mean()) == pytest.approx(1, abs=0.02)


@having("log_prob_bound")
def test_log_prob_bound_is_finite_and_named(name):
    model, data = fitted_once(name)
    assert tags_of(model).bound
    bound = predict_batched(model, "log_prob_bound", data.x_val)
    assert bound.shape == (30,) and bound.isfinite().all()
    assert (bound < 0).all(), "a probability mass is below 1"


@having("log_prob_bound")
def test_log_prob_bound_stays_below_the_mass_of_all_images(name):
    """Exponentiated and summed over every image, a bound gives one at most."""
    model, grid = fitted_to_three_pixels(name)
    assert float(predict_batched(model, "log_prob_bound", grid).double().exp().sum()) < 1.02


@having("log_weight")
def test_log_weight_is_finite_and_more_importance_samples_tighten_the_bound(name):
    model, data = fitted_once(name)
    seed_everything(0)
    weights = torch.stack([predict_batched(model, "log_weight", data.x_val) for _ in range(64)]).double()
    assert weights.shape == (64, 30) and weights.isfinite().all()
    assert not torch.equal(weights[0], weights[1]), "each call samples a latent anew"
    # The mean of k weights, averaged over all groups of k: with the same samples a larger k never loosens the bound.
    bounds = [float((weights.view(64 // k, k, 30).logsumexp(1) - math.log(k)).mean()) for k in (1, 4, 16, 64)]
    assert bounds == sorted(bounds) and bounds[-1] > bounds[0] + 0.01


@having("log_weight")
def test_mean_weights_of_all_images_sum_to_one(name):
    """The expectation of a weight is p(x), so the mean weights of all images sum to one."""
    model, grid = fitted_to_three_pixels(name)
    seed_everything(0)
    weights = torch.stack([predict_batched(model, "log_weight", grid) for _ in range(1000)]).double()
    assert float(weights.exp().mean(0).sum()) == pytest.approx(1, abs=0.02)


@having("sample")
def test_samples_are_images_and_the_seed_decides(name):
    model, _data = fitted_once(name)
    labels = torch.arange(25) % 3 if tags_of(model).conditional else None
    seed_everything(3)
    first = sample_batched(model, 25, labels, batch=10)
    seed_everything(3)
    again = sample_batched(model, 25, labels, batch=10)
    assert first.shape == (25, 1, 8, 8) and first.dtype == torch.float32
    assert first.isfinite().all() and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again)
    if name != "one_per_class":  # which gives for a label what it always gives
        assert not torch.equal(first, sample_batched(model, 25, labels, batch=10))
    assert sample_batched(model, 4).shape == (4, 1, 8, 8)


@having("sample", of_any_data=True)
def test_a_conditional_model_samples_the_given_labels(name):
    model, _data = fitted_once(name)
    if not tags_of(model).conditional:
        pytest.skip("not conditional")
    x = sample_batched(model, 300, torch.arange(300) % 3)
    bands = torch.stack([x[..., 2 * k : 2 * k + 2].mean((1, 2, 3)) for k in range(3)], 1)
    assert (bands.argmax(1) == torch.arange(300) % 3).float().mean() > 0.9


@having("reconstruct")
def test_reconstructions_have_the_shape_and_range_of_images(name):
    model, data = fitted_once(name)
    x = predict_batched(model, "reconstruct", data.x_val)
    assert x.shape == data.x_val.shape and x.min() >= 0 and x.max() <= 1


@having("inpaint")
def test_inpainting_keeps_known_pixels_and_ignores_unknown_ones(name):
    model, data = fitted_once(name)
    mask = torch.ones_like(data.x_val)
    mask[..., 4:, :] = 0
    seed_everything(0)
    filled = predict_batched(model, "inpaint", data.x_val, mask)
    assert filled.shape == data.x_val.shape and filled.min() >= 0 and filled.max() <= 1
    assert torch.equal(filled[..., :4, :], data.x_val[..., :4, :])
    seed_everything(0)
    assert torch.equal(predict_batched(model, "inpaint", data.x_val * mask, mask.bool()), filled)


@having("log_joint_bound")
def test_bounds_of_every_class_are_finite_and_add_up_to_the_bound_of_the_image(name):
    model, data = fitted_once(name)
    seed_everything(0)
    joint = predict_batched(model, "log_joint_bound", data.x_val)
    assert joint.shape == (30, 3) and joint.isfinite().all()
    assert (joint.argmax(1) == data.y_val).float().mean() > 0.6
    if "predict_proba" in MODELS[name].capabilities:
        seed_everything(0)
        assert torch.equal(predict_batched(model, "predict_proba", data.x_val), joint.softmax(1))
    # A model may have a bound of log p(x) of its own, with more samples than that of every class.
    if getattr(type(model), "log_prob_bound", None) is BayesRuleBoundMixin.log_prob_bound:
        seed_everything(0)
        torch.testing.assert_close(predict_batched(model, "log_prob_bound", data.x_val), joint.logsumexp(1))


@having("decode")
def test_latents_and_noise_are_decoded_to_images(name):
    model, data = fitted_once(name)
    latents = predict_batched(model, "encode", data.x_val)
    for z in (latents, torch.randn_like(latents)):
        x = predict_batched(model, "decode", z)
        assert x.shape == data.x_val.shape and x.isfinite().all() and x.min() >= 0 and x.max() <= 1
    torch.testing.assert_close(predict_batched(model, "decode", latents), predict_batched(model, "reconstruct", data.x_val))


@having("sample_text")
def test_prompts_give_images_and_held_out_captions_are_not_trained_on(name):
    model, data = fitted_once(name)
    captions = [model.captions(k) for k in range(data.spec.classes)]
    trained, held_out = ({caption for pair in captions for caption in pair[side]} for side in (0, 1))
    assert trained and held_out and not trained & held_out
    prompts = [pair[side][0] for pair in captions for side in (0, 1)]
    with inference(model):
        x = model.sample_text(prompts)
    assert x.shape == (6, 1, 8, 8) and x.min() >= 0 and x.max() <= 1


@having("encode")
def test_latents_are_finite_rows(name):
    model, data = fitted_once(name)
    latents = predict_batched(model, "encode", data.x_val)
    assert latents.ndim == 2 and len(latents) == 30 and latents.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_fit_and_a_loaded_model_is_the_saved_one(name, tmp_path):
    """24 steps are two epochs: samples in training, after the first, must not change the second."""
    entry = MODELS[name]
    model, data = fitted_once(name)
    if name in WITH_STEPS:
        model = fitted(entry, data, steps=24)
    twin = fitted(entry, data, Trainer(sample_monitor=SampleMonitor()), steps=24)
    save_model(tmp_path / "model", model, entry.family, name, budget(entry, steps=24), data.spec)
    loaded = load_model(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".skops"}
    of_images = set(entry.capabilities) - {"sample", "sample_text", "inpaint", "log_joint_known", "decode"}
    for method in sorted(of_images):
        results = []
        for one in (model, twin, loaded):
            seed_everything(11)
            results.append(predict_batched(one, method, data.x_val[:10]))
        assert torch.equal(results[0], results[1]), f"{method}: another fit with the same seed"
        assert torch.equal(results[0], results[2]), f"{method}: after loading"
    if "sample" in entry.capabilities:
        samples = []
        for one in (model, twin, loaded):
            seed_everything(11)
            samples.append(sample_batched(one, 10))
        assert torch.equal(samples[0], samples[1]) and torch.equal(samples[0], samples[2])


def test_naive_bayes_equals_scikit_learn():
    from sklearn.naive_bayes import GaussianNB

    data = made_data(specification(), n=300)
    rows = TrainingData(table_specification(64, classes=3), data.x.flatten(1), data.y, data.x_val, data.y_val)
    ours = fitted(MODELS["gaussian_naive_bayes"], rows, shrinkage=0.0, smoothing=0.01)
    theirs = GaussianNB(var_smoothing=0.01).fit(rows.x.double().numpy(), rows.y.numpy())
    log_joint = predict_batched(ours, "log_joint", data.x_val.flatten(1))
    expected = torch.from_numpy(theirs._joint_log_likelihood(data.x_val.flatten(1).double().numpy()))
    torch.testing.assert_close(log_joint.double(), expected, rtol=1e-4, atol=1e-3)


def direct(name):
    """scikit-learn called directly, with the settings that the model's file names."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC, LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    boosting = {"learning_rate": 0.1, "max_leaf_nodes": 8, "min_samples_leaf": 5, "max_features": 0.125, "early_stopping": False}
    return {
        "logistic_regression": LogisticRegression(max_iter=1000),
        "linear_svm": LinearSVC(C=0.3, max_iter=5000),
        "kernel_svm": SVC(C=3),
        "k_nearest_neighbors": KNeighborsClassifier(5, weights="distance"),
        "decision_tree": DecisionTreeClassifier(criterion="entropy"),
        "random_forest": RandomForestClassifier(100),
        "gradient_boosting": HistGradientBoostingClassifier(**boosting),
    }[name]


SCIKIT_LEARN = [name for name in DISCRIMINATIVE if hasattr(model_class("discriminative", name)(), "estimator")]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCIKIT_LEARN if name != "linear_regression"])
def test_scikit_learn_called_directly_gives_the_same_labels(name):
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(pixels).float() / 16
    y = torch.from_numpy(labels).long()
    spec = DataSpec("digits", (64,), 10, None, tuple("0123456789"))
    data = TrainingData(spec, x[:700], y[:700], x[700:800], y[700:800])
    model = model_class("discriminative", name)()
    seed_everything(0)
    model.fit(data, Trainer())
    seed_everything(0)
    theirs = direct(name).fit(data.x.numpy(), data.y.numpy())
    ours = predict_batched(model, "predict", x[800:])
    assert (ours.numpy() == theirs.predict(x[800:].numpy())).mean() > 0.997


def test_linear_regression_is_numpys_least_squares():
    data = made_data(specification(), n=300)
    x = data.x.flatten(1).double().numpy()
    model = fitted(MODELS["linear_regression"], data)
    ones = torch.ones(300, 1).numpy()
    solution = np.linalg.lstsq(np.hstack([x, ones]), np.eye(3)[data.y.numpy()], rcond=None)[0]
    expected = np.hstack([data.x_val.flatten(1).numpy(), ones[:30]]) @ solution
    np.testing.assert_allclose(predict_batched(model, "decision_function", data.x_val).numpy(), expected, atol=1e-4)


def test_parameters_are_counted_where_they_are():
    counts = {name: cost.count_parameters(fitted_once(name)[0]) for name in DISCRIMINATIVE}
    assert counts["logistic_regression"] == counts["linear_svm"] == counts["linear_regression"] == 3 * 64 + 3
    assert counts["k_nearest_neighbors"] == 60 * 64
    tree = fitted_once("decision_tree")[0].estimator
    assert counts["decision_tree"] == 2 * (tree.get_n_leaves() - 1) + 3 * tree.get_n_leaves()
    assert counts["random_forest"] > counts["decision_tree"] and counts["gradient_boosting"] > 3 * 20
    support = len(fitted_once("kernel_svm")[0].estimator.support_)
    assert counts["kernel_svm"] == support * 64 + 2 * support + 3


@pytest.mark.parametrize("child", [10_000, -2, 0])
@pytest.mark.parametrize("name", ["decision_tree", "random_forest", "gradient_boosting"])
def test_a_tree_that_leads_outside_of_itself_is_refused(name, child, tmp_path):
    model, data = fitted_once(name)
    model = copy.deepcopy(model)
    if name == "gradient_boosting":
        nodes = model.estimator._predictors[0][0].nodes
        nodes["left"][0] = child % 2**32  # unsigned there
    else:
        tree = (model.estimator.estimators_[0] if name == "random_forest" else model.estimator).tree_
        state = tree.__getstate__()
        state["nodes"]["left_child"][0] = child
        tree.__setstate__(state)
    save_model(tmp_path / "model", model, "discriminative", name, budget(MODELS[name]), data.spec)
    with pytest.raises(FileError, match=r"model\.skops: refused, a tree of it leads outside of itself"):
        load_model(tmp_path / "model")


def test_an_estimator_of_another_kind_is_refused(tmp_path):
    model, data = fitted_once("decision_tree")
    save_model(tmp_path / "model", model, "discriminative", "logistic_regression", {}, data.spec)
    with pytest.raises(FileError, match="holds a DecisionTreeClassifier where a LogisticRegression belongs"):
        load_model(tmp_path / "model")
