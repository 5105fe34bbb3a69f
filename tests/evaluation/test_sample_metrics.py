"""What judges samples, against implementations that are not ours, against simulation, and against what must be so."""

import importlib
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation import frechet
from pofxy.evaluation.neighbors import balls, nearest
from pofxy.study import catalog

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
METRICS = catalog.metrics()


def metric(name):
    return getattr(importlib.import_module(f"pofxy.evaluation.metrics.{name}"), METRICS[name].public)


def fidelity(name):
    """A module of torch-fidelity, which imports torchvision."""
    import_torchvision()
    return importlib.import_module(f"torch_fidelity.{name}")


def features(n=600, width=64, shift=0.1, rng=None):
    """Samples and test images as a feature net sees them: rectified, correlated, away from 0."""
    rng = rng or np.random.default_rng(0)
    mix = rng.normal(size=(width, width)) / math.sqrt(width)
    samples, test = (np.maximum(rng.normal(size=(n, width)) @ mix + 0.5, 0) for _ in range(2))
    return (samples + shift).astype(np.float32), test.astype(np.float32)


# --- neighbours ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1000], ids=["near 0", "far from 0"])
@pytest.mark.parametrize("skip_self", [False, True], ids=["of others", "of their own"])
def test_nearest_is_scikit_learns(monkeypatch, offset, skip_self):
    from sklearn.neighbors import NearestNeighbors

    monkeypatch.setattr("pofxy.evaluation.neighbors.BLOCK", 64)  # several blocks, the last of them not full
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(333, 20)) + offset).astype(np.float32)
    queries = points if skip_self else (rng.normal(size=(150, 20)) + offset).astype(np.float32)
    found = NearestNeighbors(n_neighbors=8, algorithm="brute").fit(points.astype(float) - offset)
    theirs = found.kneighbors(None if skip_self else queries.astype(float) - offset, 7)
    distances, indices = nearest(torch.from_numpy(queries), torch.from_numpy(points), 7, skip_self)
    assert distances.numpy() == pytest.approx(theirs[0], rel=1e-6)
    assert (indices.numpy() == theirs[1]).all()


def test_a_copy_lies_at_distance_0_and_too_few_points_are_refused():
    points = torch.rand(50, 30) + 100
    distances, indices = nearest(points[[3, 7]], points, 2)
    assert distances[:, 0].tolist() == [0, 0] and indices[:, 0].tolist() == [3, 7] and (distances[:, 1] > 0).all()
    doubled = torch.cat([points, points[:1]])
    distances, indices = nearest(doubled, doubled, 1, skip_self=True)
    assert distances[0, 0] == distances[50, 0] == 0 and indices[0, 0] == 50 and indices[50, 0] == 0
    with pytest.raises(ValueError, match="50 nearest neighbours were asked for, of 49 points"):
        nearest(points, points, 50, skip_self=True)


@pytest.mark.parametrize("block", [100, 4096])
def test_balls_are_prdcs(monkeypatch, block):
    from prdc import compute_prdc

    monkeypatch.setattr("pofxy.evaluation.neighbors.BLOCK", block)
    samples, test = features(n=700)
    samples = samples[:550]
    counts = [part.numpy() for part in balls(torch.from_numpy(test), torch.from_numpy(samples))]
    theirs = compute_prdc(test.astype(float), samples.astype(float), 5)
    names = {"precision": 0, "density": 0, "recall": 1, "coverage": 2}
    ours = {name: metric(name)(counts[which]).mean() for name, which in names.items()}
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert 0.05 < ours["recall"] < 0.95 and 0.05 < ours["precision"] < 0.95, "a case that tells something"


