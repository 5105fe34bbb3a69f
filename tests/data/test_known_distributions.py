"""Known distributions: independent computations give the values that they state, and their samples follow their densities."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from pofxy.base.data import DataSpec
from pofxy.data.known_distributions import KnownDistribution, gaussians, known_images, open_distribution

torch.set_num_threads(1)
DISTRIBUTIONS = {
    "gaussians": {"of": "gaussians"},
    "known_images": {"of": "known_images"},
    "known_images with noise": {"of": "known_images", "noise": 0.2},
}


@dataclass(frozen=True)
class Sampled:
    """A known distribution, samples x (N, ...) and y (N,) of it, and their log p(x, y), (N, K)."""

    distribution: KnownDistribution
    x: np.ndarray
    y: np.ndarray
    log_joint: np.ndarray


@pytest.fixture(scope="module")
def sampled() -> Callable[[str], Sampled]:
    """100,000 samples of a distribution, made once for all tests."""

    @functools.cache
    def make(name: str) -> Sampled:
        distribution = open_distribution(DISTRIBUTIONS[name])
        x, y = distribution.sample(100_000, np.random.default_rng(1))
        return Sampled(distribution, x, y, distribution.log_joint(torch.from_numpy(x)).numpy())

    return make


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_samples_have_the_stated_form_and_follow_the_generator(name, sampled):
    made = sampled(name)
    assert made.x.dtype == np.float32 and made.y.dtype == np.int64 and made.x.min() >= 0 and made.x.max() <= 1
    assert made.log_joint.dtype == np.float64 and made.log_joint.shape == (len(made.x), made.y.max() + 1)
    first, _ = made.distribution.sample(100, np.random.default_rng(2))
    again, _ = made.distribution.sample(100, np.random.default_rng(2))
    other, _ = made.distribution.sample(100, np.random.default_rng(3))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_ground_truth_agrees_with_monte_carlo_estimates(name, sampled):
    """Entropy, accuracy and log loss of samples, within four standard errors of the stated values."""
    made = sampled(name)
    marginal = np.logaddexp.reduce(made.log_joint, axis=1)
    truth = made.distribution.ground_truth()
    for key, values in {
        "entropy": -marginal,
        "bayes_accuracy": made.log_joint.argmax(1) == made.y,
        "bayes_log_loss": marginal - made.log_joint[np.arange(len(made.y)), made.y],
    }.items():
        error = values.std() / math.sqrt(len(values))
        assert error > 0 and abs(values.mean() - truth[key]) < 4 * error, key
    assert "noise" in name or 0.89 < truth["bayes_accuracy"] < 0.95


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_posteriors_are_calibrated(name, sampled):
    """Of the samples with p(y | x) near 0.3, a share of 0.3 has that label. This is a stronger test than accuracy."""
    made = sampled(name)
    posterior = np.exp(made.log_joint - np.logaddexp.reduce(made.log_joint, axis=1, keepdims=True))
    for k in range(posterior.shape[1]):
        for low in np.arange(0, 1, 0.1):
            inside = (posterior[:, k] >= low) & (posterior[:, k] < low + 0.1)
            if inside.sum() > 100:
                expected = posterior[inside, k]
                error = math.sqrt((expected * (1 - expected)).mean() / inside.sum()) + 1e-9
                assert abs((made.y[inside] == k).mean() - expected.mean()) < 4.5 * error


# Gaussians


def scipy_joint(points: np.ndarray) -> np.ndarray:
    """p(x, y) by SciPy's normal distribution, (N, K), with the rotation matrices written out."""
    joint = []
    for k in range(3):
        density = np.zeros(len(points))
        for j in range(2):
            angle = math.radians(gaussians.ANGLES[k][j])
            rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            covariance = rotation @ np.diag(np.square(gaussians.AXES[k][j])) @ rotation.T
            density += gaussians.WEIGHTS[k][j] * stats.multivariate_normal(gaussians.MEANS[k][j], covariance).pdf(points)
        joint.append(gaussians.PRIOR[k] * density)
    return np.stack(joint, 1)


def grid_points(side: np.ndarray) -> np.ndarray:
    """All points of a square grid, (len(side)^2, 2)."""
    return np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)


def test_the_density_agrees_with_scipy():
    points = np.random.default_rng(0).random((500, 2))
    ours = open_distribution({"of": "gaussians"}).log_joint(torch.from_numpy(points)).exp().numpy()
    np.testing.assert_allclose(ours, scipy_joint(points), rtol=1e-9, atol=1e-200)


