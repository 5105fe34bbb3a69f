"""The contract of every model that is trained in steps: sizes of images, losses that fall, what a net refuses."""

import math
import re

import pytest
import torch

from contract import DISCRIMINATIVE, MODELS, WITH_STEPS, budget, fitted, having, made_data, small, specification
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.storage.models import load_model, model_class, save_model
from pofxy.training.trainer import Trainer


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 33, 20), (3, 32, 32), (1, 64, 64)], ids=str)
@pytest.mark.parametrize("name", WITH_STEPS)
def test_nets_take_images_of_any_size(name, shape):
    """8 to 64 pixels, 1 or 3 channels, square or not: the shapes fit, and the loss is finite and can be moved."""
    data = made_data(specification(shape, levels=256), n=24, n_val=6)
    seen = []
    trainer = Trainer(on_epoch=lambda epoch, metrics: seen.append(metrics))
    seed_everything(0)
    model = small(MODELS[name], steps=3, batch=8)
    model.fit(data, trainer)
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    if "sample" in MODELS[name].capabilities:
        assert sample_batched(model, 2).shape == (2, *shape)
    if "predict" in MODELS[name].capabilities:
        assert predict_batched(model, "predict", data.x_val).shape == (6,)


@pytest.mark.parametrize("name", [name for name in WITH_STEPS if "log_unnormalized" not in MODELS[name].capabilities])
def test_training_lowers_the_loss(name):
    data = made_data(specification(), n=300, grain=(1, 1, 1))  # there is something to learn of the pixels together
    trainer = Trainer()
    seed_everything(0)
    small(MODELS[name], steps=150).fit(data, trainer)
    losses = {column: [] for row in trainer.history for column in row if column.endswith("loss") and "val" not in column}
    for row in trainer.history:
        for column in losses.keys() & row:
            losses[column].append(row[column])
    if not any(len(losses.keys() & row) > 1 for row in trainer.history):
        # One loss, or one for each part that is trained after the other.
        for found in losses.values():
            # A fifth of it; the negative logarithm of a density has no zero, and falls by two nats an image.
            assert found[-1] < (0.8 * found[0] if found[0] > 0 else found[0] - 2)
    else:
        # Players of a game have no common loss that falls; what they make must come nearer to the data.
        fresh, after = small(MODELS[name]), small(MODELS[name], steps=300)
        seed_everything(0)
        fresh.build(data.spec)
        after.fit(data, Trainer())
        gap = [energy_distance(sample_batched(model, 200), data.x) for model in (fresh, after)]
        assert gap[1] < 0.5 * gap[0]


def energy_distance(a, b):
    """2 E|a - b| - E|a - a'| - E|b - b'|, which is 0 for samples (N, ...) of one law alone (G. Szekely, M. Rizzo, 2013)."""
    a, b = a.flatten(1), b.flatten(1)
    return float(2 * torch.cdist(a, b).mean() - torch.pdist(a).mean() - torch.pdist(b).mean())


@having("log_unnormalized")
def test_training_raises_a_likelihood_whose_normaliser_is_a_sum(name):
    """Three pixels that are always alike: of eight binary images two are left, but for an image in twenty."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(0, 2, (400, 1, 1, 1), generator=generator).float().repeat(1, 1, 1, 3)
    x[::20, ..., 1] = 1 - x[::20, ..., 1]
    data = TrainingData(specification((1, 1, 3), levels=2), x, torch.arange(400) % 3, x[:30], torch.arange(30) % 3)
    images = torch.cartesian_prod(*[torch.arange(2.0)] * 3).view(-1, 1, 1, 3)
    found = []
    for steps in (1, 400):
        model = fitted(MODELS[name], data, steps=steps)
        log_mass = predict_batched(model, "log_unnormalized", images).double().log_softmax(0)
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


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64)], ids=str)
def test_nets_keep_what_makes_them_what_they_are(shape):
    nets = {}
    for name in ("alexnet", "vgg", "resnet"):
        model = model_class("discriminative", name)()
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


def takes_tables(name):
    return not any(base.__name__ == "ImageClassifier" for base in model_class("discriminative", name).__mro__)


@pytest.mark.parametrize("name", [name for name in DISCRIMINATIVE if not takes_tables(name)])
def test_a_table_is_refused_by_a_net_over_images(name):
    spec = DataSpec("table", (6,), 3, None, tuple("abc"))
    with pytest.raises(ValueError, match=r"table: \w+ needs images of 8 x 8 pixels or more, not \(6,\)"):
        small(MODELS[name]).fit(TrainingData(spec, *[torch.zeros(3, 6), torch.arange(3)] * 2), Trainer())


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", [name for name in DISCRIMINATIVE if takes_tables(name)])
def test_tables_of_two_classes_or_more_with_a_constant_column(name, classes, tmp_path):
    spec = DataSpec("table", (6,), classes, None, tuple("abc"[:classes]))
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
    for verb in {"predict_proba", "decision_function"} & set(MODELS[name].capabilities):
        rows = predict_batched(loaded, verb, data.x_val)
        assert rows.shape == (30, classes) and torch.equal(rows.argmax(1), labels)
