"""Probes: corrupted, noisy, hidden and attacked pixels, against SciPy, torch and hand-made models."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.evaluation.metrics.denoising import denoising as denoising_score
from pofxy.evaluation.quantities import adversarial_attack, corruption, denoising, inpainted
from pofxy.evaluation.quantities.inpainting import inpainting
from pofxy.evaluation.quantities.inpainting_label import inpainting_label
from pofxy.evaluation.quantities.missing_pixels import missing_pixels
from pofxy.models.generative.vae import VAE
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

SPEC = DataSpec("made", (1, 16, 16), 2, 17, ("a", "b"))
X = (torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 16).round() / 16
Y = torch.arange(40) % 2


class Watching:
    """Notes what it is shown, and says that all of it is of class 0."""

    def __init__(self):
        self.seen = []

    def predict(self, x):
        self.seen.append(x.clone())
        return torch.zeros(len(x), dtype=torch.int64)


def test_every_curve_has_a_unit_and_a_name_of_its_own():
    curves = [entry for entry in catalog.quantities().values() if entry.curve]
    assert len(curves) > 10 and all(entry.unit for entry in curves)
    assert len({entry.curve for entry in curves}) == len(curves)


def test_corruptions_are_images_of_the_same_grey_levels_farther_off_with_each_severity():
    model = Watching()
    found = corruption.corruption(model, X, Y, torch.zeros(40), SPEC)
    assert found.values.shape == (40, 7, 6) and found.places == (0, 1, 2, 3, 4, 5) and len(set(found.conditions)) == 7
    assert torch.equal(found.values, (Y == 0)[:, None, None].expand(40, 7, 6))
    corrupted = model.seen
    for x in corrupted:
        assert x.shape == X.shape and torch.equal(x, (x * 16).round() / 16) and x.min() >= 0 and x.max() <= 1
    gaps = torch.tensor([float((x - X).abs().mean()) for x in corrupted]).view(7, 5)
    # Each corruption but rotation and shift, which soon turn noise into other noise, goes farther with each severity.
    for condition, gap in zip(found.conditions, gaps, strict=True):
        if condition not in ("rotation", "shift"):
            assert (gap.diff() > 0).all(), (condition, gap)
    again = Watching()
    corruption.corruption(again, X, Y, torch.zeros(40), SPEC)
    assert all(torch.equal(a, b) for a, b in zip(model.seen, again.seen, strict=True)), "another model sees other images"


def test_blur_is_scipys():
    sigma = 0.02 * 3 * 16
    theirs = gaussian_filter(X[:, 0].numpy(), (0, sigma, sigma), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(corruption._blurred(X, 3)[:, 0].numpy(), theirs, atol=0.01)


def test_moving_is_torchs_own_where_it_falls_on_pixels():
    none, quarter = torch.zeros(40), torch.full((40,), torch.pi / 2)
    torch.testing.assert_close(corruption._moved(X, none, torch.zeros(40, 2)), X)
    turned = corruption._moved(X, quarter, torch.zeros(40, 2))
    assert min((turned - X.rot90(k, (2, 3))).abs().max() for k in (1, -1)) < 1e-4
    # The grid runs from -1 to 1 over 16 pixels: 2 / 16 is one of them.
    moved = corruption._moved(X, none, torch.tensor([2 / 16, 0]).expand(40, 2))
    torch.testing.assert_close(moved[..., :-1], X[..., 1:])
    long = X[..., :8]
    half = corruption._moved(long, torch.full((40,), torch.pi), torch.zeros(40, 2))
    torch.testing.assert_close(half, long.flip(2, 3), atol=1e-4, rtol=0)


def test_a_rotation_of_a_long_image_does_not_shear_it():
    """A disc stays a disc."""
    rows, columns = torch.arange(32)[:, None] - 15.5, torch.arange(64) - 31.5
    disc = ((rows**2 + columns**2).sqrt() < 8).float()[None, None]
    turned = corruption._moved(disc, torch.tensor([0.9]), torch.zeros(1, 2))
    assert (turned - disc).abs().mean() < 0.01


def test_noise_contrast_inversion_and_occlusion_are_what_they_say():
    assert float((corruption._noisy(X, 2) - X).std()) == pytest.approx(0.16, rel=0.03)
    torch.testing.assert_close(corruption._inverted(X, 5), 1 - X)
    flat = corruption._flattened(X, 5)
    torch.testing.assert_close(flat.mean((1, 2, 3)), X.mean((1, 2, 3)))
    torch.testing.assert_close(flat.std((1, 2, 3)), 0.15 * X.std((1, 2, 3)))
    grey = corruption._occluded(torch.ones(40, 3, 16, 16), 3) == 0.5
    assert (grey.flatten(1).sum(1) == 3 * round(0.35 * 16) ** 2).all() and len({str(part) for part in grey.int()}) > 10


def test_missing_pixels_are_nested_and_imputed_with_the_mean():
    model, mean = Watching(), torch.full((1, 16, 16), 2.0)
    found = missing_pixels(model, X, Y, torch.zeros(40), mean)
    assert found.conditions == ("mean imputation",) and found.values.shape == (40, 1, 10)
    missing = [x == 2 for x in model.seen]
    for share, part, x in zip(found.places[1:], missing, model.seen, strict=True):
        assert float(part.float().mean()) == pytest.approx(share, abs=0.01) and torch.equal(x[~part], X[~part])
    assert all((b | ~a).all() for a, b in pairwise(missing)), "what is hidden stays hidden"


def test_a_model_that_integrates_pixels_out_is_not_given_means():
    class Exact(Watching):
        def log_joint_known(self, x, known):
            assert (x[~known] == 0).all()
            return torch.stack([known.flatten(1).sum(1).float(), torch.full((len(x),), 200.0)], 1)

    model = Exact()
    found = missing_pixels(model, X, Y, torch.zeros(40), torch.zeros(1, 16, 16))
    assert found.conditions == ("exact marginal",) and not model.seen
    # 256 known pixels outweigh 200, and 20 % fewer do on average no more.
    assert torch.equal(found.values[:, 0, 0], Y == 0) and torch.equal(found.values[:, 0, -1], Y == 1)


class Linear(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def decision_function(self, x):
        score = x.flatten(1) @ self.weight
        return torch.stack([-score, score], 1)

    def predict(self, x):
        return self.decision_function(x).argmax(1)


def test_attacks_on_a_linear_classifier_are_as_strong_as_they_can_be():
    """Within a box the margin of a linear score falls by |w|_1 times its half side, which both attacks must find."""
    weight = torch.randn(20, generator=torch.Generator().manual_seed(1))
    x = 0.5 + 0.1 * torch.randn(200, 20, generator=torch.Generator().manual_seed(2))
    weight_sum = weight.sum() / 2  # the boundary passes through the middle of the cube
    model = Linear(weight)
    model.decision_function = lambda x: torch.stack([-(x @ weight - weight_sum), x @ weight - weight_sum], 1)
    y = model.predict(x)
    found = adversarial_attack.adversarial_attack(model, x, y, model.predict(x))
    assert found.values.shape == (200, 2, 6) and found.values[:, :, 0].all()
    margin = (x @ weight - weight_sum).abs()
    for place, radius in enumerate(found.places):
        if radius <= 0.1:  # no pixel reaches 0 or 1
            sure = (margin - radius * weight.abs().sum()).abs() > 1e-4
            for attack in range(2):
                assert torch.equal(found.values[sure, attack, place], margin[sure] > radius * weight.abs().sum())


def test_attacks_stay_in_the_box_and_leave_the_model_as_it_was():
    seen = []
    model = Linear(torch.linspace(-1, 1, 256))
    model.predict = lambda x: seen.append(x.detach().clone()) or Linear.predict(model, x)
    model.train()
    adversarial_attack.adversarial_attack(model, X, Y, torch.zeros(40))
    assert model.training and model.weight.grad is None
    for place, radius in enumerate(adversarial_attack.RADII[1:]):
        for x in seen[2 * place : 2 * place + 2]:
            assert (x - X).abs().max() <= radius + 1e-6 and x.min() >= 0 and x.max() <= 1


class Copier:
    """Gives back what it is shown, and keeps it."""

    def __init__(self):
        self.seen = []

    def reconstruct(self, x):
        self.seen.append(x.clone())
        return x


def smooth_images(n, seed):
    """(n, 1, 16, 16): neighbouring pixels are alike, so that a filter can find them again."""
    noise = np.random.default_rng(seed).normal(size=(n, 1, 16, 16))
    images = gaussian_filter(noise, (0, 0, 2, 2), mode="wrap")
    return torch.from_numpy(np.clip(0.5 + images / images.std() / 4, 0, 1)).float()


def test_a_copier_of_noisy_images_has_the_errors_of_the_noise():
    model, x, x_train = Copier(), smooth_images(60, 0), smooth_images(100, 1)
    found = denoising.denoising(model, x, x_train)
    assert found.values.shape == (60, 3, 4) and found.places == (0.1, 0.2, 0.3, 0.5)
    assert found.conditions == ("model", "Gaussian filter", "mean image")
    for place, (sigma, noisy) in enumerate(zip(found.places, model.seen, strict=True)):
        assert noisy.min() >= 0 and noisy.max() <= 1
        torch.testing.assert_close(found.values[:, 0, place], ((noisy - x) ** 2).mean((1, 2, 3)))
        far = (x > 4 * sigma) & (x < 1 - 4 * sigma)  # where clipping does nothing
        if sigma <= 0.1:
            assert float((noisy - x)[far].std()) == pytest.approx(sigma, rel=0.03)
    torch.testing.assert_close(found.values[:, 2], ((x_train.mean(0) - x) ** 2).mean((1, 2, 3))[:, None].expand(60, 4))
    assert (found.values[:, 1].mean(0) < 0.5 * found.values[:, 0].mean(0)).all(), "smooth images can be filtered"
    again = Copier()
    denoising.denoising(again, x, x_train)
    assert all(torch.equal(a, b) for a, b in zip(model.seen, again.seen, strict=True)), "another model sees other noise"


def test_denoising_is_relative_to_the_filter():
    x, x_train = smooth_images(40, 0), smooth_images(40, 1)
    values = denoising.denoising(Copier(), x, x_train).values.numpy()
    expected = np.mean([values[:, 0, s].sum() / values[:, 1, s].sum() for s in range(4)])
    assert denoising_score(values) == pytest.approx(expected, rel=1e-5) and expected > 2
    values[:, 0] = values[:, 1]
    assert denoising_score(values) == pytest.approx(1)


def test_the_gaussian_filter_is_scipys_and_its_width_is_chosen_on_train_images(monkeypatch):
    theirs = gaussian_filter(X.numpy(), (0, 0, 1.2, 1.2), mode="nearest")
    np.testing.assert_allclose(denoising._filtered(X, 1.2).numpy(), theirs, atol=1e-5)
    torch.testing.assert_close(denoising._filtered(X[..., :9], 0.0), X[..., :9])
    assert denoising._best_width(X, X) == 0.0, "of images that are noise, nothing is to be filtered out"
    widths = []
    choose = denoising._best_width
    monkeypatch.setattr(denoising, "_best_width", lambda noisy, clean: widths.append(choose(noisy, clean)) or widths[-1])
    smooth = smooth_images(50, 1)
    denoising.denoising(Copier(), X, smooth)
    assert 0 < widths[0] < widths[-1], "wider against more noise, though the test images would have none of it"


class Inpainter:
    """Knows the images that it will be asked for, and is wrong by `off` in every pixel; notes what it is shown."""

    def __init__(self, truth, off=0.0):
        self.truth, self.off, self.seen = truth, off, []

    def inpaint(self, x, mask):
        self.seen.append((x.clone(), mask.clone()))
        return self.truth + self.off


def test_masks_hide_a_half_the_centre_and_random_pixels_of_all_channels():
    lower, centre, half = inpainted.masks(torch.zeros(30, 3, 8, 12))
    assert lower[:, :, :4].all() and not lower[:, :, 4:].any()
    assert not centre[:, :, 2:6, 3:9].any() and int((~centre[0, 0]).sum()) == 4 * 6
    assert ((~half).flatten(2).sum(2) == 48).all() and torch.equal(half[:, 0], half[:, 2])
    assert len({str(part.int().tolist()) for part in half[:, 0]}) == 30, "each image has its own"


def test_inpainting_errors_are_those_of_hidden_pixels():
    model = Inpainter(X)
    found = inpainting(X, inpainted.inpainted(model, X))
    assert found.values.shape == (40, 3, 1) and not found.values.any() and len(found.conditions) == 3
    for (x, mask), known in zip(model.seen, inpainted.masks(X), strict=True):
        assert x.shape == mask.shape == X.shape and torch.equal(mask == 1, known) and torch.equal(mask == 0, ~known)
        assert (x[~known] == 0).all() and torch.equal(x[known], X[known]), "nothing hidden leaks"
    off = inpainting(X, inpainted.inpainted(Inpainter(X, 0.25), X)).values
    torch.testing.assert_close(off, torch.full((40, 3, 1), 0.0625))


def test_the_feature_net_sees_the_true_known_pixels():
    class FeatureNet:
        def predict_proba(self, x):
            self.x = x.clone()
            bright = (x[:, 0, -1].mean(1) > 0.5).float()
            return torch.stack([1 - bright, bright], 1)

    x = X * 0.4
    x[Y == 1, :, 8:] += 0.6  # the lower half tells the class
    feature_net = FeatureNet()
    found = inpainting_label(Y, inpainted.inpainted(Inpainter(x), x), feature_net)
    assert found.values.shape == (40, 3, 1) and found.values.dtype == torch.bool and found.values.all()
    blind = inpainting_label(Y, inpainted.inpainted(Inpainter(torch.zeros_like(x)), x), feature_net)
    assert torch.equal(blind.values[:, 0, 0], Y == 0), "the lower half is hidden"
    assert blind.values[:, 1].all(), "the last row is known"
    known = inpainted.masks(x)[2]
    assert torch.equal(feature_net.x[known], x[known]) and not feature_net.x[~known].any()


def test_the_vae_fills_in_what_it_has_seen():
    """Two patterns: the upper half of an image says how its lower half looks."""
    pattern = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(3)) * 4).round() / 4
    y = torch.arange(160) % 2
    spec = DataSpec("made", (1, 8, 8), 2, 5, ("a", "b"))
    seed_everything(0)
    model = build_model(VAE, latent_dim=2, hidden=32, dropout=0.0, steps=150, batch=40)
    model.fit(TrainingData(spec, pattern[y], y, pattern[y[:20]], y[:20]), Trainer())
    x = pattern[y[:10]]
    found = inpainting(x, inpainted.inpainted(model, x)).values
    blind = inpainting(x, inpainted.inpainted(Inpainter(pattern.mean(0).expand(10, 1, 8, 8)), x)).values
    assert (found.mean((0, 2)) < 0.2 * blind.mean((0, 2))).all()
    mask = inpainted.masks(x)[0].float()
    filled = predict_batched(model, "inpaint", x * mask, mask)
    assert torch.equal(filled[mask == 1], x[mask == 1]) and filled.min() >= 0 and filled.max() <= 1
    assert torch.equal(filled, predict_batched(model, "inpaint", x * mask + 0.7 * (1 - mask), mask)), "what is hidden is not seen"
