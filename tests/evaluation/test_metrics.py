"""Metrics of labels, probabilities, likelihood and reconstruction against independent implementations."""

import importlib
import inspect
import math
import statistics

import numpy as np
import pytest
import torch

from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation import intervals
from pofxy.evaluation.metrics.accuracy import accuracy
from pofxy.evaluation.metrics.adversarial import adversarial
from pofxy.evaluation.metrics.auroc import auroc
from pofxy.evaluation.metrics.balanced_accuracy import balanced_accuracy
from pofxy.evaluation.metrics.bits_per_dim import bits_per_dim
from pofxy.evaluation.metrics.brier_score import brier_score
from pofxy.evaluation.metrics.expected_calibration_error import calibration, expected_calibration_error
from pofxy.evaluation.metrics.frechet_distance import frechet_distance
from pofxy.evaluation.metrics.log_loss import log_loss
from pofxy.evaluation.metrics.macro_f1 import macro_f1
from pofxy.evaluation.metrics.missing_pixels import missing_pixels
from pofxy.evaluation.metrics.psnr import psnr
from pofxy.evaluation.metrics.reconstruction_mse import reconstruction_mse
from pofxy.evaluation.metrics.robustness import robustness
from pofxy.study import catalog

METRICS = catalog.metrics()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def classified(rng):
    """Class probabilities (500, 7) that favor the true label, and the labels (500,)."""
    logits = rng.normal(size=(500, 7))
    y = rng.integers(7, size=500)
    logits[np.arange(500), y] += 1.5
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), y


@pytest.fixture
def reconstructed(rng):
    """Images and their reconstructions, (20, 3, 16, 16) each."""
    x = rng.random((20, 3, 16, 16), dtype=np.float32)
    return x, np.clip(x + 0.1 * rng.normal(size=x.shape), 0, 1).astype(np.float32)


def test_accuracy_is_that_of_scikit_learn(classified):
    from sklearn import metrics

    probability, y = classified
    label = probability.argmax(1)
    assert accuracy(label, y).mean() == pytest.approx(metrics.accuracy_score(y, label))


def test_log_loss_is_that_of_scikit_learn(classified):
    from sklearn import metrics

    probability, y = classified
    assert log_loss(probability, y).mean() == pytest.approx(metrics.log_loss(y, probability), rel=1e-12)
    confident_and_wrong = log_loss(np.eye(7)[(y + 1) % 7], y)
    assert np.isfinite(confident_and_wrong).all()
    assert confident_and_wrong.mean() == pytest.approx(-math.log(np.finfo(float).eps))


def test_metrics_over_classes_are_those_of_scikit_learn(classified):
    from sklearn import metrics

    probability, y = classified
    label = probability.argmax(1)
    assert balanced_accuracy(label, y)[0] == pytest.approx(metrics.balanced_accuracy_score(y, label), rel=1e-12)
    assert macro_f1(label, y)[0] == pytest.approx(metrics.f1_score(y, label, average="macro"), rel=1e-12)
    brier = metrics.brier_score_loss(y, probability, scale_by_half=False)
    assert brier_score(probability, y).mean() == pytest.approx(brier, rel=1e-12)
    area = metrics.roc_auc_score(y, probability, multi_class="ovr", average="macro")
    assert auroc(probability, y)[0] == pytest.approx(area, rel=1e-12)
    # Scores rounded to a tenth tie often, and a tie counts half.
    rounded = probability.round(1)
    areas = [metrics.roc_auc_score(y == k, rounded[:, k]) for k in range(7)]
    assert auroc(rounded, y)[0] == pytest.approx(np.mean(areas), rel=1e-12)


