"""Metrics of samples against independent implementations, against simulation, and against closed forms."""

import importlib
import math
import subprocess
import sys
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from conftest import ROOT
from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation import frechet
from pofxy.evaluation.intervals import Z95, measure, wilson
from pofxy.evaluation.metrics import frechet_distance_infinity as infinity
from pofxy.evaluation.metrics.authenticity import authenticity
from pofxy.evaluation.metrics.brightness import brightness
from pofxy.evaluation.metrics.class_entropy import class_entropy
from pofxy.evaluation.metrics.confident_samples import confident_samples
from pofxy.evaluation.metrics.coverage import coverage
from pofxy.evaluation.metrics.density import density
from pofxy.evaluation.metrics.distinct_classes import distinct_classes
from pofxy.evaluation.metrics.frechet_distance import frechet_distance
from pofxy.evaluation.metrics.frechet_distance_infinity import frechet_distance_infinity
from pofxy.evaluation.metrics.inception_distance import inception_distance
from pofxy.evaluation.metrics.inception_score import inception_score
from pofxy.evaluation.metrics.kernel_distance import kernel_distance
from pofxy.evaluation.metrics.label_agreement import label_agreement
from pofxy.evaluation.metrics.memorization_p_value import memorization_p_value
from pofxy.evaluation.metrics.ndb import ndb
from pofxy.evaluation.metrics.nearest_neighbor_ratio import nearest_neighbor_ratio
from pofxy.evaluation.metrics.precision import precision
from pofxy.evaluation.metrics.recall import recall
from pofxy.evaluation.metrics.sharpness import sharpness
from pofxy.evaluation.metrics.train_on_synthetic import train_on_synthetic
from pofxy.evaluation.metrics.train_on_union import train_on_union
from pofxy.evaluation.metrics.two_sample_test import two_sample_test
from pofxy.evaluation.neighbors import balls, nearest
from pofxy.study import catalog

METRICS = catalog.metrics()


@pytest.fixture
def torch_fidelity():
    """Imports a module of torch-fidelity by name, after torchvision, which it imports."""
    import_torchvision()
    return lambda name: importlib.import_module(f"torch_fidelity.{name}")


@pytest.fixture
def fid(torch_fidelity):
    """torch-fidelity's Fréchet Inception distance between two sets of features, (n, Z) and (N, Z)."""
    module = torch_fidelity("metric_fid")

    def distance(samples, test):
        statistics = [module.fid_features_to_statistics(torch.from_numpy(side).double()) for side in (samples, test)]
        return module.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]

    return distance


@pytest.fixture
def features():
    """Makes features of samples and of test images, (n, width) each, like those of a net: rectified, correlated, not centered."""

    def make(n=600, width=64, shift=0.1, seed=0):
        rng = np.random.default_rng(seed)
        mixing = rng.normal(size=(width, width)) / math.sqrt(width)
        samples, test = (np.maximum(rng.normal(size=(n, width)) @ mixing + 0.5, 0) for _ in range(2))
        return (samples + shift).astype(np.float32), test.astype(np.float32)

    return make


# --- neighbors ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1000], ids=["near 0", "far from 0"])
@pytest.mark.parametrize("skip_self", [False, True], ids=["of other points", "of the points themselves"])
def test_nearest_neighbors_are_those_of_scikit_learn(monkeypatch, offset, skip_self):
    from sklearn.neighbors import NearestNeighbors

    monkeypatch.setattr("pofxy.evaluation.neighbors.BLOCK", 64)  # several blocks, the last of them not full
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(333, 20)) + offset).astype(np.float32)
    queries = points if skip_self else (rng.normal(size=(150, 20)) + offset).astype(np.float32)
    search = NearestNeighbors(n_neighbors=8, algorithm="brute").fit(points.astype(float) - offset)
    expected_distances, expected_indices = search.kneighbors(None if skip_self else queries.astype(float) - offset, 7)
    distances, indices = nearest(torch.from_numpy(queries), torch.from_numpy(points), 7, skip_self)
    assert distances.numpy() == pytest.approx(expected_distances, rel=1e-6)
    assert (indices.numpy() == expected_indices).all()


