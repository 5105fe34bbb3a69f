"""What fitted models are put through: corruptions, missing pixels and attacks, against SciPy, torch and hand-made classifiers."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pofxy import catalog, protocol
from pofxy.probes import attacked, corrupted, incomplete

SPEC = protocol.Spec("made", (1, 16, 16), 2, 17, ("a", "b"))
X = (torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 16).round() / 16
Y = torch.arange(40) % 2


class Watching:
    """Notes what it is shown, and says that all of it is of class 0."""

    def __init__(self):
        self.seen = []

    def predict(self, x):
        self.seen.append(x.clone())
        return torch.zeros(len(x), dtype=torch.int64)


def test_a_probe_says_what_it_needs_and_its_curve():
    for entry in catalog.probes().values():
        assert set(entry.constants["NEEDS"]) <= set(protocol.VERBS) and entry.constants["CURVE"]
        assert isinstance(entry.constants["IMAGES_ONLY"], bool)
        assert set(entry.parameters) <= {"model", "x", "y", "spec", "mean"}
    assert len({entry.constants["CURVE"] for entry in catalog.probes().values()}) == len(catalog.probes())


def test_corruptions_are_images_of_the_same_grey_levels_farther_off_with_each_severity():
    model = Watching()
    flags = corrupted.corrupted(model, X, Y, SPEC)
    assert flags.right.shape == (40, 7, 6) and flags.places == (0, 1, 2, 3, 4, 5) and len(set(flags.conditions)) == 7
    assert torch.equal(flags.right, (Y == 0)[:, None, None].expand(40, 7, 6))
    clean, *spoilt = model.seen
    assert torch.equal(clean, X)
    for x in spoilt:
        assert x.shape == X.shape and torch.equal(x, (x * 16).round() / 16) and x.min() >= 0 and x.max() <= 1
    gaps = torch.tensor([float((x - X).abs().mean()) for x in spoilt]).view(7, 5)
    # Each corruption but rotation and shift, which soon turn noise into other noise, goes farther with each severity.
    for condition, gap in zip(flags.conditions, gaps, strict=True):
        if condition not in ("rotation", "shift"):
            assert (gap.diff() > 0).all(), (condition, gap)
    again = Watching()
    corrupted.corrupted(again, X, Y, SPEC)
    assert all(torch.equal(a, b) for a, b in zip(model.seen, again.seen, strict=True)), "another model sees other images"


def test_blur_is_scipys():
    sigma = 0.02 * 3 * 16
    theirs = gaussian_filter(X[:, 0].numpy(), (0, sigma, sigma), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(corrupted._blurred(X, 3)[:, 0].numpy(), theirs, atol=0.01)


def test_moving_is_torchs_own_where_it_falls_on_pixels():
    none, quarter = torch.zeros(40), torch.full((40,), torch.pi / 2)
    torch.testing.assert_close(corrupted._moved(X, none, torch.zeros(40, 2)), X)
    turned = corrupted._moved(X, quarter, torch.zeros(40, 2))
    assert min((turned - X.rot90(k, (2, 3))).abs().max() for k in (1, -1)) < 1e-4
    # The grid runs from -1 to 1 over 16 pixels: 2 / 16 is one of them.
    moved = corrupted._moved(X, none, torch.tensor([2 / 16, 0]).expand(40, 2))
    torch.testing.assert_close(moved[..., :-1], X[..., 1:])
    long = X[..., :8]
    half = corrupted._moved(long, torch.full((40,), torch.pi), torch.zeros(40, 2))
    torch.testing.assert_close(half, long.flip(2, 3), atol=1e-4, rtol=0)


def test_a_rotation_of_a_long_image_does_not_shear_it():
    """A disc stays a disc."""
    rows, columns = torch.arange(32)[:, None] - 15.5, torch.arange(64) - 31.5
    disc = ((rows**2 + columns**2).sqrt() < 8).float()[None, None]
    turned = corrupted._moved(disc, torch.tensor([0.9]), torch.zeros(1, 2))
    assert (turned - disc).abs().mean() < 0.01


def test_noise_contrast_inversion_and_occlusion_are_what_they_say():
    assert float((corrupted._noisy(X, 2) - X).std()) == pytest.approx(0.16, rel=0.03)
    torch.testing.assert_close(corrupted._inverted(X, 5), 1 - X)
    flat = corrupted._flattened(X, 5)
    torch.testing.assert_close(flat.mean((1, 2, 3)), X.mean((1, 2, 3)))
    torch.testing.assert_close(flat.std((1, 2, 3)), 0.15 * X.std((1, 2, 3)))
    grey = corrupted._occluded(torch.ones(40, 3, 16, 16), 3) == 0.5
    assert (grey.flatten(1).sum(1) == 3 * round(0.35 * 16) ** 2).all() and len({str(part) for part in grey.int()}) > 10


def test_missing_pixels_are_nested_and_imputed_with_the_mean():
    model, mean = Watching(), torch.full((1, 16, 16), 2.0)
    flags = incomplete.incomplete(model, X, Y, mean)
    assert flags.conditions == ("mean imputation",) and flags.right.shape == (40, 1, 10)
    missing = [x == 2 for x in model.seen]
    for share, part, x in zip(flags.places, missing, model.seen, strict=True):
        assert float(part.float().mean()) == pytest.approx(share, abs=0.01) and torch.equal(x[~part], X[~part])
    assert all((b | ~a).all() for a, b in pairwise(missing)), "what is hidden stays hidden"


def test_a_model_that_integrates_pixels_out_is_not_given_means():
    class Exact(Watching):
        def log_joint_known(self, x, known):
            assert (x[~known] == 0).all()
            return torch.stack([known.flatten(1).sum(1).float(), torch.full((len(x),), 200.0)], 1)

    model = Exact()
    flags = incomplete.incomplete(model, X, Y, torch.zeros(1, 16, 16))
    assert flags.conditions == ("exact marginal",) and not model.seen
    # 256 known pixels outweigh 200, and 20 % fewer do on average no more.
    assert torch.equal(flags.right[:, 0, 0], Y == 0) and torch.equal(flags.right[:, 0, -1], Y == 1)


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
    flags = attacked.attacked(model, x, y)
    assert flags.right.shape == (200, 2, 6) and flags.right[:, :, 0].all()
    margin = (x @ weight - weight_sum).abs()
    for place, radius in enumerate(flags.places):
        if radius <= 0.1:  # no pixel reaches 0 or 1
            sure = (margin - radius * weight.abs().sum()).abs() > 1e-4
            for attack in range(2):
                assert torch.equal(flags.right[sure, attack, place], margin[sure] > radius * weight.abs().sum())


def test_attacks_stay_in_the_box_and_leave_the_model_as_it_was():
    seen = []
    model = Linear(torch.linspace(-1, 1, 256))
    model.predict = lambda x: seen.append(x.detach().clone()) or Linear.predict(model, x)
    model.train()
    attacked.attacked(model, X, Y)
    assert model.training and model.weight.grad is None
    for place, radius in enumerate(attacked.RADII):
        for x in seen[2 * place : 2 * place + 2]:
            assert (x - X).abs().max() <= radius + 1e-6 and x.min() >= 0 and x.max() <= 1