def test_precision_and_recall_are_torch_fidelitys():
    samples, test = (torch.from_numpy(side) for side in features())
    options = {"prc_neighborhood": 5, "prc_batch_size": 10_000, "save_cpu_ram": False, "verbose": False}
    theirs = fidelity("metric_prc").prc_features_to_metric(samples, test, **options)
    sample_test_balls, test_sample_balls, _ = balls(test, samples)
    assert metric("precision")(sample_test_balls.numpy()).mean() == pytest.approx(theirs["precision"], rel=1e-6)
    assert metric("recall")(test_sample_balls.numpy()).mean() == pytest.approx(theirs["recall"], rel=1e-6)


def test_balls_hold_nobody_on_their_border_and_a_point_has_no_ball():
    line = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    on_border = torch.tensor([[3.0], [2.5], [2.5]])  # the ball around 2 reaches to 1, so 3 is on its border
    in_test, in_samples, own = balls(line, on_border, k=1)
    assert in_test.tolist() == [1, 2, 2], "of 2, and of 10, which reaches to 2: 3 is in that of 10 alone"
    assert own.tolist() == [False, False, True, True]
    assert in_samples.tolist() == [0, 0, 0, 0], "2.5 comes twice: its nearest neighbour is at 0, and that of 3 at half"
    collapsed = torch.zeros(20, 3)
    assert [part.sum().item() for part in balls(collapsed, collapsed)] == [0, 0, 0]


def test_of_copies_a_ball_holds_its_centre_and_four_neighbours(monkeypatch):
    """The fifth lies on the border itself, where float32 alone would toss a coin."""
    test = torch.from_numpy(features(n=500)[1])
    in_test, in_samples, own = balls(test, test.clone())
    assert in_test.sum() == in_samples.sum() == 5 * 500 and own.all()
    monkeypatch.setattr("pofxy.evaluation.neighbors.ROUNDING", 0)
    assert balls(test, test.clone())[0].sum() != 5 * 500