def test_a_copy_is_at_distance_0_and_too_few_points_are_refused():
    points = torch.rand(50, 30, generator=torch.Generator().manual_seed(0)) + 100
    distances, indices = nearest(points[[3, 7]], points, 2)
    assert distances[:, 0].tolist() == [0, 0] and indices[:, 0].tolist() == [3, 7] and (distances[:, 1] > 0).all()
    with_copy = torch.cat([points, points[:1]])
    distances, indices = nearest(with_copy, with_copy, 1, skip_self=True)
    assert distances[0, 0] == distances[50, 0] == 0 and indices[0, 0] == 50 and indices[50, 0] == 0
    with pytest.raises(ValueError, match="50 nearest neighbors were requested, of 49 points"):
        nearest(points, points, 50, skip_self=True)


@pytest.mark.parametrize("block", [100, 4096])
def test_metrics_of_balls_are_those_of_prdc(monkeypatch, features, block):
    from prdc import compute_prdc

    monkeypatch.setattr("pofxy.evaluation.neighbors.BLOCK", block)
    samples, test = features(n=700)
    samples = samples[:550]
    parts = balls(torch.from_numpy(test), torch.from_numpy(samples))
    sample_test_balls, test_sample_balls, test_own_ball = (part.numpy() for part in parts)
    scores = {
        "precision": precision(sample_test_balls).mean(),
        "density": density(sample_test_balls).mean(),
        "recall": recall(test_sample_balls).mean(),
        "coverage": coverage(test_own_ball).mean(),
    }
    assert scores == pytest.approx(compute_prdc(test.astype(float), samples.astype(float), 5), rel=1e-12)
    assert 0.05 < scores["recall"] < 0.95 and 0.05 < scores["precision"] < 0.95, "neither trivial"


def test_precision_and_recall_are_those_of_torch_fidelity(features, torch_fidelity):
    samples, test = (torch.from_numpy(side) for side in features())
    options = {"prc_neighborhood": 5, "prc_batch_size": 10_000, "save_cpu_ram": False, "verbose": False}
    expected = torch_fidelity("metric_prc").prc_features_to_metric(samples, test, **options)
    sample_test_balls, test_sample_balls, _ = balls(test, samples)
    assert precision(sample_test_balls.numpy()).mean() == pytest.approx(expected["precision"], rel=1e-6)
    assert recall(test_sample_balls.numpy()).mean() == pytest.approx(expected["recall"], rel=1e-6)


def test_a_ball_does_not_contain_its_border_and_a_single_point_has_no_ball():
    line = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    on_border = torch.tensor([[3.0], [2.5], [2.5]])  # the ball around 2 reaches to 1, so 3 is on its border
    in_test, in_samples, own = balls(line, on_border, k=1)
    assert in_test.tolist() == [1, 2, 2], "in the balls of 2 and of 10, which reaches to 2: 3 is in that of 10 alone"
    assert own.tolist() == [False, False, True, True]
    assert in_samples.tolist() == [0, 0, 0, 0], "2.5 occurs twice: its nearest neighbor is at 0, and that of 3 at one half"
    collapsed = torch.zeros(20, 3)
    assert [part.sum().item() for part in balls(collapsed, collapsed)] == [0, 0, 0]


def test_a_ball_contains_the_copies_of_its_center_and_of_four_neighbors(monkeypatch, features):
    """The fifth neighbor is on the border itself, where float32 alone would decide by chance."""
    test = torch.from_numpy(features(n=500)[1])
    in_test, in_samples, own = balls(test, test.clone())
    assert in_test.sum() == in_samples.sum() == 5 * 500 and own.all()
    monkeypatch.setattr("pofxy.evaluation.neighbors.ROUNDING", 0)
    assert balls(test, test.clone())[0].sum() != 5 * 500


