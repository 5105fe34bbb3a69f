"""Laws: what they state is what independent computations find, and what they draw has the law that they state."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from pofxy.base.data import DataSpec
from pofxy.data.known_distributions import gaussians, known_images, open_distribution

torch.set_num_threads(1)
LAWS = ["gaussians", "known_images", "known_images with noise"]


@pytest.fixture(scope="module")
def drawn():
    """Each law once: (law, x, y, log p(x, y)) of 100,000 draws."""
    kept = {}

    def get(name):
        if name not in kept:
            law = open_distribution({"of": "known_images", "noise": 0.2} if "noise" in name else {"of": name})
            x, y = law.draw(100_000, np.random.default_rng(1))
            kept[name] = law, x, y, law.log_joint(torch.from_numpy(x)).numpy()
        return kept[name]

    return get


@pytest.mark.parametrize("name", LAWS)
def test_draws_are_of_the_stated_form_and_the_generator_decides(name, drawn):
    law, x, y, joint = drawn(name)
    assert x.dtype == np.float32 and y.dtype == np.int64 and x.min() >= 0 and x.max() <= 1
    assert joint.dtype == np.float64 and joint.shape == (len(x), y.max() + 1)
    again, other = law.draw(100, np.random.default_rng(2)), law.draw(100, np.random.default_rng(3))
    assert np.array_equal(again[0], law.draw(100, np.random.default_rng(2))[0]) and not np.array_equal(again[0], other[0])


@pytest.mark.parametrize("name", LAWS)
def test_the_truth_is_what_many_draws_say(name, drawn):
    """Entropy, accuracy and log-loss by Monte Carlo, within four standard errors: draws and figures are made independently."""
    law, _, y, joint = drawn(name)
    marginal = np.logaddexp.reduce(joint, axis=1)
    truth = law.truth()
    for key, values in {
        "entropy": -marginal,
        "bayes_accuracy": joint.argmax(1) == y,
        "bayes_log_loss": marginal - joint[np.arange(len(y)), y],
    }.items():
        error = values.std() / math.sqrt(len(values))
        assert error > 0 and abs(values.mean() - truth[key]) < 4 * error, key
    assert "noise" in name or 0.89 < truth["bayes_accuracy"] < 0.95


@pytest.mark.parametrize("name", LAWS)
def test_posteriors_are_calibrated(name, drawn):
    """Of the draws whose p(y | x) is near 0.3, 0.3 have that label: no accuracy says so much."""
    _, _, y, joint = drawn(name)
    posterior = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    for k in range(posterior.shape[1]):
        for low in np.arange(0, 1, 0.1):
            inside = (posterior[:, k] >= low) & (posterior[:, k] < low + 0.1)
            if inside.sum() > 100:
                expected = posterior[inside, k]
                error = math.sqrt((expected * (1 - expected)).mean() / inside.sum()) + 1e-9
                assert abs((y[inside] == k).mean() - expected.mean()) < 4.5 * error


# Gaussians


def by_scipy(points):
    """p(x, y) by SciPy's normal law, (N, K): the ellipses turned by hand."""
    found = []
    for k in range(3):
        density = 0
        for j in range(2):
            angle = math.radians(gaussians.ANGLES[k][j])
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            covariance = turn @ np.diag(np.square(gaussians.AXES[k][j])) @ turn.T
            density += gaussians.WEIGHTS[k][j] * stats.multivariate_normal(gaussians.MEANS[k][j], covariance).pdf(points)
        found.append(gaussians.PRIOR[k] * density)
    return np.stack(found, 1)


def test_the_density_is_scipys():
    points = np.random.default_rng(0).random((500, 2))
    ours = open_distribution({"of": "gaussians"}).log_joint(torch.from_numpy(points)).exp().numpy()
    np.testing.assert_allclose(ours, by_scipy(points), rtol=1e-9, atol=1e-200)