def test_metrics_over_classes_where_a_class_is_never_predicted_or_never_occurs():
    y = np.array([0, 0, 1, 1, 3, 3])
    label = np.array([0, 0, 1, 2, 0, 1])
    assert balanced_accuracy(label, y)[0] == pytest.approx((1 + 0.5 + 0) / 3)
    assert macro_f1(label, y)[0] == pytest.approx((4 / 5 + 2 / 4 + 0 + 0) / 4)
    assert auroc(np.eye(4)[label], y)[0] == pytest.approx(np.mean([7 / 8, 5 / 8, 1 / 2]))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_expected_calibration_error_is_that_of_torchmetrics(classified, exponent):
    import_torchvision()  # torchmetrics imports it
    from torchmetrics.functional.classification import multiclass_calibration_error

    probability, y = classified
    probability = probability**exponent / (probability**exponent).sum(1, keepdims=True)
    expected = multiclass_calibration_error(torch.from_numpy(probability), torch.from_numpy(y), 7, n_bins=15, norm="l1")
    assert expected_calibration_error(probability, y)[0] == pytest.approx(float(expected), rel=1e-6)
    bars = calibration(probability, y)
    assert bars.count.sum() == 500
    assert np.isnan(bars.accuracy).sum() == (bars.count == 0).sum()
    assert (np.nan_to_num(bars.accuracy) * bars.count).sum() == pytest.approx((probability.argmax(1) == y).sum())
    edges = np.arange(16) / 15
    assert all(low < c <= high for c, low, high in zip(bars.confidence, edges, edges[1:]) if np.isfinite(c))


def test_a_confidence_on_the_edge_of_a_bin_is_in_the_lower_bin_in_any_precision(rng):
    """Shares of 3, 5 and 15 votes: k/15 in float32 is above the edge that it lies on for some k, and below it for others."""
    votes = rng.integers(5, 16, size=600)
    y = (rng.random(600) < 0.3).astype(int)
    results = []
    for dtype in (np.float64, np.float32):
        share = (votes / 15).astype(dtype)
        probability = np.stack([share, (1 - share) / 2, (1 - share) / 2], 1)
        bars = calibration(probability, y)
        assert bars.count.tolist() == [0, 0, 0, 0, *np.bincount(votes, minlength=16)[5:]]
        results.append((bars.error, *expected_calibration_error(probability, y)))
        assert bars.error == results[-1][1], "the figure's number is the table's"
    assert results[0] == results[1]
    right = np.where(y == 0, 1.0, 0)  # the first class is predicted, up to ties
    expected = sum(abs((right - votes / 15)[votes == k].sum()) for k in range(6, 16)) / 600
    expected += abs((right - votes / 15)[votes == 5].sum()) / 600
    assert results[0][0] == pytest.approx(expected, abs=1e-6)


# Simulations use few repetitions: at .95 the share of 300 intervals that cover has a standard error of .013.
COVERED = 0.92
SIZES = [100, 360, 2000]
SHARES = [0.9, 0.99, 0.997]


def coverage_of(truth, intervals_):
    """The share of intervals that hold the truth, none of which has a width of 0."""
    low, high = np.array(intervals_).T
    assert (high > low).all()
    return ((low <= truth) & (truth <= high)).mean()


@pytest.mark.parametrize("p", SHARES)
@pytest.mark.parametrize("n", SIZES)
def test_intervals_of_shares_cover_the_share(rng, n, p):
    """Exactly: over the binomial distribution of the number of successes."""
    from scipy.stats import binom

    rows = {"predict": "test", "y": "test"}
    covering = 0.0
    for wrong in range(max(0, round(n * (1 - p)) - 200), round(n * (1 - p)) + 200):
        if wrong > n or binom.pmf(wrong, n, 1 - p) < 1e-9:
            continue
        given = {"predict": np.repeat([1, 0], [wrong, n - wrong]), "y": np.zeros(n, int)}
        value, low, high, _ = intervals.measure(accuracy, given, rows, 0.0, 1.0)
        assert (low, high) == pytest.approx(intervals.wilson(n - wrong, n), abs=1e-12) and low <= value <= high and low < high
        covering += binom.pmf(wrong, n, 1 - p) * (low <= p <= high)
    assert covering >= COVERED


@pytest.mark.parametrize("p", SHARES)
@pytest.mark.parametrize("n", SIZES)
def test_intervals_of_means_of_bounded_values_cover_the_mean(rng, n, p):
    for concentration in (0.3, 3):
        sets = rng.beta(p * concentration, (1 - p) * concentration, size=(300, n))
        found = [intervals.of_bounded(values.mean(), values.var() / n, n) for values in sets]
        assert coverage_of(p, found) >= COVERED


