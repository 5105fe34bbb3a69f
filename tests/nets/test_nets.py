"""The contract of every model that is trained in steps: sizes of images, losses that fall, what a net refuses."""

import math
import re

import pytest
import torch

from contract import (
    DISCRIMINATIVE,
    MODELS,
    THREE_PIXELS,
    WITH_STEPS,
    budget,
    fitted,
    having,
    made_data,
    small,
    specification,
    table_specification,
)
from pofxy.base.data import TrainingData
from pofxy.base.hyperparameters import Augmentation
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.nets.augment import augment
from pofxy.nets.dropout import Dropout
from pofxy.storage.models import load_model, model_class, save_model
from pofxy.training.trainer import Trainer

IMAGE_CLASSIFIERS = [name for name in DISCRIMINATIVE if MODELS[name].tags.images_only]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (1, 33, 20), (3, 32, 32), (1, 64, 64)], ids=str)
@pytest.mark.parametrize("name", WITH_STEPS)
def test_nets_take_images_of_any_size(name, shape):
    """8 to 64 pixels, 1 or 3 channels, square or not: the shapes fit, and the loss is finite before and after the steps."""
    data = made_data(specification(shape, levels=256), n=12, n_val=3)
    seen = []
    trainer = Trainer(on_epoch=lambda epoch, metrics: seen.append(metrics))
    seed_everything(0)
    model = small(MODELS[name], steps=2, batch=6)
    model.fit(data, trainer)
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    if "sample" in MODELS[name].capabilities:
        assert sample_batched(model, 2).shape == (2, *shape)
    if "predict" in MODELS[name].capabilities:
        assert predict_batched(model, "predict", data.x_val).shape == (3,)


@pytest.mark.parametrize("name", [name for name in WITH_STEPS if "log_unnormalized" not in MODELS[name].capabilities])
def test_training_lowers_the_loss(name):
    data = made_data(specification(), n=300, grain=(1, 1, 1))  # there are dependencies between pixels to be learned
    if is_game(name, data):
        # The objectives of a game have no common loss that falls; its samples must come nearer to the data.
        fresh = small(MODELS[name])
        trained = small(MODELS[name], steps=200)
        seed_everything(0)
        fresh.build(data.spec)
        trained.fit(data, Trainer())
        before, after = (energy_distance(sample_batched(model, 200), data.x) for model in (fresh, trained))
        assert after < 0.5 * before
        return
    trainer = Trainer()
    seed_everything(0)
    small(MODELS[name], steps=60).fit(data, trainer)
    # One loss, or one for each part that is trained after the other.
    for column in dict.fromkeys(column for row in trainer.history for column in losses(row)):
        values = [row[column] for row in trainer.history if column in row]
        # By a fifth; the negative logarithm of a density has no zero, and falls by two nats an image.
        assert values[-1] < (0.8 * values[0] if values[0] > 0 else values[0] - 2)


def losses(row):
    """The columns of one epoch of the history that are losses of the train split."""
    return [column for column in row if column.endswith("loss") and "val" not in column]


def is_game(name, data):
    """Whether several objectives are trained in the same epoch: one step shows it."""
    trainer = Trainer()
    seed_everything(0)
    small(MODELS[name], steps=1).fit(data, trainer)
    return any(len(losses(row)) > 1 for row in trainer.history)


def energy_distance(a, b):
    """2 E|a - b| - E|a - a'| - E|b - b'|: 0 only where both have the same distribution (G. Szekely, M. Rizzo, 2013)."""
    a = a.flatten(1)
    b = b.flatten(1)
    return float(2 * torch.cdist(a, b).mean() - torch.pdist(a).mean() - torch.pdist(b).mean())