def test_gaussians_integrate_to_one_and_their_figures_are_simpsons():
    """SciPy's density and Simpson's rule on another grid than the law's own."""
    side = np.linspace(0, 1, 901)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    joint = by_scipy(points)
    marginal = joint.sum(1)

    def integral(values):
        return integrate.simpson(integrate.simpson(values.reshape(901, 901), x=side), x=side)

    assert integral(marginal) == pytest.approx(1, abs=1e-9)
    truth = open_distribution({"of": "gaussians"}).truth()
    log = np.log(np.maximum(joint, 1e-300))
    log_marginal = np.log(np.maximum(marginal, 1e-300))
    assert truth["entropy"] == pytest.approx(integral(-marginal * log_marginal), abs=1e-8)
    assert truth["bayes_log_loss"] == pytest.approx(integral((joint * (log_marginal[:, None] - log)).sum(1)), abs=1e-8)
    assert truth["bayes_accuracy"] == pytest.approx(integral(joint.max(1)), abs=1e-5), "a kink: Simpson's rule is no finer"


def test_the_accuracy_no_longer_moves_with_the_grid(monkeypatch):
    law = open_distribution({"of": "gaussians"})
    accuracy = law.truth()["bayes_accuracy"]
    monkeypatch.setattr(gaussians, "GRID", 2300)
    assert law.truth()["bayes_accuracy"] == pytest.approx(accuracy, abs=3e-7)


def test_next_to_nothing_lies_beyond_the_border():
    beyond = 0.0
    for k in range(3):
        for j in range(2):
            turn = np.radians(gaussians.ANGLES[k][j])
            first, second = np.square(gaussians.AXES[k][j])
            for mean, share in zip(gaussians.MEANS[k][j], (np.cos(turn) ** 2, np.sin(turn) ** 2)):
                width = math.sqrt(first * share + second * (1 - share))
                beyond += (
                    gaussians.PRIOR[k]
                    * gaussians.WEIGHTS[k][j]
                    * (stats.norm.cdf(-mean / width) + stats.norm.sf((1 - mean) / width))
                )
    assert 0 < beyond < 1e-9


def test_gaussians_are_drawn_as_often_as_the_density_says(drawn):
    _, x, y, _ = drawn("gaussians")
    cells, fine = 8, 50
    middle = (np.arange(cells * fine) + 0.5) / (cells * fine)
    points = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2)
    mass = by_scipy(points).reshape(cells, fine, cells, fine, 3).sum((1, 3)) / (cells * fine) ** 2  # (cells, cells, K)
    place = np.minimum((x * cells).astype(int), cells - 1)
    counts = np.zeros(mass.shape)
    np.add.at(counts, (place[:, 0], place[:, 1], y), 1)
    chi_square(counts, mass * len(x))


def chi_square(counts, expected):
    """Asserts that counts have these expectations; cells of few are taken together."""
    counts, expected = counts.ravel(), expected.ravel()
    rare = expected < 20
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 1:
        assert counts[-1] < 10
        counts, expected = counts[:-1], expected[:-1]
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


# Known images


def levels_of(x):
    return np.rint(np.asarray(x) * 16).astype(int).reshape(len(x), -1)


def grey(x):
    """LabelledData of these levels, (N, 64) -> (N, 1, 8, 8)."""
    return torch.from_numpy(np.asarray(x).reshape(-1, 1, 8, 8) / 16).float()


def test_known_images_sum_to_one():
    """All bitmaps with all their pixels: the bands sum to one by themselves. All other images, counted: the rest."""
    law = open_distribution({"of": "known_images", "noise": 0.03})
    dark, bright = np.array(known_images.DARK), np.array(known_images.BRIGHT)
    assert dark.sum() == pytest.approx(1, abs=1e-12) and bright.sum() == pytest.approx(1, abs=1e-12)
    assert len(dark) <= known_images.MIDDLE and 17 - len(bright) > known_images.MIDDLE
    q = np.where(law.bitmaps, 9 + bright.argmax(), dark.argmax())
    pixels = np.where(law.bitmaps, math.log(bright.max()), math.log(dark.max())).sum(1)
    of_bitmaps = np.exp(law.log_joint(grey(q)).logsumexp(1).numpy() - pixels)
    assert of_bitmaps.sum() == pytest.approx(0.97, abs=1e-12)
    number = 17**64 - sum(6 ** (64 - k) * 8**k for k in law.bitmaps.sum(1).tolist())
    other = law.log_joint(grey(np.full((1, 64), 7))).logsumexp(1)
    assert math.exp(float(other) + math.log(number)) == pytest.approx(0.03, abs=1e-12)