@pytest.mark.parametrize("p", SHARES)
@pytest.mark.parametrize("n", [100, 360])
def test_intervals_of_placement_values_cover_the_auroc_over_test_and_ood_images(rng, n, p):
    """Of two normal distributions, and of a score that a share of the test images, or of OOD images, has wholly wrong."""
    shift = math.sqrt(2) * statistics.NormalDist().inv_cdf(p)
    found = {"normal": [], "test": [], "ood": []}
    for _ in range(150):
        test, ood = rng.normal(size=(2, n))
        wrong = rng.random(n) > p
        for kind, (scores, others) in {
            "normal": (test + shift, ood),
            "test": (np.where(wrong, test - 20, test + 20), ood),
            "ood": (test, np.where(wrong, ood + 20, ood - 20)),
        }.items():
            placements = np.searchsorted(np.sort(others), scores) / n
            found[kind].append(intervals.of_placements(placements[:, None]))
    for kind, found_intervals in found.items():
        # Nearest to 1/2 the 150 repetitions themselves vary most.
        assert coverage_of(p, found_intervals) >= COVERED - 0.04, kind


def test_intervals_over_classes_cover_the_score_of_new_images(rng):
    """Balanced accuracy, macro F1 and AUROC of five classes, equal and unequal, against many images of the same kind."""
    shares = {"equal": np.full(5, 0.2), "unequal": np.array([0.4, 0.25, 0.2, 0.1, 0.05])}

    def draw(n, share):
        y = rng.choice(5, n, p=share)
        scores = rng.normal(size=(n, 5))
        scores[np.arange(n), y] += 3.5
        return scores, y

    for share in shares.values():
        scores, y = draw(100_000, share)
        truth = balanced_accuracy(scores.argmax(1), y)[0], macro_f1(scores.argmax(1), y)[0], auroc(scores, y)[0]
        found = [[], [], []]
        for scores, y in (draw(360, share) for _ in range(150)):
            label = scores.argmax(1)
            for kind, metric in zip(found, (balanced_accuracy(label, y), macro_f1(label, y), auroc(scores, y))):
                kind.append(metric[1:])
        assert [coverage_of(*pair) >= COVERED - 0.02 for pair in zip(truth, found)] == [True] * 3


@pytest.mark.parametrize("gap", [0.0, 0.05])
@pytest.mark.parametrize("p", SHARES)
@pytest.mark.parametrize("n", SIZES)
def test_the_interval_of_the_calibration_error_covers_that_of_many_images(rng, n, p, gap):
    found = []
    for _ in range(150):
        right = rng.random(n) < p - gap
        probability = np.full((n, 3), (1 - p) / 2)
        probability[:, 0] = p
        value, low, high = expected_calibration_error(probability, np.where(right, 0, 1))
        assert low <= value <= high
        found.append((low, high))
    assert coverage_of(gap, found) >= COVERED - 0.03
    if gap == 0:
        assert np.mean([low == 0 for low, _ in found]) > COVERED


def test_a_perfect_score_is_not_certain(rng):
    y = rng.integers(4, size=100)
    perfect = np.eye(4)[y]
    given = {"predict": y, "predict_proba": perfect, "class_scores": perfect, "y": y}
    for metric in (accuracy, balanced_accuracy, macro_f1, auroc, brier_score, log_loss, expected_calibration_error):
        entry = METRICS[metric.__name__]
        names = [dependency.name for dependency in entry.dependencies]
        arguments = {name: given[name] for name in names}
        value, low, high, _ = intervals.measure(metric, arguments, dict.fromkeys(names, "test"), entry.lowest, entry.highest)
        assert value == (1 if entry.higher_is_better else 0) and low <= value <= high
        assert 0.005 < high - low < 0.1, metric.__name__


def test_a_score_without_spread_has_an_interval_within_its_range_unless_it_has_none():
    rows = {"values": "test"}

    def constant(values):
        return values

    def single(values):
        return float(values.mean())

    for metric in (constant, single):
        given = {"values": np.full(100, 2.0)}
        unseen = intervals.wilson(0, 100)[1]
        assert intervals.measure(metric, given, rows)[:3] == (2, 2, 2), "a density may be the same for all images"
        assert intervals.measure(metric, given, rows, lowest=0.0)[:3] == pytest.approx((2, 2 - unseen, 2 + unseen))
        assert intervals.measure(metric, given, rows, lowest=2.0)[:3] == pytest.approx((2, 2, 2 + unseen))
        assert intervals.measure(metric, given, rows, highest=2.0)[:3] == pytest.approx((2, 2 - unseen, 2))


