"""The contract that every model keeps, whatever it is: one parametrised test per verb over what the catalog finds."""

import copy
import inspect
import math
import re

import numpy as np
import pytest
import torch

from pofxy import catalog, cost, protocol, store
from pofxy.laws import open_law
from pofxy.training import Trainer

# As in the workflow: one thread a job, many jobs at once.
torch.set_num_threads(1)
MODELS = catalog.models()
# Few steps, a short memory of the average of parameters: enough for shapes and for losses that fall.
SMALL = {"steps": 12, "batch": 20, "average": 0.9, "trees": 20, "rounds": 20, "min_leaf": 1}
WITH_STEPS = [name for name, entry in MODELS.items() if "steps" in entry.parameters]
DISCRIMINATIVE = [name for name, entry in MODELS.items() if entry.family == "discriminative"]


def specification(shape=(1, 8, 8), levels=5, classes=3):
    return protocol.Spec("made", shape, classes, levels, tuple("abc"[:classes]))


def made_data(spec, n=60, n_val=30, seed=1, grain=None):
    """Images whose class shows: each class is brighter in a band of its own; grey levels of the spec.

    The rest of an image is noise, of the shape `grain` if it is given: (1, 1, 1) is one grey for all pixels of an image.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n + n_val) % spec.classes
    noise = torch.rand(n + n_val, *(grain or spec.shape), generator=generator) * 0.4
    x = noise.expand(-1, *spec.shape).clone()
    for k in range(spec.classes):
        x[y == k, ..., 2 * k : 2 * k + 2] += 0.6
    x = (x * (spec.levels - 1)).round() / (spec.levels - 1)
    return protocol.Data(spec, x[:n], y[:n], x[n:], y[n:])


def lawful_data(n=60, n_val=30):
    """Images of a known law, for the model that needs one."""
    law = {"of": "known_images"}
    x, y = (torch.from_numpy(part) for part in open_law(law).draw(n + n_val, np.random.default_rng(1)))
    spec = protocol.Spec("made", (1, 8, 8), 4, 17, tuple("abcd"), law=law)
    return protocol.Data(spec, x[:n], y[:n], x[n:], y[n:])


def small(entry, **more):
    """The model with the smallest budget that it takes."""
    return store.model_class(entry.family, entry.name)(**budget(entry, **more))


def budget(entry, **more):
    return {name: value for name, value in (SMALL | more).items() if name in entry.parameters}


def fitted(entry, data, **more):
    # A net that is to know its classes needs some more steps than for shapes alone.
    if getattr(store.model_class(entry.family, entry.name), "conditional", False):
        more = {"steps": 100} | more
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
            data = lawful_data() if MODELS[name].needs_law else made_data(specification())
            kept[name] = fitted(MODELS[name], data), data
        return kept[name]

    return get


def having(verb, of_any_data=False):
    """Parametrises by the models that have the verb; with `of_any_data` without those that need data of a known law."""
    able = {name: entry for name, entry in MODELS.items() if verb in entry.verbs}
    return pytest.mark.parametrize("name", [name for name, entry in able.items() if not (of_any_data and entry.needs_law)])


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
    assert probability.shape == (30, data.spec.classes) and (probability >= 0).all()
    torch.testing.assert_close(probability.sum(1), torch.ones(30, dtype=probability.dtype), atol=1e-5, rtol=0)
    assert torch.equal(probability.argmax(1), protocol.apply(model, "predict", data.x_val))


@having("decision_function")
def test_the_largest_score_names_the_label_and_can_be_differentiated(name, fit):
    model, data = fit(name)
    scores = protocol.apply(model, "decision_function", data.x_val)
    assert scores.shape == (30, 3) and scores.isfinite().all()
    assert torch.equal(scores.argmax(1), protocol.apply(model, "predict", data.x_val))
    x = data.x_val.clone().requires_grad_()
    with protocol.evaluation_mode(model):
        model.decision_function(x)[:, 0].sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0


@having("log_joint_known")
def test_unknown_pixels_are_integrated_out(name):
    """Nothing unknown: the joint. One pixel unknown: a sum, or an integral by quadrature. All unknown: the class prior."""
    model, grid = fitted_to_three_pixels(name)
    x = grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(5))[:5]]
    known = torch.ones_like(x, dtype=torch.bool)
    joint = protocol.apply(model, "log_joint", x)
    torch.testing.assert_close(protocol.apply(model, "log_joint_known", x, known), joint)
    known[..., 1] = False
    step, values = (1 / 200, torch.arange(-3, 4, 1 / 200)) if is_density(model) else (1.0, grid.unique())
    points = x[:, None].repeat(1, len(values), 1, 1, 1)  # (5, G, 1, 1, 3)
    points[..., 1] = values[None, :, None, None]
    joints = protocol.apply(model, "log_joint", points.flatten(0, 1)).view(5, len(values), 3)  # (5 G, K) -> (5, G, K)
    found = protocol.apply(model, "log_joint_known", x, known)
    torch.testing.assert_close(found.double(), joints.double().logsumexp(1) + math.log(step), atol=1e-3, rtol=1e-4)
    hidden = torch.where(known, x, 0.3)
    assert torch.equal(protocol.apply(model, "log_joint_known", hidden, known), found), "what is unknown plays no part"
    nothing = protocol.apply(model, "log_joint_known", x, torch.zeros_like(known))
    torch.testing.assert_close(nothing, model.log_prior.expand(5, 3), atol=1e-5, rtol=1e-5)
    assert float(nothing.exp().sum(1).mean()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if hasattr(store.model_class(MODELS[name].family, name), "picture")])
def test_what_a_model_learned_can_be_looked_at(name, fit):
    model, data = fit(name)
    picture = model.picture(data.x_val, data.y_val)
    assert picture.images.ndim == 4 and picture.images.shape[1:] == (1, 8, 8) and picture.images.isfinite().all()
    assert len(picture.images) % picture.columns == 0 or len(picture.images) > picture.columns
    assert picture.signed or (picture.images.min() >= 0 and picture.images.max() <= 1)
    assert picture.caption.endswith(".") and not picture.images.requires_grad


@pytest.mark.parametrize("name", DISCRIMINATIVE)
def test_every_discriminative_model_shows_what_it_learned(name):
    assert hasattr(store.model_class("discriminative", name), "picture")


def takes_tables(name):
    return not any(base.__name__ == "ImageClassifier" for base in store.model_class("discriminative", name).__mro__)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", [name for name in DISCRIMINATIVE if takes_tables(name)])
def test_tables_of_two_classes_or_more_with_a_constant_column(name, classes, tmp_path):
    spec = protocol.Spec("table", (6,), classes, None, tuple("abc"[:classes]))
    y = torch.arange(120) % classes
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(0)) * 0.3
    x[:, 0] += y
    x[:, 5] = 0.7
    data = protocol.Data(spec, x[:90], y[:90], x[90:], y[90:])
    model = fitted(MODELS[name], data, steps=200)
    store.save_model(tmp_path / "model", model, "discriminative", name, budget(MODELS[name], steps=200), spec)
    loaded = store.load_model(tmp_path / "model")
    labels = protocol.apply(loaded, "predict", data.x_val)
    assert (labels == data.y_val).float().mean() > 0.7 and torch.equal(labels, protocol.apply(model, "predict", data.x_val))
    for verb in {"predict_proba", "decision_function"} & set(MODELS[name].verbs):
        rows = protocol.apply(loaded, verb, data.x_val)
        assert rows.shape == (30, classes) and torch.equal(rows.argmax(1), labels)


@pytest.mark.parametrize(
    "name", [name for name, entry in MODELS.items() if entry.family == "generative" and not entry.images_only]
)
def test_a_table_that_reaches_to_the_ends_of_the_range_is_sampled_within_it(name):
    spec = protocol.Spec("table", (3,), 2, None, ("a", "b"))
    y = torch.arange(120) % 2
    x = torch.rand(120, 3, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    x[:, 0] = y
    model = fitted(MODELS[name], protocol.Data(spec, x[:90], y[:90], x[90:], y[90:]))
    drawn = protocol.draw(model, 200)
    assert drawn.shape == (200, 3) and drawn.min() >= 0 and drawn.max() <= 1
    assert protocol.apply(model, "log_prob", x[90:]).isfinite().all()


@pytest.mark.parametrize("name", [name for name in DISCRIMINATIVE if not takes_tables(name)])
def test_a_table_is_refused_by_a_net_over_images(name):
    spec = protocol.Spec("table", (6,), 3, None, tuple("abc"))
    with pytest.raises(ValueError, match=r"table: \w+ needs images of 8 x 8 pixels or more, not \(6,\)"):
        small(MODELS[name]).fit(protocol.Data(spec, *[torch.zeros(3, 6), torch.arange(3)] * 2), Trainer())


@having("predict", of_any_data=True)
def test_one_image_of_a_class_and_a_constant_pixel_are_enough(name):
    """As at the left end of a learning curve: every pixel of the border is the same in all images."""
    data = made_data(specification())
    data.x[..., 0, :], data.x[..., -1, :] = 0, 1
    index = torch.cat([torch.nonzero(data.y == 0)[:1, 0], torch.nonzero(data.y == 1)[:1, 0], torch.nonzero(data.y == 2)[:9, 0]])
    few = protocol.Data(data.spec, *[data.x[index], data.y[index]] * 2)
    labels = protocol.apply(fitted(MODELS[name], few), "predict", data.x_val)
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
def test_data_that_no_model_can_be_fitted_on_are_refused_by_name(change, message):
    data = made_data(specification())
    protocol.check(data)
    for name, (where, value) in change.items():
        getattr(data, name)[where] = value
    with pytest.raises(ValueError, match=message):
        protocol.check(data)


def test_images_of_two_sizes_and_one_class_alone_are_refused():
    data = made_data(specification())
    with pytest.raises(ValueError, match=r"made: val has x \(30, 1, 7, 8\)"):
        protocol.check(protocol.Data(data.spec, data.x, data.y, data.x_val[:, :, 1:], data.y_val))
    one = specification(classes=1)
    with pytest.raises(ValueError, match="made: one class only"):
        protocol.check(protocol.Data(one, data.x, data.y * 0, data.x_val, data.y_val * 0))


@having("log_joint")
def test_joint_marginal_and_posterior_agree(name, fit):
    model, data = fit(name)
    joint = protocol.apply(model, "log_joint", data.x_val)
    marginal = protocol.apply(model, "log_prob", data.x_val)
    assert joint.shape == (30, data.spec.classes)
    torch.testing.assert_close(joint.logsumexp(1), marginal, atol=1e-4, rtol=1e-5)
    posterior = (joint - marginal[:, None]).exp()
    torch.testing.assert_close(posterior, protocol.apply(model, "predict_proba", data.x_val), atol=1e-5, rtol=1e-4)


@having("log_prob")
def test_log_prob_is_finite_and_prefers_the_data_to_noise(name, fit):
    model, data = fit(name)
    found = protocol.apply(model, "log_prob", data.x_val)
    noise = torch.randint(0, 5, data.x_val.shape, generator=torch.Generator().manual_seed(3)) / 4
    assert found.shape == (30,) and found.isfinite().all()
    of_noise = protocol.apply(model, "log_prob", noise).mean()
    assert found.mean() > of_noise or (name == "noise" and found.mean() == of_noise)


@having("log_prob", of_any_data=True)
def test_log_prob_integrates_to_one(name):
    """All images of three pixels for a mass, grey or binary ones; importance sampling around the data for a density."""
    model, grid = fitted_to_three_pixels(name)
    if not is_density(model):
        total = protocol.apply(model, "log_prob", grid).double().exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-4)
    else:
        wide = torch.distributions.StudentT(5.0, loc=0.5, scale=0.6)
        torch.manual_seed(0)
        points = wide.sample((200_000, 3))
        weight = protocol.apply(model, "log_prob", points.view(-1, 1, 1, 3), batch=50_000) - wide.log_prob(points).sum(1)
        assert float(weight.double().exp().mean()) == pytest.approx(1, abs=0.02)


@having("log_prob_bound")
def test_log_prob_bound_is_finite_and_named(name, fit):
    model, data = fit(name)
    assert model.bound
    found = protocol.apply(model, "log_prob_bound", data.x_val)
    assert found.shape == (30,) and found.isfinite().all()
    assert (found < 0).all(), "a bound on a mass lies below that of a sure thing"


@having("log_prob_bound")
def test_log_prob_bound_stays_below_the_mass_of_all_images(name):
    """Exponentiated and summed over every image, a bound gives one at most."""
    model, grid = fitted_to_three_pixels(name)
    assert float(protocol.apply(model, "log_prob_bound", grid).double().exp().sum()) < 1.02


@having("log_weight")
def test_log_weight_is_finite_and_its_mean_tightens_with_more_draws(name, fit):
    model, data = fit(name)
    protocol.seeded(0)
    weights = torch.stack([protocol.apply(model, "log_weight", data.x_val) for _ in range(64)]).double()
    assert weights.shape == (64, 30) and weights.isfinite().all()
    assert not torch.equal(weights[0], weights[1]), "each call draws a code anew"
    # The mean of k weights, on average over all groups of k draws: of the same draws more of them never loosen the bound.
    bounds = [float((weights.view(64 // k, k, 30).logsumexp(1) - math.log(k)).mean()) for k in (1, 4, 16, 64)]
    assert bounds == sorted(bounds) and bounds[-1] > bounds[0] + 0.01


@having("log_weight")
def test_weights_add_up_to_the_mass_of_all_images(name):
    """A weight is p(x) in the mean, so the mean weights of all images sum to one: a weight is no bound, and none is lost."""
    model, grid = fitted_to_three_pixels(name)
    protocol.seeded(0)
    weights = torch.stack([protocol.apply(model, "log_weight", grid) for _ in range(1000)]).double()
    assert float(weights.exp().mean(0).sum()) == pytest.approx(1, abs=0.02)


def fitted_to_three_pixels(name):
    """A model of images of three pixels in five grey levels, and all 125 of them; of a binarised model all 8 binary ones."""
    x = torch.randint(0, 5, (200, 1, 1, 3), generator=torch.Generator().manual_seed(5)) / 4
    y = torch.arange(200) % 3
    model = fitted(MODELS[name], protocol.Data(specification((1, 1, 3)), x, y, x[:30], y[:30]), steps=200)
    values = torch.arange(2.0) if getattr(model, "binarised", "") else torch.arange(5) / 4
    return model, torch.cartesian_prod(*[values] * 3).view(-1, 1, 1, 3)


def is_density(model):
    return getattr(model, "measure", "mass") == "density"


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
    if name != "one_per_class":  # which gives for a label what it always gives
        assert not torch.equal(first, protocol.draw(model, 25, labels, batch=10))
    assert protocol.draw(model, 4).shape == (4, 1, 8, 8)


@having("sample", of_any_data=True)
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


@having("inpaint")
def test_what_is_known_stays_and_the_rest_is_filled_in_whatever_was_there(name, fit):
    model, data = fit(name)
    mask = torch.ones_like(data.x_val)
    mask[..., 4:, :] = 0
    protocol.seeded(0)
    found = protocol.apply(model, "inpaint", data.x_val, mask)
    assert found.shape == data.x_val.shape and found.min() >= 0 and found.max() <= 1
    assert torch.equal(found[..., :4, :], data.x_val[..., :4, :])
    protocol.seeded(0)
    assert torch.equal(protocol.apply(model, "inpaint", data.x_val * mask, mask.bool()), found)


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
    outputs = [verb for verb in entry.verbs if verb not in ("sample", "inpaint", "log_joint_known")]
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
@pytest.mark.parametrize("name", WITH_STEPS)
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


@pytest.mark.parametrize("name", [name for name in WITH_STEPS if "log_unnormalized" not in MODELS[name].verbs])
def test_training_lowers_the_loss(name):
    data = made_data(specification(), n=300, grain=(1, 1, 1))  # there is something to learn of the pixels together
    trainer = Trainer()
    protocol.seeded(0)
    small(MODELS[name], steps=150).fit(data, trainer)
    columns = [column for column in trainer.history[0] if column.endswith("loss") and "val" not in column]
    if len(columns) == 1:
        first, last = (trainer.history[epoch][columns[0]] for epoch in (0, -1))
        # A fifth of it; the negative logarithm of a density has no zero, and falls by two nats an image.
        assert last < (0.8 * first if first > 0 else first - 2)
    else:
        # Players of a game have no common loss that falls; what they make must come nearer to the data.
        fresh, after = small(MODELS[name], steps=1), small(MODELS[name], steps=300)
        for model in (fresh, after):
            protocol.seeded(0)
            model.fit(data, Trainer())
        gap = [float((protocol.draw(model, 200).mean(0) - data.x.mean(0)).abs().mean()) for model in (fresh, after)]
        assert gap[1] < 0.5 * gap[0]


@having("log_unnormalized")
def test_training_raises_a_likelihood_whose_normaliser_is_a_sum(name):
    """Three pixels that are always alike: of eight binary images two are left, but for an image in twenty."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(0, 2, (400, 1, 1, 1), generator=generator).float().repeat(1, 1, 1, 3)
    x[::20, ..., 1] = 1 - x[::20, ..., 1]
    data = protocol.Data(specification((1, 1, 3), levels=2), x, torch.arange(400) % 3, x[:30], torch.arange(30) % 3)
    images = torch.cartesian_prod(*[torch.arange(2.0)] * 3).view(-1, 1, 1, 3)
    found = []
    for steps in (1, 400):
        model = fitted(MODELS[name], data, steps=steps)
        log_mass = protocol.apply(model, "log_unnormalized", images).double().log_softmax(0)
        found.append(float(log_mass[(x.view(-1, 3) @ torch.tensor([4.0, 2.0, 1.0])).long()].mean()))
    # Independent pixels give -2.05, the law itself -0.89.
    assert found[1] > found[0] + 0.3, found