def test_each_pixel_has_the_mass_that_its_band_gives_it():
    law = open_distribution({"of": "known_images"})
    q = np.where(law.bitmaps[:1], 9, 0).repeat(17, 0)
    dark, bright = np.flatnonzero(~law.bitmaps[0])[0], np.flatnonzero(law.bitmaps[0])[0]
    for place, start, band in ((dark, 0, known_images.DARK), (bright, 9, known_images.BRIGHT)):
        varied = q.copy()
        varied[:, place] = np.arange(17)
        mass = law.log_joint(grey(varied)).logsumexp(1).exp().numpy()[start : start + len(band)]
        np.testing.assert_allclose(mass / mass.sum(), band, rtol=1e-9)


def test_the_joint_is_that_of_a_plain_loop():
    """Rectangles, outlines and crosses laid over each image, one after the other."""
    law = open_distribution({"of": "known_images", "noise": 0.2})
    x, _ = law.draw(60, np.random.default_rng(5))
    number = 17**64 - sum(6 ** (64 - k) * 8**k for k in law.bitmaps.sum(1).tolist())
    for image, found in zip(levels_of(x).reshape(-1, 8, 8), law.log_joint(torch.from_numpy(x)).exp().numpy()):
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
                            places = (9 - height) * (9 - width)
                            expected[k] += 0.8 * prior * weight / sum(weights.values()) / places * pixels
        if not expected.any():
            expected = 0.2 * np.array(list(known_images.CLASSES.values())) / number
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_bitmaps_and_levels_are_drawn_as_often_as_the_law_says(drawn):
    law, x, y, _ = drawn("known_images")
    q = levels_of(x)
    codes = {bits.tobytes(): row for row, bits in enumerate(law.bitmaps)}
    assert len(codes) == len(law.bitmaps) == 492
    counts = np.zeros(law.joint.shape)
    np.add.at(counts, ([codes[bits.tobytes()] for bits in q > 7], y), 1)
    chi_square(counts, law.joint * len(x))
    assert not counts[law.joint == 0].any() and (law.joint > 0).sum() > len(law.joint), "some bitmaps are of several classes"
    for start, band, inside in ((0, known_images.DARK, q <= 7), (9, known_images.BRIGHT, q > 7)):
        found = np.bincount(q[inside], minlength=17)[start : start + len(band)]
        chi_square(found, np.array(band) * inside.sum())


def test_noise_is_every_other_image_and_says_nothing_of_the_class(drawn):
    law, x, y, joint = drawn("known_images with noise")
    q = levels_of(x)
    other = (q[:, :, None] == np.array([6, 7, 8])).any((1, 2))  # all but one in 10^5 of the uniform images
    assert other.mean() == pytest.approx(0.2, abs=0.006)
    chi_square(np.bincount(q[other].ravel(), minlength=17)[[0, 5, 9, 16]], np.full(4, q[other].size / 17))
    chi_square(np.bincount(y[other]), law.prior * other.sum())
    posterior = np.exp(joint[other] - np.logaddexp.reduce(joint[other], axis=1, keepdims=True))
    np.testing.assert_allclose(posterior, np.broadcast_to(law.prior, posterior.shape), rtol=1e-9)


@pytest.mark.parametrize("noise", [0, 1, -0.1])
def test_a_weight_of_noise_that_is_none_is_refused(noise):
    with pytest.raises(ValueError, match=r"known_images: noise .* between 0 and 1"):
        open_distribution({"of": "known_images", "noise": noise})


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 17), ((3, 32, 32), 256), ((1, 28, 28), 256), ((1, 9, 13), 5)])
def test_shapes_fit_any_data_set_of_images(shape, levels):
    spec = DataSpec("other", shape, 10, levels, tuple("0123456789"))
    x = known_images.shapes(40, spec, np.random.default_rng(0))
    assert x.shape == (40, *shape) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    q = x * (levels - 1)
    torch.testing.assert_close(q, q.round(), atol=1e-4, rtol=0)
    assert torch.equal(x, x[:, :1].expand_as(x)) and len(x.unique(dim=0)) == 40
    small = open_distribution({"of": "known_images"}).draw(40, np.random.default_rng(0))[0]
    height, width = shape[1] / 8, shape[2] / 8
    corner = x[:, 0, math.ceil(5 * height), math.ceil(3 * width)].numpy()
    np.testing.assert_allclose(corner, small[:, 0, 5, 3], atol=0.5 / (levels - 1) + 1e-6)