def test_metrics_of_changed_images_leave_out_the_unchanged_ones():
    correct = np.zeros((4, 2, 3), bool)
    correct[:, :, 0] = True
    correct[:2, 1, 1:] = True
    assert robustness(correct) == pytest.approx(0.25)
    assert adversarial(correct) == pytest.approx(0.5), "of the second condition, PGD, alone"
    assert missing_pixels(correct[:, 1:]) == pytest.approx(0.5)


def test_reconstruction_metrics_are_those_of_torchmetrics(reconstructed):
    import_torchvision()  # torchmetrics imports it
    from torchmetrics.functional.image import peak_signal_noise_ratio
    from torchmetrics.functional.regression import mean_squared_error

    x, reconstruction = (torch.from_numpy(part).double() for part in reconstructed)
    expected = peak_signal_noise_ratio(reconstruction, x, data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3))
    assert psnr(*reconstructed).mean() == pytest.approx(float(expected), rel=1e-6)
    assert reconstruction_mse(*reconstructed).mean() == pytest.approx(float(mean_squared_error(reconstruction, x)), rel=1e-6)
    assert psnr(reconstructed[0], reconstructed[0]).max() == 100


@pytest.mark.parametrize("rows", [(400, 300), (50, 60)], ids=["more rows than features", "fewer"])
def test_frechet_distance_is_that_of_torch_fidelity_and_scipy(rng, rows):
    import_torchvision()  # torch-fidelity imports it
    from scipy.linalg import sqrtm
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    mixing = rng.normal(size=(64, 64)) / 8
    a = np.maximum(rng.normal(size=(rows[0], 64)) @ mixing, 0)
    b = np.maximum(rng.normal(size=(rows[1], 64)) @ mixing + 0.2, 0)
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in (a, b)]
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    distance, _ = frechet_distance(a, b)
    assert distance == pytest.approx(expected, rel=1e-4)
    if min(rows) > 64:  # SciPy finds the root of a singular product less precisely
        covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        cross = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
        by_scipy = ((a.mean(0) - b.mean(0)) ** 2).sum() + covariances[0].trace() + covariances[1].trace() - 2 * cross
        assert distance == pytest.approx(by_scipy, rel=1e-4)
    assert frechet_distance(a, a)[0] == pytest.approx(0, abs=1e-6)


def test_bits_per_dimension_of_a_uniform_distribution_is_the_bit_depth_of_the_image():
    log_mass = np.full(5, -64 * math.log(256))
    assert bits_per_dim(log_mass, 64) == pytest.approx([8] * 5)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_states_its_direction_unit_formula_and_types(name):
    entry = METRICS[name]
    assert isinstance(entry.higher_is_better, bool) and entry.unit
    module = importlib.import_module(f"pofxy.evaluation.metrics.{name}")
    assert "\n\n    " in inspect.getdoc(module), "its formula stands indented in the module's docstring"
    assert entry.public == name
    signature = inspect.signature(getattr(module, name))
    kinds = (np.ndarray, float, tuple[float, float], tuple[float, float, float], tuple[np.ndarray, float])
    assert signature.return_annotation in kinds
    assert {parameter.annotation for parameter in signature.parameters.values()} <= {np.ndarray, int}


@pytest.mark.parametrize("name", METRICS)
def test_each_argument_of_a_metric_is_a_quantity_or_a_fact(name):
    known = {*catalog.quantities(), *catalog.facts()}
    unknown = {dependency.name for dependency in METRICS[name].dependencies} - known
    assert not unknown, f"nothing provides {unknown}"


def test_an_argument_that_nothing_provides_is_named():
    with pytest.raises(ValueError, match="'novelty' is an argument of a metric or quantity, and neither a quantity nor a fact"):
        catalog.why_not((catalog.Dependency("novelty"),), ("predict",))