@pytest.mark.slow
def test_memory_stays_far_below_a_matrix_of_all_pairs():
    """In its own process, as the peak is measured: one matrix of 6,000 x 6,000 would be 144 MB."""
    program = """
import resource, torch
from pofxy.evaluation.metrics.kernel_distance import kernel_distance
from pofxy.evaluation.neighbors import balls
torch.set_num_threads(1)
a, b = torch.randn(2, 6000, 256)
balls(a[:2100], b[:2100]); kernel_distance(a[:2100].numpy(), b[:2100].numpy())  # libraries are loaded, first blocks held
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
balls(a, b); kernel_distance(a.numpy(), b.numpy())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(process.stdout) < 6000 * 6000 * 4 / 3


# --- distances between distributions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [400, 50], ids=["more rows than features", "fewer"])
def test_moments_are_those_of_numpy_and_the_distance_that_of_torch_fidelity(features, fid, rows):
    samples, test = features(n=rows)
    test = np.concatenate([test, np.zeros((3, 64), np.float32)])
    test[:, 5] = samples[:, 5] = 0.25  # a constant feature
    mean, covariance = frechet.moments(samples)
    assert mean == pytest.approx(samples.astype(float).mean(0), rel=1e-12) and mean.dtype == covariance.dtype == float
    assert covariance == pytest.approx(np.cov(samples.astype(float), rowvar=False), rel=1e-12, abs=1e-15)
    for metric in (frechet_distance, inception_distance):
        assert metric(samples, test)[0] == pytest.approx(fid(samples, test), rel=1e-4)


def test_frechet_distance_at_infinity_is_that_of_torch_fidelity_on_the_line_of_scipy(features, fid):
    from scipy.stats import linregress

    samples, test = features(n=601)
    sizes, values = infinity.distances(samples, test)
    assert sizes.tolist() == [601, *[301, 300] * 3]
    # The same splits, drawn again in the same order.
    rng = np.random.default_rng(0)
    subsets = [(np.arange(601), np.arange(601))]
    for _ in range(3):
        sample_order = rng.permutation(601)
        test_order = rng.permutation(601)
        subsets += [(sample_order[:301], test_order[:301]), (sample_order[301:], test_order[301:])]
    expected = [fid(samples[a], test[b]) for a, b in subsets]
    assert values == pytest.approx(expected, rel=1e-4)
    line = linregress([1 / len(a) for a, _ in subsets], expected)
    assert frechet_distance_infinity(samples, test)[0] == pytest.approx(line.intercept, rel=1e-3)


def test_frechet_distance_at_infinity_finds_the_distance_of_two_gaussians():
    """N(0, I) and N(.1, 1.44 I) in 32 dimensions: 32 (.1^2 + .2^2) = 1.6, and the plain distance is half as large again."""
    rng = np.random.default_rng(1)
    pairs = [(0.1 + 1.2 * rng.normal(size=(400, 32)), rng.normal(size=(400, 32))) for _ in range(60)]
    plain = np.array([frechet_distance(*pair)[0] for pair in pairs])
    values, errors = np.array([frechet_distance_infinity(*pair) for pair in pairs]).T
    assert plain.mean() - 1.6 > 0.7
    assert abs(values.mean() - 1.6) < 0.06
    assert 0.8 < errors.mean() / values.std(ddof=1) < 1.4
    assert (abs(values - 1.6) < Z95 * errors).mean() > 0.88


def test_the_error_of_a_frechet_distance_is_that_of_simulation():
    rng = np.random.default_rng(2)
    width = 16
    for shift in (0.5, 0.0):
        mixing = rng.normal(size=(width, width)) / 4
        pairs = [(rng.normal(size=(300, width)) @ mixing + shift, rng.normal(size=(300, width)) @ mixing) for _ in range(80)]
        values, errors = np.array([frechet.frechet_with_error(*pair) for pair in pairs]).T
        ratio = errors.mean() / values.std(ddof=1)
        assert 0.8 < ratio < (1.25 if shift else 1.8), "too large where the distributions agree, never too small"


def test_kernel_distance_is_that_of_torch_fidelity_with_one_subset_of_all_rows(monkeypatch, features, torch_fidelity):
    monkeypatch.setattr("pofxy.evaluation.metrics.kernel_distance.BLOCK", 128)
    samples, test = features()
    options = {"kid_subsets": 1, "kid_subset_size": 600, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1, "verbose": False, "rng_seed": 0}
    sides = torch.from_numpy(samples).double(), torch.from_numpy(test).double()
    expected = torch_fidelity("metric_kid").kid_features_to_metric(*sides, **options)["kernel_inception_distance_mean"]
    value, error = kernel_distance(samples, test)
    assert value == pytest.approx(expected, rel=1e-5) and 0 < error < value


@pytest.mark.parametrize("offset", [0, 100, 1e4, 1e6])
def test_kernel_distance_is_right_far_from_0(offset):
    rng = np.random.default_rng(0)
    samples, test = ((2 * rng.normal(size=(n, 64)) + offset + shift).astype(np.float32) for n, shift in ((150, 0.2), (130, 0)))

    def kernel(a, b):  # in extended precision
        return (a.astype(np.longdouble) @ b.astype(np.longdouble).T / 64 + 1) ** 3

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(samples, samples), kernel(test, test))]
    value, error = kernel_distance(samples, test)
    assert value == pytest.approx(float(sum(within) - 2 * kernel(samples, test).mean()), rel=1e-5)
    assert 0 < error < value


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_distances_of_features_far_from_0_are_those_near_0(features, offset):
    """Multiples of 1/64 are exact in single precision up to 2^17, so that the offset alone makes the difference."""
    near = [np.round(64 * side) / 64 for side in features(n=300)]
    far = [(side + np.float32(offset)).astype(np.float32) for side in near]
    assert all((a - np.float32(offset) == b).all() for a, b in zip(far, near))
    for metric in (frechet_distance, frechet_distance_infinity):
        assert metric(*far) == pytest.approx(metric(*near), rel=1e-6)
    counts = [balls(*(torch.from_numpy(side) for side in sides)) for sides in (near, far)]
    assert all(torch.equal(a, b) for a, b in zip(*counts))
    assert (two_sample_test(*far) == two_sample_test(*near)).mean() > 0.98


@pytest.mark.parametrize("shift", [0, 0.3])
def test_the_error_of_a_kernel_distance_is_that_of_simulation(shift):
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(150, 8)) + shift, rng.normal(size=(200, 8))) for _ in range(300)]
    values, errors = np.array([kernel_distance(*pair) for pair in pairs]).T
    assert 0.85 < errors.mean() / values.std(ddof=1) < 1.25
    if shift == 0:
        assert abs(values.mean()) < 3 * values.std() / math.sqrt(300), "unbiased"
        assert (values < 0).any()


def test_the_error_of_a_kernel_distance_is_hoeffdings_decomposition_written_out(features):
    """The same variances from whole matrices, centered in both directions."""
    samples, test = features(n=40, width=8, shift=0.3)
    s = samples.astype(float)
    t = test.astype(float)
    mean = np.concatenate([s, t]).mean(0)

    def kernel(a, b):
        """The kernel without what it has of one row alone, which cancels in the distance."""
        k, to_mean, of_mean = ((x @ y.T / 8 + 1) ** 3 for x, y in ((a, b), (a, mean[None]), (mean[None], b)))
        return k - to_mean - of_mean + (mean @ mean / 8 + 1) ** 3

    k_ss, k_tt, k_st = kernel(s, s), kernel(t, t), kernel(s, t)
    off = ~np.eye(40, dtype=bool)
    row_s, row_t = (np.where(off, k, 0).sum(1) / 39 for k in (k_ss, k_tt))
    own_ss = (k_ss[off] ** 2).mean() - 2 * row_s.var() - row_s.mean() ** 2
    own_tt = (k_tt[off] ** 2).mean() - 2 * row_t.var() - row_t.mean() ** 2
    own_st = (k_st - k_st.mean(1, keepdims=True) - k_st.mean(0) + k_st.mean()).var()
    first_s = (row_s - k_st.mean(1)).var(ddof=1) - own_ss / 39 - own_st / 40
    first_t = (row_t - k_st.mean(0)).var(ddof=1) - own_tt / 39 - own_st / 40
    variance = 4 * (max(first_s, 0) + max(first_t, 0)) / 40 + 2 * (own_ss + own_tt) / (40 * 39) + 4 * own_st / 1600
    assert kernel_distance(samples, test)[1] == pytest.approx(math.sqrt(variance), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "lowest", "highest"),
    [("none", 0.43, 0.57), ("shift", 0.8, 1), ("scale", 0.75, 1), ("one feature", 0.7, 1)],
)
def test_a_two_sample_test_detects_a_difference_and_only_that(change, lowest, highest):
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 360, 64)) @ (rng.normal(size=(64, 64)) / 8)
    if change == "shift":
        a += 0.3
    if change == "scale":
        a *= 1.4
    if change == "one feature":
        a[:, 0] += 3
    correct = two_sample_test(a, b)
    assert correct.shape == (720,) and set(correct) <= {0, 1}
    assert lowest < correct.mean() < highest
    assert (correct == two_sample_test(a, b)).all(), "the same at each call"


def test_a_two_sample_test_of_one_distribution_is_one_half_within_its_interval():
    rng = np.random.default_rng(5)
    values = np.array([two_sample_test(*rng.normal(size=(2, 300, 16))).mean() for _ in range(12)])
    error = math.sqrt(0.25 / 600)
    assert abs(values.mean() - 0.5) < 3 * error / math.sqrt(12) and (abs(values - 0.5) < 2.5 * error).mean() > 0.8
    constant = np.ones((100, 4))
    assert two_sample_test(constant, constant).mean() == 0.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("collapsed", ["samples", "both"])
def test_samples_that_are_all_the_same_have_finite_scores(features, collapsed):
    _, test = features(n=120, width=8, seed=10)
    samples = np.repeat(test[:1], 100, 0)
    test = samples if collapsed == "both" else test
    for metric in (frechet_distance, frechet_distance_infinity, inception_distance, kernel_distance):
        value, error = metric(samples, test)
        assert np.isfinite([value, error]).all() and (abs(value) < 1e-6 if collapsed == "both" else value > error)
    assert two_sample_test(samples, test).mean() == (0.5 if collapsed == "both" else pytest.approx(1, abs=0.05))
    in_test, in_samples, own = balls(torch.from_numpy(test), torch.from_numpy(samples))
    assert in_samples.sum() == 0 and own.float().mean() < 0.3
    assert (in_test == own.sum()).all()


# --- classes, pixels ----------------------------------------------------------------------------------------------------------


def test_inception_score_is_that_of_torch_fidelity(torch_fidelity):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(500, 10))
    expected = torch_fidelity("metric_isc").isc_features_to_metric(torch.from_numpy(logits), splits=1)["inception_score_mean"]
    assert inception_score(torch.from_numpy(logits).softmax(1).numpy()) == pytest.approx(expected, rel=1e-9)
    assert inception_score(np.eye(10, dtype=np.float32)) == pytest.approx(10)
    assert inception_score(np.eye(10)[[3, 3, 3]]) == pytest.approx(1)


def test_metrics_of_the_classes_of_samples():
    from scipy.stats import entropy

    y = np.repeat(np.arange(4), [40, 30, 20, 10])
    sample_classes = np.repeat([0, 1, 3], [50, 30, 20])
    probability = np.full((100, 5), 0.01) + 0.95 * np.eye(5)[sample_classes]
    assert distinct_classes(probability) == 3 / 5
    expected = math.exp(entropy([0.5, 0.3, 0.2]) - entropy([0.4, 0.3, 0.2, 0.1]))
    assert class_entropy(probability, y) == pytest.approx(expected)
    assert class_entropy(np.eye(5)[y], y) == METRICS["class_entropy"].best == 1
    assert confident_samples(probability).mean() == 1 and confident_samples(probability - 0.02).mean() == 0
    requested = np.where(np.arange(100) < 60, sample_classes, 4)
    assert label_agreement(probability, requested).mean() == 0.6
    share = (sample_classes == y).mean()
    assert train_on_synthetic(sample_classes, y).mean() == train_on_union(sample_classes, y).mean() == share


@pytest.mark.parametrize("channels", [1, 3])
def test_sharpness_is_the_laplacian_of_scipy_and_brightness_the_mean(channels):
    from scipy.ndimage import gaussian_filter, laplace

    rng = np.random.default_rng(0)
    test = rng.random((60, channels, 12, 9), dtype=np.float32)
    samples = np.stack([gaussian_filter(x, (0, 0.6, 0.6)) for x in test[:50]])
    expected = [np.mean([np.stack([laplace(c.astype(float)) for c in x]).var() for x in side]) for side in (samples, test)]
    value, error = sharpness(samples, test)
    assert value == pytest.approx(expected[0] / expected[1], rel=1e-9) and value < 0.7 and error > 0
    value, error = brightness(0.5 * samples, test)
    assert value == pytest.approx(0.5 * samples.mean() / test.mean(), rel=1e-6) and error > 0
    for metric in (sharpness, brightness):
        assert metric(test, test)[0] == METRICS[metric.__name__].best == 1
        assert np.isfinite(metric(test, 0 * test)).all()


@pytest.mark.parametrize("metric", [sharpness, brightness])
def test_the_errors_of_ratios_are_those_of_simulation(metric):
    rng = np.random.default_rng(6)
    pairs = [rng.random((2, 40, 1, 6, 6)) * rng.random((2, 40, 1, 1, 1)) for _ in range(300)]
    values, errors = np.array([metric(*pair) for pair in pairs]).T
    assert 0.85 < errors.mean() / values.std(ddof=1) < 1.15


def test_statistically_different_bins_are_those_of_a_chi_squared_test(monkeypatch):
    """Given the centers of K-means, scikit-learn assigns the bins and SciPy tests each two-by-two table."""
    from scipy.cluster import vq
    from scipy.stats import chi2_contingency
    from sklearn.metrics import pairwise_distances_argmin

    rng = np.random.default_rng(7)
    train, other = rng.random((2, 1000, 1, 5, 5)).astype(np.float32)
    other[:, :, :2] **= 2
    calls = []
    kmeans2 = vq.kmeans2

    def recorded(data, *args, **options):
        result = kmeans2(data, *args, **options)
        calls.append((data, result[0]))
        return result

    monkeypatch.setattr(vq, "kmeans2", recorded)
    different = ndb(other, train)
    clustered, centers = calls[0]
    used = {x.tobytes() for x in clustered}
    rest = np.array([x for x in train.reshape(1000, 25) if x.tobytes() not in used])
    assert len(rest) == 500 and different.shape == (50,)
    counts = [np.bincount(pairwise_distances_argmin(x, centers), minlength=50) for x in (rest, other.reshape(1000, 25))]
    for is_different, i, j in zip(different, *counts):
        # The chi-squared test of a two-by-two table is the z test of two proportions: 1.96 is the 5 % level.
        expected = chi2_contingency([[i, 500 - i], [j, 1000 - j]], correction=False).pvalue < 0.05 if i + j else False
        assert is_different == expected
    assert different.mean() > 0.2


@pytest.mark.parametrize("shift", [0, 0.05, 0.4])
def test_the_interval_of_different_bins_covers_their_mean_over_sets_of_samples(shift):
    rng = np.random.default_rng(11)
    entry = METRICS["ndb"]
    rows = {"sample_pixels": "samples", "train_pixels": "train"}
    measured = [
        measure(ndb, {"sample_pixels": samples ** (1 + shift), "train_pixels": train}, rows, entry.lowest, entry.highest)
        for samples, train in rng.random((60, 2, 300, 4))
    ]
    values, low, high, _ = (np.array(column) for column in zip(*measured))
    assert (high > low).all()
    assert ((low <= values.mean()) & (values.mean() <= high)).mean() >= 0.92


@pytest.mark.parametrize("dimensions", [2, 400])
def test_one_bin_in_twenty_differs_by_chance(dimensions):
    rng = np.random.default_rng(8)
    shares = [ndb(*rng.random((2, 800, dimensions))) for _ in range(6)]
    assert 0.01 < np.mean(shares) < 0.1
    assert ndb(np.zeros((30, 2)), np.ones((30, 2))).shape == (10,), "empty bins are no error"


# --- memorization -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pool():
    """The arguments of both metrics of memorization, by scikit-learn: distances and indices (n, M) of M neighbors, pool size."""
    from sklearn.neighbors import NearestNeighbors

    def search(samples, train, test, neighbors=20):
        nearest_neighbors = NearestNeighbors(n_neighbors=neighbors).fit(np.concatenate([train, test]))
        return (*nearest_neighbors.kneighbors(samples), len(train))

    return search


def test_nearest_neighbor_ratio_is_the_ratio_of_two_searches(pool):
    from sklearn.metrics import pairwise_distances

    rng = np.random.default_rng(0)
    samples, train, test = rng.normal(size=(3, 200, 6))
    to_train, to_test = (pairwise_distances(samples, side).min(1).mean() for side in (train, test))
    assert nearest_neighbor_ratio(*pool(samples, train, test, neighbors=400)) == pytest.approx(to_train / to_test)
    assert nearest_neighbor_ratio(*pool(samples, train, test)) == pytest.approx(to_train / to_test, rel=1e-3)
    copies = train + 0.01 * rng.normal(size=train.shape)
    assert nearest_neighbor_ratio(*pool(copies, train, test)) < 0.1


@pytest.mark.slow
def test_the_p_value_is_uniform_for_new_samples_and_small_for_copies(pool):
    rng = np.random.default_rng(8)
    p_values = []
    for _ in range(40):
        samples, train, test = rng.normal(size=(3, 60, 4))
        p_values.append(memorization_p_value(*pool(samples, train, test))[0])
    quartiles = np.quantile(p_values, [0.25, 0.5, 0.75])
    assert quartiles == pytest.approx([0.25, 0.5, 0.75], abs=0.2) and all(a < b for a, b in pairwise(quartiles))
    copies = train + 0.3 * rng.normal(size=train.shape)
    assert memorization_p_value(*pool(copies, train, test)) == (1 / 1000, *wilson(0, 999))
    assert memorization_p_value(*pool(copies, test, train))[0] > 0.99


def test_the_p_value_is_that_of_all_permutations_of_a_small_pool(pool):
    rng = np.random.default_rng(9)
    samples = rng.normal(size=(5, 2))
    train = rng.normal(size=(4, 2))
    test = rng.normal(size=(4, 2))
    distances = np.linalg.norm(samples[:, None] - np.concatenate([train, test]), axis=2)  # (5, 8)

    def ratio(side):
        rest = [i for i in range(8) if i not in side]
        return distances[:, list(side)].min(1).mean() / distances[:, rest].min(1).mean()

    exact = np.mean([ratio(side) <= ratio(range(4)) + 1e-9 for side in combinations(range(8), 4)])
    assert memorization_p_value(*pool(samples, train, test, neighbors=8))[0] == pytest.approx(exact, abs=0.05)


def test_authenticity_is_that_of_a_naive_search_and_of_geometry():
    """In the plane, a point is its nearest neighbor's nearest neighbor with probability 6 pi / (8 pi + 3 sqrt 3) = 62 %."""
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    train, samples = rng.random((2, 3000, 2))
    search = NearestNeighbors(n_neighbors=1).fit(train)
    distance, index = (part[:, 0] for part in search.kneighbors(samples))
    own = search.kneighbors()[0][index, 0]
    authentic = authenticity(distance, own)
    naive = []
    for x in samples[:100]:
        to_train = np.linalg.norm(train - x, axis=1)
        closest = to_train.argmin()
        naive.append(to_train[closest] > np.sort(np.linalg.norm(train - train[closest], axis=1))[1])
    assert authentic[:100].tolist() == naive
    assert authentic.mean() == pytest.approx(1 - 6 * math.pi / (8 * math.pi + 3 * math.sqrt(3)), abs=0.04)
    assert authenticity(0 * distance, own).mean() == 0