def test_memory_stays_far_below_a_matrix_of_all_pairs():
    """In a process of its own, as its peak is measured: 144 MB would be one matrix of 6,000 x 6,000."""
    program = f"""
import sys; sys.path.insert(0, {str(SCRIPTS)!r})
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
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(process.stdout) < 6000 * 6000 * 4 / 3


# --- distances of laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [400, 50], ids=["more rows than features", "fewer"])
def test_moments_are_numpys_and_the_distance_torch_fidelitys(rows):
    fid = fidelity("metric_fid")
    samples, test = features(n=rows)
    test = np.concatenate([test, np.zeros((3, 64), np.float32)])
    test[:, 5] = samples[:, 5] = 0.25  # a feature that never changes
    mean, covariance = frechet.moments(samples)
    assert mean == pytest.approx(samples.astype(float).mean(0), rel=1e-12) and mean.dtype == covariance.dtype == float
    assert covariance == pytest.approx(np.cov(samples.astype(float), rowvar=False), rel=1e-12, abs=1e-15)
    statistics = [fid.fid_features_to_statistics(torch.from_numpy(side).double()) for side in (samples, test)]
    theirs = fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    for name in ("frechet_distance", "inception_distance"):
        assert metric(name)(samples, test)[0] == pytest.approx(theirs, rel=1e-4)


def test_frechet_distance_at_infinity_is_torch_fidelitys_on_scipys_line():
    from scipy.stats import linregress

    fid = fidelity("metric_fid")
    samples, test = features(n=601)
    sizes, values = importlib.import_module("pofxy.evaluation.metrics.frechet_distance_infinity").distances(samples, test)
    assert sizes.tolist() == [601, *[301, 300] * 3]
    # The subsets, drawn again in the same order.
    rng = np.random.default_rng(0)
    subsets = [(np.arange(601), np.arange(601))]
    for _ in range(3):
        of_samples, of_test = rng.permutation(601), rng.permutation(601)
        subsets += [(of_samples[:301], of_test[:301]), (of_samples[301:], of_test[301:])]
    theirs = []
    for a, b in subsets:
        statistics = [fid.fid_features_to_statistics(torch.from_numpy(side).double()) for side in (samples[a], test[b])]
        theirs.append(fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"])
    assert values == pytest.approx(theirs, rel=1e-4)
    line = linregress([1 / len(a) for a, _ in subsets], theirs)
    assert metric("frechet_distance_infinity")(samples, test)[0] == pytest.approx(line.intercept, rel=1e-3)


def test_frechet_distance_at_infinity_finds_the_distance_of_two_gaussians():
    """N(0, I) and N(.1, 1.44 I) in 32 dimensions: 32 (.1^2 + .2^2) = 1.6, and a plain distance that is half as large again."""
    rng = np.random.default_rng(1)
    pairs = [(0.1 + 1.2 * rng.normal(size=(400, 32)), rng.normal(size=(400, 32))) for _ in range(60)]
    plain = np.array([metric("frechet_distance")(*pair)[0] for pair in pairs])
    found, errors = np.array([metric("frechet_distance_infinity")(*pair) for pair in pairs]).T
    assert plain.mean() - 1.6 > 0.7
    assert abs(found.mean() - 1.6) < 0.06
    assert 0.8 < errors.mean() / found.std(ddof=1) < 1.4
    assert (abs(found - 1.6) < 1.96 * errors).mean() > 0.88


def test_the_error_of_a_frechet_distance_is_that_of_simulation():
    rng = np.random.default_rng(2)
    width = 16
    for shift in (0.5, 0.0):
        mix = rng.normal(size=(width, width)) / 4
        pairs = [(rng.normal(size=(300, width)) @ mix + shift, rng.normal(size=(300, width)) @ mix) for _ in range(80)]
        found = [frechet.frechet(frechet.moments(a), frechet.moments(b)) for a, b in pairs]
        ratio = np.mean([frechet.frechet_error(a, b) for a, b in pairs]) / np.std(found, ddof=1)
        assert 0.8 < ratio < (1.25 if shift else 1.8), "too large where the laws agree, never too small"


def test_kernel_distance_is_torch_fidelitys_with_one_subset_of_all_rows(monkeypatch):
    monkeypatch.setattr("pofxy.evaluation.metrics.kernel_distance.BLOCK", 128)
    samples, test = features()
    options = {"kid_subsets": 1, "kid_subset_size": 600, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1, "verbose": False, "rng_seed": 0}
    sides = torch.from_numpy(samples).double(), torch.from_numpy(test).double()
    theirs = fidelity("metric_kid").kid_features_to_metric(*sides, **options)["kernel_inception_distance_mean"]
    value, error = metric("kernel_distance")(samples, test)
    assert value == pytest.approx(theirs, rel=1e-5) and 0 < error < value


@pytest.mark.parametrize("shift", [0, 0.3])
def test_the_error_of_a_kernel_distance_is_that_of_simulation(shift):
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(150, 8)) + shift, rng.normal(size=(200, 8))) for _ in range(300)]
    found, errors = np.array([metric("kernel_distance")(*pair) for pair in pairs]).T
    assert 0.85 < errors.mean() / found.std(ddof=1) < 1.25
    if shift == 0:
        assert abs(found.mean()) < 3 * found.std() / math.sqrt(300), "free of bias"
        assert (found < 0).any()


def test_the_error_of_a_kernel_distance_is_hoeffdings_written_out():
    """The same variances from whole matrices, centred in both directions."""
    samples, test = features(n=40, width=8, shift=0.3)
    s, t = samples.astype(float), test.astype(float)
    k_ss, k_tt, k_st = ((a @ b.T / 8 + 1) ** 3 for a, b in ((s, s), (t, t), (s, t)))
    off = ~np.eye(40, dtype=bool)
    row_s, row_t = (np.where(off, k, 0).sum(1) / 39 for k in (k_ss, k_tt))
    own_ss = (k_ss[off] ** 2).mean() - 2 * row_s.var() - row_s.mean() ** 2
    own_tt = (k_tt[off] ** 2).mean() - 2 * row_t.var() - row_t.mean() ** 2
    own_st = (k_st - k_st.mean(1, keepdims=True) - k_st.mean(0) + k_st.mean()).var()
    first_s = (row_s - k_st.mean(1)).var(ddof=1) - own_ss / 39 - own_st / 40
    first_t = (row_t - k_st.mean(0)).var(ddof=1) - own_tt / 39 - own_st / 40
    variance = 4 * (max(first_s, 0) + max(first_t, 0)) / 40 + 2 * (own_ss + own_tt) / (40 * 39) + 4 * own_st / 1600
    assert metric("kernel_distance")(samples, test)[1] == pytest.approx(math.sqrt(variance), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "lowest", "highest"),
    [("none", 0.43, 0.57), ("shift", 0.8, 1), ("scale", 0.75, 1), ("one feature", 0.7, 1)],
)
def test_a_two_sample_test_tells_what_differs_and_nothing_else(change, lowest, highest):
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 360, 64)) @ (rng.normal(size=(64, 64)) / 8)
    if change == "shift":
        a += 0.3
    if change == "scale":
        a *= 1.4
    if change == "one feature":
        a[:, 0] += 3
    right = metric("two_sample_test")(a, b)
    assert right.shape == (720,) and set(right) <= {0, 1}
    assert lowest < right.mean() < highest
    assert (right == metric("two_sample_test")(a, b)).all(), "the same at each call"


def test_a_two_sample_test_of_one_law_holds_half_within_its_interval():
    rng = np.random.default_rng(5)
    found = np.array([metric("two_sample_test")(*rng.normal(size=(2, 300, 16))).mean() for _ in range(12)])
    error = math.sqrt(0.25 / 600)
    assert abs(found.mean() - 0.5) < 3 * error / math.sqrt(12) and (abs(found - 0.5) < 2.5 * error).mean() > 0.8
    constant = np.ones((100, 4))
    assert metric("two_sample_test")(constant, constant).mean() == 0.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("collapsed", ["samples", "both"])
def test_a_model_that_makes_one_image_gets_its_scores(collapsed):
    _, test = features(n=120, width=8, rng=np.random.default_rng(10))
    samples = np.repeat(test[:1], 100, 0)
    test = samples if collapsed == "both" else test
    for name in ("frechet_distance", "frechet_distance_infinity", "inception_distance", "kernel_distance"):
        value, error = metric(name)(samples, test)
        assert np.isfinite([value, error]).all() and (abs(value) < 1e-6 if collapsed == "both" else value > error)
    assert metric("two_sample_test")(samples, test).mean() == (0.5 if collapsed == "both" else pytest.approx(1, abs=0.05))
    in_test, in_samples, own = balls(torch.from_numpy(test), torch.from_numpy(samples))
    assert in_samples.sum() == 0 and own.float().mean() < 0.3
    assert (in_test == own.sum()).all()


# --- classes, pixels ----------------------------------------------------------------------------------------------------------


def test_inception_score_is_torch_fidelitys():
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(500, 10))
    theirs = fidelity("metric_isc").isc_features_to_metric(torch.from_numpy(logits), splits=1)["inception_score_mean"]
    probability = torch.from_numpy(logits).softmax(1).numpy()
    assert metric("inception_score")(probability) == pytest.approx(theirs, rel=1e-9)
    assert metric("inception_score")(np.eye(10, dtype=np.float32)) == pytest.approx(10)
    assert metric("inception_score")(np.eye(10)[[3, 3, 3]]) == pytest.approx(1)


def test_metrics_of_the_samples_classes():
    from scipy.stats import entropy

    y = np.repeat(np.arange(4), [40, 30, 20, 10])
    samples = np.repeat([0, 1, 3], [50, 30, 20])
    probability = np.full((100, 5), 0.01) + 0.95 * np.eye(5)[samples]
    assert metric("distinct_classes")(probability) == 3 / 5
    theirs = math.exp(entropy([0.5, 0.3, 0.2]) - entropy([0.4, 0.3, 0.2, 0.1]))
    assert metric("class_entropy")(probability, y) == pytest.approx(theirs)
    assert metric("class_entropy")(np.eye(5)[y], y) == METRICS["class_entropy"].constants["BEST"] == 1
    assert metric("confident_samples")(probability).mean() == 1 and metric("confident_samples")(probability - 0.02).mean() == 0
    asked = np.where(np.arange(100) < 60, samples, 4)
    assert metric("label_agreement")(probability, asked).mean() == 0.6
    assert metric("train_on_synthetic")(samples, y).mean() == metric("train_on_union")(samples, y).mean() == (samples == y).mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_sharpness_is_scipys_laplacian_and_brightness_the_mean(channels):
    from scipy.ndimage import gaussian_filter, laplace

    rng = np.random.default_rng(0)
    test = rng.random((60, channels, 12, 9), dtype=np.float32)
    samples = np.stack([gaussian_filter(x, (0, 0.6, 0.6)) for x in test[:50]])
    theirs = [np.mean([np.stack([laplace(c.astype(float)) for c in x]).var() for x in side]) for side in (samples, test)]
    value, error = metric("sharpness")(samples, test)
    assert value == pytest.approx(theirs[0] / theirs[1], rel=1e-9) and value < 0.7 and error > 0
    value, error = metric("brightness")(0.5 * samples, test)
    assert value == pytest.approx(0.5 * samples.mean() / test.mean(), rel=1e-6) and error > 0
    for name in ("sharpness", "brightness"):
        assert metric(name)(test, test)[0] == METRICS[name].constants["BEST"] == 1
        assert np.isfinite(metric(name)(test, 0 * test)).all()


@pytest.mark.parametrize("name", ["sharpness", "brightness"])
def test_the_errors_of_ratios_are_those_of_simulation(name):
    rng = np.random.default_rng(6)
    found, errors = np.array([metric(name)(*(rng.random((2, 40, 1, 6, 6)) * rng.random((2, 40, 1, 1, 1)))) for _ in range(300)]).T
    assert 0.85 < errors.mean() / found.std(ddof=1) < 1.15


def test_different_bins_are_those_of_the_cells_counted_again(monkeypatch):
    """With the centres that k-means found, scikit-learn names the cells and SciPy tests each table of two by two."""
    from scipy.cluster import vq
    from scipy.stats import chi2_contingency
    from sklearn.metrics import pairwise_distances_argmin

    rng = np.random.default_rng(7)
    train, other = rng.random((2, 1000, 1, 5, 5)).astype(np.float32)
    other[:, :, :2] **= 2
    kept, original = [], vq.kmeans2
    monkeypatch.setattr(vq, "kmeans2", lambda *args, **options: kept.append((args[0], original(*args, **options))) or kept[-1][1])
    flags = metric("ndb")(other, train)
    found_on, (centres, _) = kept[0]
    seen = {x.tobytes() for x in found_on}
    rest = np.array([x for x in train.reshape(1000, 25) if x.tobytes() not in seen])
    assert len(rest) == 500 and flags.shape == (50,)
    a, b = (np.bincount(pairwise_distances_argmin(x, centres), minlength=50) for x in (rest, other.reshape(1000, 25)))
    for flag, i, j in zip(flags, a, b):
        # The chi-squared test of a table is the z test of two proportions: 1.96 is 5 %.
        differs = chi2_contingency([[i, 500 - i], [j, 1000 - j]], correction=False).pvalue < 0.05 if i + j else False
        assert flag == differs
    assert flags.mean() > 0.2


@pytest.mark.parametrize("dimensions", [2, 400])
def test_one_bin_in_twenty_differs_by_chance(dimensions):
    rng = np.random.default_rng(8)
    found = [metric("ndb")(*rng.random((2, 800, dimensions))) for _ in range(6)]
    assert 0.01 < np.mean(found) < 0.1
    assert metric("ndb")(np.zeros((30, 2)), np.ones((30, 2))).shape == (10,), "empty cells are no error"


# --- memorization -------------------------------------------------------------------------------------------------------------


def pool(samples, train, test, kept=20):
    """What those metrics are given, by scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=kept).fit(np.concatenate([train, test])).kneighbors(samples)
    return (*found, len(train))