@pytest.mark.parametrize("name", WITH_STEPS)
def test_an_image_too_small_is_refused_by_name_or_taken(name):
    trainer, refused = Trainer(), ""
    try:
        small(MODELS[name]).fit(made_data(specification((1, 7, 7))), trainer)
    except ValueError as error:
        refused = str(error)
    assert not refused or re.fullmatch(r"made: \w+ needs images of 8 x 8 pixels or more, not \(1, 7, 7\)", refused)
    assert bool(refused) != bool(trainer.history)
    assert all(math.isfinite(value) for metrics in trainer.history for value in metrics.values())


def test_naive_bayes_equals_scikit_learn():
    from sklearn.naive_bayes import GaussianNB

    data = made_data(specification(), n=300)
    rows = protocol.Data(protocol.Spec("table", (64,), 3, None, tuple("abc")), data.x.flatten(1), data.y, data.x_val, data.y_val)
    ours = fitted(MODELS["gaussian_naive_bayes"], rows, shrinkage=0.0, smoothing=0.01)
    theirs = GaussianNB(var_smoothing=0.01).fit(rows.x.double().numpy(), rows.y.numpy())
    found = protocol.apply(ours, "log_joint", data.x_val.flatten(1))
    expected = torch.from_numpy(theirs._joint_log_likelihood(data.x_val.flatten(1).double().numpy()))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


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