@having("log_unnormalized")
def test_training_raises_a_likelihood_whose_normalizer_is_a_sum(name):
    """Three pixels that are equal except in one image of twenty: nearly all the mass is on two of the eight binary images."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(0, 2, (400, 1, 1, 1), generator=generator).float().repeat(1, 1, 1, 3)
    x[::20, ..., 1] = 1 - x[::20, ..., 1]
    data = TrainingData(specification(THREE_PIXELS, levels=2), x, torch.arange(400) % 3, x[:30], torch.arange(30) % 3)
    images = torch.cartesian_prod(*[torch.arange(2.0)] * 3).view(-1, *THREE_PIXELS)
    likelihoods = []
    for steps in (1, 400):
        model = fitted(MODELS[name], data, steps=steps)
        log_mass = predict_batched(model, "log_unnormalized", images).double().log_softmax(0)
        likelihoods.append(float(log_mass[(x.view(-1, 3) @ torch.tensor([4.0, 2.0, 1.0])).long()].mean()))
    # Independent pixels give -2.05, the true distribution -0.89.
    assert likelihoods[1] > likelihoods[0] + 0.3, likelihoods


@pytest.mark.parametrize("name", WITH_STEPS)
def test_an_image_too_small_is_refused_by_name_or_taken(name):
    trainer = Trainer()
    refused = ""
    try:
        small(MODELS[name]).fit(made_data(specification((1, 7, 7))), trainer)
    except ValueError as error:
        refused = str(error)
    assert not refused or re.fullmatch(r"made: \w+ needs images of 8 x 8 pixels or more, not \(1, 7, 7\)", refused)
    assert bool(refused) != bool(trainer.history)
    assert all(math.isfinite(value) for metrics in trainer.history for value in metrics.values())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64)], ids=str)
def test_nets_have_the_layers_that_define_them(shape):
    nets = {}
    for name in ("alexnet", "vgg", "resnet"):
        model = model_class("discriminative", name)()
        model.build(specification(shape, levels=256))
        nets[name] = list(model.modules())
    kernels = {name: [m.kernel_size[0] for m in modules if isinstance(m, torch.nn.Conv2d)] for name, modules in nets.items()}
    assert kernels["alexnet"][0] == {8: 5, 28: 9, 32: 9, 64: 11}[shape[1]] and kernels["alexnet"][1:] == [5, 3, 3, 3]
    pools = [m for m in nets["alexnet"] if isinstance(m, torch.nn.MaxPool2d)]
    assert len(pools) == 3 and all(pool.kernel_size > pool.stride for pool in pools), "windows overlap"
    assert set(kernels["vgg"]) == {3} and len(kernels["vgg"]) == {8: 4, 28: 7, 32: 10, 64: 13}[shape[1]]
    assert sum(size == 3 for size in kernels["resnet"]) == 1 + 2 * 3, "6 n + 2 layers with n = 1, the last one linear"
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in nets["resnet"]) >= 7


def test_alexnet_counts_its_features_where_its_stride_exceeds_two():
    model = model_class("discriminative", "alexnet")()
    model.build(specification((1, 130, 128), levels=256))
    assert predict_batched(model, "decision_function", torch.rand(2, 1, 130, 128)).shape == (2, 3)


def test_images_are_mirrored_only_where_that_is_allowed():
    x = torch.zeros(200, 1, 8, 8)
    x[..., :4] = torch.linspace(0, 1, 8)[:, None]
    torch.manual_seed(0)
    identity = Augmentation(translate=0.0, degrees=0.0, scale=0.0)
    torch.testing.assert_close(augment(x, identity, mirror=False), x, atol=1e-5, rtol=0)
    mirrored = augment(x, identity, mirror=True)
    same = (mirrored - x).abs().amax((1, 2, 3)) < 1e-4
    other = (mirrored - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same ^ other).all() and 70 < int(other.sum()) < 130
    changed = augment(x, Augmentation(translate=0.1, degrees=10.0, scale=0.1), mirror=False)
    assert changed.shape == x.shape and changed.min() >= 0 and changed.max() <= 1 and not torch.allclose(changed[0], changed[1])


@pytest.mark.parametrize("name", IMAGE_CLASSIFIERS)
def test_a_table_is_refused_by_a_net_over_images(name):
    spec = table_specification(6, classes=3)
    with pytest.raises(ValueError, match=r"table: \w+ needs images of 8 x 8 pixels or more, not \(6,\)"):
        small(MODELS[name]).fit(TrainingData(spec, *[torch.zeros(3, 6), torch.arange(3)] * 2), Trainer())


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", [name for name in DISCRIMINATIVE if name not in IMAGE_CLASSIFIERS])
def test_tables_of_two_classes_or_more_with_a_constant_column(name, classes, tmp_path):
    spec = table_specification(6, classes)
    y = torch.arange(120) % classes
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(0)) * 0.3
    x[:, 0] += y
    x[:, 5] = 0.7
    data = TrainingData(spec, x[:90], y[:90], x[90:], y[90:])
    model = fitted(MODELS[name], data, steps=200)
    save_model(tmp_path / "model", model, "discriminative", name, budget(MODELS[name], steps=200), spec)
    loaded = load_model(tmp_path / "model")
    labels = predict_batched(loaded, "predict", data.x_val)
    assert (labels == data.y_val).float().mean() > 0.7 and torch.equal(labels, predict_batched(model, "predict", data.x_val))
    for method in {"predict_proba", "decision_function"} & set(MODELS[name].capabilities):
        rows = predict_batched(loaded, method, data.x_val)
        assert rows.shape == (30, classes) and torch.equal(rows.argmax(1), labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_the_share_and_keeps_the_mean(dtype):
    torch.manual_seed(0)
    dropout = Dropout(0.3)
    h = torch.ones(100_000, dtype=dtype, requires_grad=True)
    dropped = dropout(h)
    assert dropped.dtype == dtype
    values = dropped.detach().float()
    assert float((values == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(values.max()) == pytest.approx(1 / 0.7, rel=4e-3)  # bfloat16 has eight bits
    dropped.sum().backward()
    assert torch.equal(h.grad, dropped.detach())
    assert dropout.eval()(h) is h