def test_nearest_neighbor_ratio_is_the_ratio_of_two_searches():
    from sklearn.metrics import pairwise_distances

    rng = np.random.default_rng(0)
    samples, train, test = rng.normal(size=(3, 200, 6))
    expected = [pairwise_distances(samples, side).min(1).mean() for side in (train, test)]
    assert metric("nearest_neighbor_ratio")(*pool(samples, train, test, kept=400)) == pytest.approx(expected[0] / expected[1])
    assert metric("nearest_neighbor_ratio")(*pool(samples, train, test)) == pytest.approx(expected[0] / expected[1], rel=1e-3)
    copies = train + 0.01 * rng.normal(size=train.shape)
    assert metric("nearest_neighbor_ratio")(*pool(copies, train, test)) < 0.1


def test_the_p_value_is_uniform_for_new_samples_and_small_for_copies():
    rng = np.random.default_rng(8)
    found = []
    for _ in range(40):
        samples, train, test = rng.normal(size=(3, 60, 4))
        found.append(metric("memorization_p_value")(*pool(samples, train, test))[0])
    deciles = np.quantile(found, [0.25, 0.5, 0.75])
    assert deciles == pytest.approx([0.25, 0.5, 0.75], abs=0.2) and all(a < b for a, b in pairwise(deciles))
    copies = train + 0.3 * rng.normal(size=train.shape)
    assert metric("memorization_p_value")(*pool(copies, train, test)) == (1 / 1000, 0.0)
    assert metric("memorization_p_value")(*pool(copies, test, train))[0] > 0.99