SCIKIT_LEARN = [name for name in DISCRIMINATIVE if hasattr(store.model_class("discriminative", name)(), "estimator")]


@pytest.mark.parametrize("name", [name for name in SCIKIT_LEARN if name != "linear_regression"])
def test_the_classical_models_are_scikit_learns(name):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = torch.from_numpy(x).float() / 16, torch.from_numpy(y).long()
    spec = protocol.Spec("digits", (64,), 10, None, tuple("0123456789"))
    data = protocol.Data(spec, x[:700], y[:700], x[700:800], y[700:800])
    model = store.model_class("discriminative", name)()
    protocol.seeded(0)
    model.fit(data, Trainer())
    protocol.seeded(0)
    theirs = direct(name).fit(data.x.numpy(), data.y.numpy())
    ours = protocol.apply(model, "predict", x[800:])
    assert (ours.numpy() == theirs.predict(x[800:].numpy())).mean() > 0.997


def test_least_squares_are_numpys():
    data = made_data(specification(), n=300)
    x = data.x.flatten(1).double().numpy()
    model = fitted(MODELS["linear_regression"], data)
    ones = torch.ones(300, 1).numpy()
    solution = np.linalg.lstsq(np.hstack([x, ones]), np.eye(3)[data.y.numpy()], rcond=None)[0]
    expected = np.hstack([data.x_val.flatten(1).numpy(), ones[:30]]) @ solution
    np.testing.assert_allclose(protocol.apply(model, "decision_function", data.x_val).numpy(), expected, atol=1e-4)