def test_gaussians_integrate_to_one_and_the_ground_truth_agrees_with_simpsons_rule():
    """SciPy's density and Simpson's rule, on another grid than the distribution's own."""
    side = np.linspace(0, 1, 901)
    joint = scipy_joint(grid_points(side))
    marginal = joint.sum(1)

    def integral(values: np.ndarray) -> float:
        return integrate.simpson(integrate.simpson(values.reshape(901, 901), x=side), x=side)

    assert integral(marginal) == pytest.approx(1, abs=1e-9)
    truth = open_distribution({"of": "gaussians"}).ground_truth()
    log = np.log(np.maximum(joint, 1e-300))
    log_marginal = np.log(np.maximum(marginal, 1e-300))
    assert truth["entropy"] == pytest.approx(integral(-marginal * log_marginal), abs=1e-8)
    assert truth["bayes_log_loss"] == pytest.approx(integral((joint * (log_marginal[:, None] - log)).sum(1)), abs=1e-8)
    assert truth["bayes_accuracy"] == pytest.approx(integral(joint.max(1)), abs=1e-5), (
        "Simpson's rule is less exact at the kink of max"
    )


@pytest.mark.slow
def test_a_finer_grid_does_not_change_the_accuracy(monkeypatch):
    distribution = open_distribution({"of": "gaussians"})
    accuracy = distribution.ground_truth()["bayes_accuracy"]
    monkeypatch.setattr(gaussians, "GRID", 2300)
    assert distribution.ground_truth()["bayes_accuracy"] == pytest.approx(accuracy, abs=3e-7)


def test_almost_no_probability_lies_outside_the_unit_square():
    outside = 0.0
    for k in range(3):
        for j in range(2):
            angle = np.radians(gaussians.ANGLES[k][j])
            first, second = np.square(gaussians.AXES[k][j])
            for mean, share in zip(gaussians.MEANS[k][j], (np.cos(angle) ** 2, np.sin(angle) ** 2)):
                deviation = math.sqrt(first * share + second * (1 - share))
                beyond = stats.norm.cdf(-mean / deviation) + stats.norm.sf((1 - mean) / deviation)
                outside += gaussians.PRIOR[k] * gaussians.WEIGHTS[k][j] * beyond
    assert 0 < outside < 1e-9


def test_samples_of_gaussians_follow_the_density(sampled):
    made = sampled("gaussians")
    cells = 8
    fine = 50
    midpoints = (np.arange(cells * fine) + 0.5) / (cells * fine)
    joint = scipy_joint(grid_points(midpoints))
    mass = joint.reshape(cells, fine, cells, fine, 3).sum((1, 3)) / (cells * fine) ** 2  # (cells, cells, K)
    cell = np.minimum((made.x * cells).astype(int), cells - 1)
    counts = np.zeros(mass.shape)
    np.add.at(counts, (cell[:, 0], cell[:, 1], made.y), 1)
    assert_expected_counts(counts, mass * len(made.x))


def assert_expected_counts(counts: np.ndarray, expected: np.ndarray) -> None:
    """A chi-square test of counts; cells with an expected count below 20 are merged into one."""
    counts = counts.ravel()
    expected = expected.ravel()
    rare = expected < 20
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 1:
        assert counts[-1] < 10
        counts = counts[:-1]
        expected = expected[:-1]
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


# Known images


def levels_of(x: np.ndarray) -> np.ndarray:
    """Gray levels 0..16, (N, 64)."""
    return np.rint(np.asarray(x) * 16).astype(int).reshape(len(x), -1)


def images_of(q: np.ndarray) -> torch.Tensor:
    """Images with these gray levels, (N, 64) -> (N, 1, 8, 8)."""
    return torch.from_numpy(np.asarray(q).reshape(-1, 1, 8, 8) / 16).float()


def test_known_images_sum_to_one():
    """Images that show a bitmap: the bands sum to one by themselves. All other images: their number times the mass of one."""
    distribution = open_distribution({"of": "known_images", "noise": 0.03})
    dark = np.array(known_images.DARK)
    bright = np.array(known_images.BRIGHT)
    assert dark.sum() == pytest.approx(1, abs=1e-12) and bright.sum() == pytest.approx(1, abs=1e-12)
    assert len(dark) <= known_images.MIDDLE and 17 - len(bright) > known_images.MIDDLE
    q = np.where(distribution.bitmaps, 9 + bright.argmax(), dark.argmax())
    pixels = np.where(distribution.bitmaps, math.log(bright.max()), math.log(dark.max())).sum(1)
    mass_of_bitmaps = np.exp(distribution.log_joint(images_of(q)).logsumexp(1).numpy() - pixels)
    assert mass_of_bitmaps.sum() == pytest.approx(0.97, abs=1e-12)
    number = 17**64 - sum(6 ** (64 - k) * 8**k for k in distribution.bitmaps.sum(1).tolist())
    other = distribution.log_joint(images_of(np.full((1, 64), 7))).logsumexp(1)
    assert math.exp(float(other) + math.log(number)) == pytest.approx(0.03, abs=1e-12)


def test_each_pixel_follows_the_probabilities_of_its_band():
    distribution = open_distribution({"of": "known_images"})
    q = np.where(distribution.bitmaps[:1], 9, 0).repeat(17, 0)
    dark = np.flatnonzero(~distribution.bitmaps[0])[0]
    bright = np.flatnonzero(distribution.bitmaps[0])[0]
    for pixel, start, band in ((dark, 0, known_images.DARK), (bright, 9, known_images.BRIGHT)):
        varied = q.copy()
        varied[:, pixel] = np.arange(17)
        mass = distribution.log_joint(images_of(varied)).logsumexp(1).exp().numpy()[start : start + len(band)]
        np.testing.assert_allclose(mass / mass.sum(), band, rtol=1e-9)


