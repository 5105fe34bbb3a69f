"""Reference models, whose scores are known beforehand, and inpainting where the right answer is known."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.data.known_distributions import open_distribution
from pofxy.storage.models import load_model, model_class, save_model
from pofxy.study import catalog, fingerprint
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
KEEPERS = ["real_train", "copycat", "one_per_class"]
MODELS = catalog.models()


def images(n=90, levels=17, seed=0):
    spec = DataSpec("made", (1, 8, 8), 3, levels, tuple("abc"))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, levels, (n, 1, 8, 8), generator=generator) / (levels - 1)
    return TrainingData(spec, x, torch.arange(n) % 3, x[:30], torch.arange(30) % 3)


def table(n=90, seed=0):
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed))
    return TrainingData(DataSpec("made", (4,), 3, None, tuple("abc")), x, torch.arange(n) % 3, x[:30], torch.arange(30) % 3)


def fitted(name, data, **arguments):
    seed_everything(0)
    model = build_model(model_class(MODELS[name].family, name), arguments)
    model.fit(data, Trainer())
    return model


def rows_of(samples, data):
    """For each sample the index of the train image that it equals; -1 for none."""
    row_of = {image.numpy().tobytes(): row for row, image in enumerate(data.x)}
    return torch.tensor([row_of.get(image.numpy().tobytes(), -1) for image in samples])


# Train images as samples


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_kept_images_are_stored_without_loss(levels):
    data = images(levels=levels)
    model = fitted("real_train", data)
    assert model.images.dtype == torch.uint8
    assert sorted(rows_of(sample_batched(model, 90), data).tolist()) == list(range(90))


@pytest.mark.parametrize("name", ["real_train", "copycat"])
@pytest.mark.parametrize("data", [images(), table()], ids=["images", "table"])
def test_no_train_image_is_repeated_before_all_were_sampled(name, data):
    model = fitted(name, data)
    rows = rows_of(sample_batched(model, 90), data)
    assert sorted(rows.tolist()) == list(range(90))
    rows = rows_of(sample_batched(model, 200), data)
    assert set(torch.bincount(rows).tolist()) == {2, 3}


@pytest.mark.parametrize("name", KEEPERS)
@pytest.mark.parametrize("data", [images(), table()], ids=["images", "table"])
def test_samples_of_a_label_are_train_images_of_that_class(name, data):
    model = fitted(name, data)
    labels = torch.tensor([2] * 20 + [0] * 30 + [2] * 5)
    rows = rows_of(sample_batched(model, 55, labels), data)
    assert torch.equal(data.y[rows], labels)
    once = len(rows.unique()) == 55
    assert once == (name != "one_per_class")


@pytest.mark.parametrize("name", ["real_train", "copycat"])
def test_as_many_as_asked_are_kept_and_at_least_one_of_each_class(name):
    data = images()
    model = fitted(name, data, kept=40)
    assert len(rows_of(sample_batched(model, 400), data).unique()) == 40
    few = fitted(name, data, kept=1)
    assert len(few.images) == 3 and sorted(few.labels.tolist()) == [0, 1, 2]
    rare = TrainingData(data.spec, data.x, torch.tensor([0, 1] * 44 + [2, 0]), data.x_val, data.y_val)
    assert (fitted(name, rare, kept=10).labels == 2).sum() == 1


def test_the_seed_decides_which_images_are_kept():
    data = images()
    seed_everything(5)
    other = build_model(model_class("reference", "real_train"), {"kept": 40})
    other.fit(data, Trainer())
    assert not torch.equal(other.images, fitted("real_train", data, kept=40).images)


def test_one_per_class_samples_one_image_of_each_class():
    data = images()
    model = fitted("one_per_class", data)
    rows = rows_of(sample_batched(model, 300), data)
    assert sorted(data.y[rows.unique()].tolist()) == [0, 1, 2] and set(torch.bincount(rows).tolist()) == {0, 100}
    assert torch.equal(rows_of(sample_batched(model, 4, torch.zeros(4).long()), data).unique(), rows[data.y[rows] == 0][:1])


def test_only_real_train_has_the_tags_of_real_images():
    classes = {name: model_class("reference", name) for name, entry in MODELS.items() if entry.family == "reference"}
    assert {name for name, one in classes.items() if tags_of(one).samples_are_real} == {"real_train"}
    assert {name for name, one in classes.items() if tags_of(one).n_redraws} == {"real_train"}


# Noise and independent pixels


@pytest.mark.parametrize("data", [images(levels=5), table()], ids=["images", "table"])
def test_noise_is_uniform(data):
    model = fitted("noise", data)
    x = sample_batched(model, 3000).flatten()
    if data.spec.levels:
        counts = torch.bincount((x * 4).round().long())
        assert torch.equal((x * 4).round() / 4, x) and stats.chisquare(counts.numpy()).pvalue > 1e-3
        assert model.tags.likelihood == "mass" and torch.allclose(model.log_prob(data.x), torch.tensor(-64 * math.log(5)))
    else:
        assert stats.kstest(x.numpy(), "uniform").pvalue > 1e-3
        assert model.tags.likelihood == "density" and torch.equal(model.log_prob(data.x), torch.zeros(90))


def test_independent_pixels_inpaint_the_mean():
    data = images()
    model = fitted("independent_pixels", data)
    mask = torch.ones(1, 8, 8)
    mask[:, 4:] = 0
    filled = model.inpaint(data.x_val, mask)
    assert torch.equal(filled[:, :, :4], data.x_val[:, :, :4]) and len(filled[:, :, 4:].unique(dim=0)) == 1
    counts = np.bincount((data.x[:, 0, 5, 6].numpy() * 16).round().astype(int), minlength=17) + 1
    assert float(filled[0, 0, 5, 6]) == pytest.approx((counts / counts.sum()) @ np.arange(17) / 16, abs=1e-6)


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.family == "reference" and name != "oracle"])
def test_a_reference_model_takes_tables_or_refuses_them(name):
    if MODELS[name].tags.images_only:
        with pytest.raises(ValueError, match=r"^made: "):
            fitted(name, table())
    else:
        assert sample_batched(fitted(name, table()), 7).shape == (7, 4)


# Oracle


def known_data(name, n=2000, **arguments):
    """The first 300 rows are the train split, all of them the validation split."""
    distribution = {"of": name, **arguments}
    x, y = (torch.from_numpy(part) for part in open_distribution(distribution).sample(n, np.random.default_rng(9)))
    classes = int(y.max()) + 1
    levels = None if x.ndim == 2 else 17
    spec = DataSpec("made", tuple(x.shape[1:]), classes, levels, tuple("abcd"[:classes]), distribution=distribution)
    return TrainingData(spec, x[:300], y[:300], x, y)


@pytest.mark.parametrize(("name", "likelihood"), [("gaussians", "density"), ("known_images", "mass")])
def test_the_oracle_has_the_best_possible_scores(name, likelihood, tmp_path):
    data = known_data(name)
    save_model(tmp_path / "model", fitted("oracle", data), "reference", "oracle", {}, data.spec)
    model = load_model(tmp_path / "model")
    assert model.tags.likelihood == likelihood
    truth = open_distribution(data.spec.distribution).ground_truth()
    correct = (predict_batched(model, "predict", data.x_val) == data.y_val).double()
    log_loss = -predict_batched(model, "predict_proba", data.x_val)[torch.arange(2000), data.y_val].log()
    nats = -predict_batched(model, "log_prob", data.x_val)
    for values, expected in ((correct, "bayes_accuracy"), (log_loss, "bayes_log_loss"), (nats, "entropy")):
        assert abs(float(values.mean()) - truth[expected]) < 4 * float(values.std()) / math.sqrt(2000)


@pytest.mark.parametrize("name", ["gaussians", "known_images"])
def test_the_oracle_samples_the_distribution_and_the_seed_decides(name):
    data = known_data(name)
    model = fitted("oracle", data)
    seed_everything(3)
    first = sample_batched(model, 1500)
    seed_everything(3)
    assert torch.equal(first, sample_batched(model, 1500))
    assert first.shape == (1500, *data.spec.shape) and first.dtype == torch.float32
    assert len(first.unique(dim=0)) == 1500, "each batch has samples of its own"
    for ours, theirs in zip(first.flatten(1).T[:5], data.x_val.flatten(1).T[:5]):
        assert stats.ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 1e-3


def test_the_arguments_of_the_distribution_reach_the_oracle():
    data = known_data("known_images", noise=0.2)
    nats = -predict_batched(fitted("oracle", data), "log_prob", data.x_val)
    entropy = open_distribution(data.spec.distribution).ground_truth()["entropy"]
    assert abs(float(nats.mean()) - entropy) < 4 * float(nats.std()) / math.sqrt(2000)


def test_without_a_known_distribution_there_is_no_oracle():
    with pytest.raises(ValueError, match=r"^made: the oracle needs the true distribution of the data, which is not known$"):
        fitted("oracle", images())


def test_the_oracle_depends_on_every_known_distribution():
    paths = {path.resolve() for path in (catalog.PACKAGE / "data/known_distributions").glob("*.py")}
    assert len(paths) >= 3 and paths <= set(fingerprint.closure(MODELS["oracle"].path))


# Inpainting by a posterior mean


def test_naive_bayes_inpaints_the_posterior_mean():
    """p(unknown | known) from log_joint alone, by quadrature over the unknown pixel, against the closed form."""
    generator = torch.Generator().manual_seed(4)
    y = torch.arange(120) % 3
    x = (torch.randn(120, 1, 1, 3, generator=generator) * 0.1 + 0.3 + 0.2 * y[:, None, None, None]).clamp(0, 1)
    model = fitted("gaussian_naive_bayes", TrainingData(DataSpec("tiny", (1, 1, 3), 3, 256, tuple("abc")), x, y, x, y))
    mask = torch.tensor([1.0, 0.0, 1.0]).view(1, 1, 3)
    inpainted = model.inpaint(x[:6], mask)
    assert torch.equal(inpainted[..., [0, 2]], x[:6][..., [0, 2]])
    grid = torch.linspace(-2, 3, 4001)
    for image, filled in zip(x[:6], inpainted):
        points = image.repeat(len(grid), 1, 1, 1)
        points[..., 1] = grid[:, None, None]
        density = model.log_joint(points).double().logsumexp(1).exp().numpy()
        mean = integrate.simpson(density * grid.double().numpy(), x=grid.numpy()) / integrate.simpson(density, x=grid.numpy())
        assert float(filled[..., 1]) == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_naive_bayes_infers_the_class_from_the_known_half(kind):
    """One class is bright and the other dark: the left half of an image determines its right half."""
    y = torch.arange(300) % 2
    x = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.2
    x[y == 1] += 0.7
    model = fitted("gaussian_naive_bayes", TrainingData(DataSpec("made", (1, 4, 4), 2, 256, tuple("ab")), x, y, x, y))
    mask = torch.ones(4, 4, dtype=kind)
    mask[:, 2:] = 0
    filled = model.inpaint(x, mask)
    assert filled.shape == x.shape and torch.equal(filled[..., :2], x[..., :2])
    assert torch.equal((filled[..., 2:] > 0.5).all((1, 2, 3)), y == 1)
    hidden = x.clone()
    hidden[..., 2:] = math.nan
    assert torch.equal(model.inpaint(hidden, mask), filled), "unknown values have no influence"
    all_unknown = model.inpaint(x, torch.zeros_like(x, dtype=kind))
    torch.testing.assert_close(all_unknown, x.mean(0, keepdim=True).expand_as(x), atol=1e-4, rtol=0)
    assert torch.equal(model.inpaint(x, torch.ones_like(x, dtype=kind)), x)
    torch.testing.assert_close(predict_batched(model, "inpaint", x, mask.expand(x.shape)), filled)