def test_parameters_are_counted_where_they_are(fit):
    counts = {name: cost.count_parameters(fit(name)[0]) for name in DISCRIMINATIVE}
    assert counts["logistic_regression"] == counts["linear_svm"] == counts["linear_regression"] == 3 * 64 + 3
    assert counts["k_nearest_neighbors"] == 60 * 64
    tree = fit("decision_tree")[0].estimator
    assert counts["decision_tree"] == 2 * (tree.get_n_leaves() - 1) + 3 * tree.get_n_leaves()
    assert counts["random_forest"] > counts["decision_tree"] and counts["gradient_boosting"] > 3 * 20
    support = len(fit("kernel_svm")[0].estimator.support_)
    assert counts["kernel_svm"] == support * 64 + 2 * support + 3


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64)], ids=str)
def test_nets_keep_what_makes_them_what_they_are(shape):
    nets = {}
    for name in ("alexnet", "vgg", "resnet"):
        model = store.model_class("discriminative", name)()
        model.build(specification(shape, levels=256))
        nets[name] = list(model.modules())
    kernels = {name: [m.kernel_size[0] for m in found if isinstance(m, torch.nn.Conv2d)] for name, found in nets.items()}
    assert kernels["alexnet"][0] == {8: 5, 28: 9, 32: 9, 64: 11}[shape[1]] and kernels["alexnet"][1:] == [5, 3, 3, 3]
    pools = [m for m in nets["alexnet"] if isinstance(m, torch.nn.MaxPool2d)]
    assert len(pools) == 3 and all(pool.kernel_size > pool.stride for pool in pools), "windows overlap"
    assert set(kernels["vgg"]) == {3} and len(kernels["vgg"]) == {8: 4, 28: 7, 32: 10, 64: 13}[shape[1]]
    assert sum(size == 3 for size in kernels["resnet"]) == 1 + 2 * 3, "6 n + 2 layers with n = 1, the last one linear"
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in nets["resnet"]) >= 7