def test_the_joint_agrees_with_a_plain_loop():
    """The loop compares each image with every rectangle, outline and cross at every position."""
    distribution = open_distribution({"of": "known_images", "noise": 0.2})
    x, _ = distribution.sample(60, np.random.default_rng(5))
    number = 17**64 - sum(6 ** (64 - k) * 8**k for k in distribution.bitmaps.sum(1).tolist())
    for image, actual in zip(levels_of(x).reshape(-1, 8, 8), distribution.log_joint(torch.from_numpy(x)).exp().numpy()):
        expected = np.zeros(4)
        for k, (name, prior) in enumerate(known_images.CLASSES.items()):
            weights = known_images.SHAPES[name]
            for (form, height, width), weight in weights.items():
                for top in range(9 - height):
                    for left in range(9 - width):
                        on = np.zeros((8, 8), bool)
                        on[top : top + height, left : left + width] = True
                        if form == "outline":
                            on[top + 1 : top + height - 1, left + 1 : left + width - 1] = False
                        elif form == "cross":
                            on[:] = False
                            on[top + height // 2, left : left + width] = on[top : top + height, left + width // 2] = True
                        if (image[on] >= 9).all() and (image[~on] <= 5).all():
                            pixels = np.prod([known_images.BRIGHT[q - 9] for q in image[on]])
                            pixels *= np.prod([known_images.DARK[q] for q in image[~on]])
                            n_positions = (9 - height) * (9 - width)
                            expected[k] += 0.8 * prior * weight / sum(weights.values()) / n_positions * pixels
        if not expected.any():
            expected = 0.2 * np.array(list(known_images.CLASSES.values())) / number
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_bitmaps_and_levels_are_sampled_with_their_probabilities(sampled):
    made = sampled("known_images")
    distribution = made.distribution
    q = levels_of(made.x)
    row_of = {bits.tobytes(): row for row, bits in enumerate(distribution.bitmaps)}
    assert len(row_of) == len(distribution.bitmaps) == 492
    counts = np.zeros(distribution.joint.shape)
    np.add.at(counts, ([row_of[bits.tobytes()] for bits in q > 7], made.y), 1)
    assert_expected_counts(counts, distribution.joint * len(made.x))
    assert not counts[distribution.joint == 0].any()
    assert (distribution.joint > 0).sum() > len(distribution.joint), "some bitmaps belong to several classes"
    for start, band, inside in ((0, known_images.DARK, q <= 7), (9, known_images.BRIGHT, q > 7)):
        in_band = np.bincount(q[inside], minlength=17)[start : start + len(band)]
        assert_expected_counts(in_band, np.array(band) * inside.sum())


def test_noise_is_uniform_over_all_other_images_and_independent_of_the_class(sampled):
    made = sampled("known_images with noise")
    q = levels_of(made.x)
    other = (q[:, :, None] == np.array([6, 7, 8])).any((1, 2))  # finds all but one in 10^5 of the uniform images
    assert other.mean() == pytest.approx(0.2, abs=0.006)
    assert_expected_counts(np.bincount(q[other].ravel(), minlength=17)[[0, 5, 9, 16]], np.full(4, q[other].size / 17))
    assert_expected_counts(np.bincount(made.y[other]), made.distribution.prior * other.sum())
    posterior = np.exp(made.log_joint[other] - np.logaddexp.reduce(made.log_joint[other], axis=1, keepdims=True))
    np.testing.assert_allclose(posterior, np.broadcast_to(made.distribution.prior, posterior.shape), rtol=1e-9)


@pytest.mark.parametrize("noise", [0, 1, -0.1])
def test_a_weight_of_noise_outside_0_to_1_is_refused(noise):
    with pytest.raises(ValueError, match=r"known_images: noise .* between 0 and 1"):
        open_distribution({"of": "known_images", "noise": noise})


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 17), ((3, 32, 32), 256), ((1, 28, 28), 256), ((1, 9, 13), 5)])
def test_shapes_take_the_format_of_any_data_set_of_images(shape, levels):
    spec = DataSpec("other", shape, 10, levels, tuple("0123456789"))
    x = known_images.shapes(40, spec, np.random.default_rng(0))
    assert x.shape == (40, *shape) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    q = x * (levels - 1)
    torch.testing.assert_close(q, q.round(), atol=1e-4, rtol=0)
    assert torch.equal(x, x[:, :1].expand_as(x)) and len(x.unique(dim=0)) == 40
    small = open_distribution({"of": "known_images"}).sample(40, np.random.default_rng(0))[0]
    height = shape[1] / 8
    width = shape[2] / 8
    corner = x[:, 0, math.ceil(5 * height), math.ceil(3 * width)].numpy()
    np.testing.assert_allclose(corner, small[:, 0, 5, 3], atol=0.5 / (levels - 1) + 1e-6)
