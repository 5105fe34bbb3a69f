"""The contract that every model keeps, whatever it is: one parametrised test per verb over what the catalog finds."""

import inspect
import math

import pytest
import torch

from pofxy import catalog, protocol, store
from pofxy.training import Trainer

# As in the workflow: one thread a job, many jobs at once.
torch.set_num_threads(1)
MODELS = catalog.models()
# Few steps, a short memory of the average of parameters: enough for shapes and for losses that fall.
SMALL = {"steps": 12, "batch": 20, "importance_samples": 3, "average": 0.9}


def specification(shape=(1, 8, 8), levels=5, classes=3):
    return protocol.Spec("made", shape, classes, levels, tuple("abc"[:classes]))


def made_data(spec, n=60, n_val=30, seed=1):
    """Images whose class shows: each class is brighter in a band of its own; grey levels of the spec."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n + n_val) % spec.classes
    x = torch.rand(n + n_val, *spec.shape, generator=generator) * 0.4
    for k in range(spec.classes):
        x[y == k, ..., 2 * k : 2 * k + 2] += 0.6
    x = (x * (spec.levels - 1)).round() / (spec.levels - 1)
    return protocol.Data(spec, x[:n], y[:n], x[n:], y[n:])


def small(entry, **more):
    """The model with the smallest budget that it takes."""
    return store.model_class(entry.family, entry.name)(**budget(entry, **more))


def budget(entry, **more):
    return {name: value for name, value in (SMALL | more).items() if name in entry.parameters}


def fitted(entry, data, **more):
    protocol.seeded(7)
    model = small(entry, **more)
    model.fit(data, Trainer())
    return model


@pytest.fixture(scope="module")
def fit():
    """Each model is fitted once for all its verbs."""
    kept = {}

    def get(name):
        if name not in kept:
            data = made_data(specification())
            kept[name] = fitted(MODELS[name], data), data
        return kept[name]

    return get


def having(verb):
    return pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if verb in entry.verbs])


@pytest.mark.parametrize("name", MODELS)
def test_catalog_says_what_the_class_can_do(name):
    entry = MODELS[name]
    model_class = store.model_class(entry.family, name)
    assert model_class.__name__ == entry.public
    assert set(entry.verbs) == {verb for verb in protocol.VERBS if callable(getattr(model_class, verb, None))}
    defaults = {key: parameter.default for key, parameter in entry.parameters.items()}
    assert defaults == protocol.hyperparameters(model_class)
    assert all(parameter.type for parameter in entry.parameters.values()), "the config's check of types needs an annotation"


@pytest.mark.parametrize("name", MODELS)
def test_file_says_what_the_model_is(name):
    text = inspect.getdoc(inspect.getmodule(store.model_class(MODELS[name].family, name)))
    if MODELS[name].family != "reference":
        assert "Reference" in text, "a model names its paper"
    model_class = store.model_class(MODELS[name].family, name)
    missing = [key for key in MODELS[name].parameters if f"{key}:" not in (model_class.__doc__ or "")]
    assert not missing, f"not in the class's Args: {missing}"


@having("predict")
def test_predict_gives_labels_better_than_chance(name, fit):
    model, data = fit(name)
    labels = protocol.apply(model, "predict", data.x_val)
    assert labels.shape == (30,) and labels.dtype == torch.int64
    assert (labels == data.y_val).float().mean() > 0.6


@having("predict_proba")
def test_predict_proba_is_a_distribution_that_predict_agrees_with(name, fit):
    model, data = fit(name)
    probability = protocol.apply(model, "predict_proba", data.x_val)
    assert probability.shape == (30, 3) and (probability >= 0).all()
    torch.testing.assert_close(probability.sum(1), torch.ones(30, dtype=probability.dtype), atol=1e-5, rtol=0)
    assert torch.equal(probability.argmax(1), protocol.apply(model, "predict", data.x_val))


@having("log_joint")
def test_joint_marginal_and_posterior_agree(name, fit):
    model, data = fit(name)
    joint = protocol.apply(model, "log_joint", data.x_val)
    marginal = protocol.apply(model, "log_prob", data.x_val)
    assert joint.shape == (30, 3)
    torch.testing.assert_close(joint.logsumexp(1), marginal, atol=1e-4, rtol=1e-5)
    posterior = (joint - marginal[:, None]).exp()
    torch.testing.assert_close(posterior, protocol.apply(model, "predict_proba", data.x_val), atol=1e-5, rtol=1e-4)


@having("log_prob")
def test_log_prob_is_finite_and_prefers_the_data_to_noise(name, fit):
    model, data = fit(name)
    found = protocol.apply(model, "log_prob", data.x_val)
    noise = torch.randint(0, 5, data.x_val.shape, generator=torch.Generator().manual_seed(3)) / 4
    assert found.shape == (30,) and found.isfinite().all()
    assert found.mean() > protocol.apply(model, "log_prob", noise).mean()


@having("log_prob")
def test_log_prob_integrates_to_one(name):
    """All 5^3 images of three pixels for a mass; importance sampling around the data for a density."""
    spec = specification((1, 1, 3))
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(0, 5, (200, 1, 1, 3), generator=generator) / 4
    y = torch.arange(200) % 3
    model = fitted(MODELS[name], protocol.Data(spec, x, y, x[:30], y[:30]))
    if getattr(model, "measure", "mass") == "mass":
        grid = torch.cartesian_prod(*[torch.arange(5) / 4] * 3).view(-1, 1, 1, 3)
        total = protocol.apply(model, "log_prob", grid).double().exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-4)
    else:
        wide = torch.distributions.StudentT(5.0, loc=0.5, scale=0.6)
        torch.manual_seed(0)
        points = wide.sample((200_000, 3))
        weight = protocol.apply(model, "log_prob", points.view(-1, 1, 1, 3), batch=50_000) - wide.log_prob(points).sum(1)
        assert float(weight.double().exp().mean()) == pytest.approx(1, abs=0.02)


@having("log_prob_bound")
def test_log_prob_bound_is_finite_named_and_tightens_with_more_samples(name, fit):
    model, data = fit(name)
    assert model.bound
    found = protocol.apply(model, "log_prob_bound", data.x_val)
    assert found.shape == (30,) and found.isfinite().all()
    assert (found < 0).all(), "a bound on a mass lies below that of a sure thing"
    if "importance_samples" in MODELS[name].parameters:
        loose = protocol.apply(fitted(MODELS[name], data, importance_samples=1), "log_prob_bound", data.x_val)
        tight = protocol.apply(fitted(MODELS[name], data, importance_samples=50), "log_prob_bound", data.x_val)
        assert tight.mean() > loose.mean()


@having("log_prob_bound")
def test_log_prob_bound_stays_below_the_mass_of_all_images(name):
    """Exponentiated and summed over every image, a bound gives one at most."""
    spec = specification((1, 1, 3))
    x = torch.randint(0, 5, (200, 1, 1, 3), generator=torch.Generator().manual_seed(5)) / 4
    y = torch.arange(200) % 3
    model = fitted(MODELS[name], protocol.Data(spec, x, y, x[:30], y[:30]), importance_samples=200, steps=200)
    grid = torch.cartesian_prod(*[torch.arange(5) / 4] * 3).view(-1, 1, 1, 3)
    total = float(protocol.apply(model, "log_prob_bound", grid).double().exp().sum())
    assert 0.8 < total < 1.02


@having("sample")
def test_samples_are_images_and_the_seed_decides(name, fit):
    model, _data = fit(name)
    labels = torch.arange(25) % 3 if protocol.is_conditional(model) else None
    protocol.seeded(3)
    first = protocol.draw(model, 25, labels, batch=10)
    protocol.seeded(3)
    again = protocol.draw(model, 25, labels, batch=10)
    assert first.shape == (25, 1, 8, 8) and first.dtype == torch.float32
    assert first.isfinite().all() and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, protocol.draw(model, 25, labels, batch=10))
    assert protocol.draw(model, 4).shape == (4, 1, 8, 8)


@having("sample")
def test_a_conditional_model_heeds_the_labels(name, fit):
    model, _data = fit(name)
    if not protocol.is_conditional(model):
        pytest.skip("not conditional")
    x = protocol.draw(model, 300, torch.arange(300) % 3)
    bands = torch.stack([x[..., 2 * k : 2 * k + 2].mean((1, 2, 3)) for k in range(3)], 1)
    assert (bands.argmax(1) == torch.arange(300) % 3).float().mean() > 0.9


@having("reconstruct")
def test_reconstructions_are_images_like_their_originals(name, fit):
    model, data = fit(name)
    found = protocol.apply(model, "reconstruct", data.x_val)
    assert found.shape == data.x_val.shape and found.min() >= 0 and found.max() <= 1


@having("encode")
def test_codes_are_finite_rows(name, fit):
    model, data = fit(name)
    codes = protocol.apply(model, "encode", data.x_val)
    assert codes.ndim == 2 and len(codes) == 30 and codes.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_fit_and_saved_is_loaded(name, fit, tmp_path):
    model, data = fit(name)
    entry = MODELS[name]
    twin = fitted(entry, data)
    store.save_model(tmp_path / "model", model, entry.family, name, budget(entry), data.spec)
    loaded = store.load_model(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".skops"}
    outputs = [verb for verb in entry.verbs if verb not in ("sample", "inpaint")]
    for verb in outputs:
        results = []
        for one in (model, twin, loaded):
            protocol.seeded(11)
            results.append(protocol.apply(one, verb, data.x_val))
        assert torch.equal(results[0], results[1]), f"{verb}: another fit with the same seed"
        assert torch.equal(results[0], results[2]), f"{verb}: after loading"
    if "sample" in entry.verbs:
        drawn = []
        for one in (model, twin, loaded):
            protocol.seeded(11)
            drawn.append(protocol.draw(one, 10))
        assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 33, 20), (3, 32, 32), (1, 64, 64)], ids=str)
@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if "steps" in entry.parameters])
def test_nets_take_images_of_any_size(name, shape):
    """8 to 64 pixels, 1 or 3 channels, square or not: the shapes fit, and the loss is finite and can be moved."""
    data = made_data(specification(shape, levels=256), n=24, n_val=6)
    seen = []
    trainer = Trainer(on_epoch=lambda epoch, metrics: seen.append(metrics))
    protocol.seeded(0)
    model = small(MODELS[name], steps=3, batch=8)
    model.fit(data, trainer)
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    if "sample" in MODELS[name].verbs:
        assert protocol.draw(model, 2).shape == (2, *shape)
    if "predict" in MODELS[name].verbs:
        assert protocol.apply(model, "predict", data.x_val).shape == (6,)


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if "steps" in entry.parameters])
def test_training_lowers_the_loss(name):
    data = made_data(specification(), n=300)
    trainer = Trainer()
    protocol.seeded(0)
    small(MODELS[name], steps=150).fit(data, trainer)
    columns = [column for column in trainer.history[0] if column.endswith("loss") and "val" not in column]
    if len(columns) == 1:
        assert trainer.history[-1][columns[0]] < 0.8 * trainer.history[0][columns[0]]
    else:
        # Players of a game have no common loss that falls; what they make must come nearer to the data.
        fresh, after = small(MODELS[name], steps=1), small(MODELS[name], steps=300)
        for model in (fresh, after):
            protocol.seeded(0)
            model.fit(data, Trainer())
        gap = [float((protocol.draw(model, 200).mean(0) - data.x.mean(0)).abs().mean()) for model in (fresh, after)]
        assert gap[1] < 0.5 * gap[0]


@pytest.mark.parametrize("name", [n for n, e in MODELS.items() if "steps" in e.parameters and n not in ("vae", "feature_net")])
def test_an_image_too_small_is_refused_by_name(name):
    with pytest.raises(ValueError, match=r"made: .* 8 x 8"):
        small(MODELS[name]).fit(made_data(specification((1, 7, 7))), Trainer())


def test_naive_bayes_refuses_a_class_without_examples():
    data = made_data(specification())
    only = protocol.Data(data.spec, data.x[data.y != 1], data.y[data.y != 1], data.x_val, data.y_val)
    with pytest.raises(ValueError, match="made: class 1 has no example"):
        small(MODELS["gaussian_naive_bayes"]).fit(only, Trainer())


def test_naive_bayes_equals_scikit_learn():
    from sklearn.naive_bayes import GaussianNB

    data = made_data(specification(), n=300)
    rows = protocol.Data(protocol.Spec("table", (64,), 3, None, tuple("abc")), data.x.flatten(1), data.y, data.x_val, data.y_val)
    ours = fitted(MODELS["gaussian_naive_bayes"], rows, shrinkage=0.0, smoothing=0.01)
    theirs = GaussianNB(var_smoothing=0.01).fit(rows.x.double().numpy(), rows.y.numpy())
    found = protocol.apply(ours, "log_joint", data.x_val.flatten(1))
    expected = torch.from_numpy(theirs._joint_log_likelihood(data.x_val.flatten(1).double().numpy()))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)