def test_only_images_that_may_be_mirrored_are():
    from pofxy.nets.augment import augmented

    x = torch.zeros(200, 1, 8, 8)
    x[..., :4] = torch.linspace(0, 1, 8)[:, None]
    torch.manual_seed(0)
    still = augmented(x, 0.0, 0.0, 0.0, mirror=False)
    torch.testing.assert_close(still, x, atol=1e-5, rtol=0)
    mirrored = augmented(x, 0.0, 0.0, 0.0, mirror=True)
    same = (mirrored - x).abs().amax((1, 2, 3)) < 1e-4
    other = (mirrored - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same ^ other).all() and 70 < int(other.sum()) < 130
    moved = augmented(x, 0.1, 10.0, 0.1, mirror=False)
    assert moved.shape == x.shape and moved.min() >= 0 and moved.max() <= 1 and not torch.allclose(moved[0], moved[1])


@pytest.mark.parametrize("child", [10_000, -2, 0])
@pytest.mark.parametrize("name", ["decision_tree", "random_forest", "gradient_boosting"])
def test_a_tree_that_leads_outside_of_itself_is_refused(name, child, fit, tmp_path):
    model, data = fit(name)
    model = copy.deepcopy(model)
    if name == "gradient_boosting":
        nodes = model.estimator._predictors[0][0].nodes
        nodes["left"][0] = child % 2**32  # unsigned there
    else:
        tree = (model.estimator.estimators_[0] if name == "random_forest" else model.estimator).tree_
        state = tree.__getstate__()
        state["nodes"]["left_child"][0] = child
        tree.__setstate__(state)
    store.save_model(tmp_path / "model", model, "discriminative", name, budget(MODELS[name]), data.spec)
    with pytest.raises(store.StoreError, match=r"model\.skops: refused, a tree of it leads outside of itself"):
        store.load_model(tmp_path / "model")


def test_an_estimator_of_another_kind_is_refused(fit, tmp_path):
    model, data = fit("decision_tree")
    store.save_model(tmp_path / "model", model, "discriminative", "logistic_regression", {}, data.spec)
    with pytest.raises(store.StoreError, match="holds a DecisionTreeClassifier where a LogisticRegression belongs"):
        store.load_model(tmp_path / "model")