def test_the_p_value_is_the_one_of_all_deals_of_a_small_pool():
    from itertools import combinations

    rng = np.random.default_rng(9)
    samples, train, test = rng.normal(size=(5, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    distance, index, size = pool(samples, train, test, kept=8)
    everyone = np.linalg.norm(samples[:, None] - np.concatenate([train, test]), axis=2)

    def ratio(side):
        rest = [i for i in range(8) if i not in side]
        return everyone[:, list(side)].min(1).mean() / everyone[:, rest].min(1).mean()

    exact = np.mean([ratio(side) <= ratio(range(4)) + 1e-9 for side in combinations(range(8), 4)])
    assert metric("memorization_p_value")(distance, index, size)[0] == pytest.approx(exact, abs=0.05)


def test_authenticity_is_a_naive_search_and_what_geometry_says():
    """Of points in the plane, one is its nearest neighbour's nearest neighbour with 6 pi / (8 pi + 3 sqrt 3) = 62 %."""
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    train, samples = rng.random((2, 3000, 2))
    search = NearestNeighbors(n_neighbors=1).fit(train)
    distance, index = (part[:, 0] for part in search.kneighbors(samples))
    own = search.kneighbors()[0][index, 0]
    found = metric("authenticity")(distance, own)
    naive = []
    for x in samples[:100]:
        to_train = np.linalg.norm(train - x, axis=1)
        closest = to_train.argmin()
        naive.append(to_train[closest] > np.sort(np.linalg.norm(train - train[closest], axis=1))[1])
    assert found[:100].tolist() == naive
    assert found.mean() == pytest.approx(1 - 6 * math.pi / (8 * math.pi + 3 * math.sqrt(3)), abs=0.04)
    assert metric("authenticity")(0 * distance, own).mean() == 0
