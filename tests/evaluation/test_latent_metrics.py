"""Latents and what is measured on them, inpainting, and structural similarity, against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch

from pofxy.base.prediction import predict_batched
from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation import intervals
from pofxy.evaluation.metrics.inpainting_error import inpainting_error
from pofxy.evaluation.metrics.inpainting_labels import inpainting_labels
from pofxy.evaluation.metrics.latent_ari import latent_ari
from pofxy.evaluation.metrics.latent_knn_accuracy import latent_knn_accuracy
from pofxy.evaluation.metrics.latent_nmi import latent_nmi
from pofxy.evaluation.metrics.latent_trustworthiness import latent_trustworthiness
from pofxy.evaluation.metrics.linear_probe import linear_probe
from pofxy.evaluation.metrics.ssim import ssim
from pofxy.evaluation.quantities import latent_probe
from pofxy.evaluation.tsne import embed


class Encoder:
    """Encodes images by a given function."""

    def __init__(self, function):
        self.encode = function


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def labeled_images():
    """Makes n images (1, 6, 6) whose first pixel is the class and the others noise: x, y of 60 test images, then of the rest."""

    def make(n=260, classes=4):
        generator = torch.Generator().manual_seed(0)
        y = torch.randint(classes, (n,), generator=generator)
        x = torch.rand(n, 1, 6, 6, generator=generator)
        x[:, 0, 0, 0] = y / (classes - 1)
        return x[:60], y[:60], x[60:], y[60:]

    return make


@pytest.fixture
def blobs(rng):
    """Makes n latents (n, 8) around the centers of five classes, and their labels; each call draws new ones."""

    def make(n, distance):
        y = rng.integers(5, size=n)
        centers = np.eye(5, 8) * 10 * distance
        return (centers[y] + rng.normal(size=(n, 8))).astype(np.float32), y

    return make


def probe_latents(model, x, y, x_train, y_train):
    """The latent probes with all test images."""
    return latent_probe.latent_probe(model, x, y, predict_batched(model, "encode", x), x_train, y_train)


def test_latents_that_are_the_class_need_one_label_per_class(labeled_images):
    x, y, x_train, y_train = labeled_images()
    one_hot = Encoder(lambda x: torch.nn.functional.one_hot((x[:, 0, 0, 0] * 3).round().long(), 4))
    probe = probe_latents(one_hot, x, y, x_train, y_train)
    assert probe.values.shape == (60, 4, 3) and probe.places == (1, 10, 50) and len(probe.conditions) == 4
    assert probe.values[:, :2].eq(1).all()
    assert probe.values[:, 2:].mean() < 0.8, "principal components of the pixels carry less information"
    assert (linear_probe(probe.values.numpy()) == 1).all() and (latent_knn_accuracy(probe.values.numpy()) == 1).all()


def test_latents_of_noise_reach_chance(labeled_images):
    x, y, x_train, y_train = labeled_images(2060)
    values = probe_latents(Encoder(lambda x: x[:, 0, 3:].flatten(1)), x, y, x_train, y_train).values.numpy()
    assert linear_probe(values).mean() == pytest.approx(0.25, abs=0.08)
    assert latent_knn_accuracy(values).mean() == pytest.approx(0.25, abs=0.08)
    assert set(np.unique((values[:, :, :2] * 5).round(4))) <= {0, 1, 2, 3, 4, 5}, "shares of five draws"
    assert set(np.unique(values[:, :, 2])) <= {0, 1}


def test_probes_with_all_labels_are_those_of_scikit_learn_on_latents_and_components(labeled_images):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    x, y, x_train, y_train = labeled_images(1060)
    encoder = Encoder(lambda x: 7 * x[:, 0, :2].flatten(1))
    values = probe_latents(encoder, x, y, x_train, y_train).values
    pca = PCA(12, svd_solver="full").fit(x_train.flatten(1).numpy())
    latents = [encoder.encode(rows).numpy() for rows in (x_train, x)]
    components = [pca.transform(rows.flatten(1).numpy()) for rows in (x_train, x)]
    for first, (train, test) in ((0, latents), (2, components)):
        mean = train.mean(0)
        scale = train.var(0).mean() ** 0.5
        label = LogisticRegression(max_iter=1000).fit((train - mean) / scale, y_train).predict((test - mean) / scale)
        assert np.mean((label == y.numpy()) == values[:, first, 2].bool().numpy()) > 0.98
        label = KNeighborsClassifier(5).fit(train, y_train).predict(test)
        assert np.mean((label == y.numpy()) == values[:, first + 1, 2].bool().numpy()) > 0.98


def test_labeled_rows_are_balanced_nested_and_the_same_for_every_model(rng):
    y = rng.permutation(np.repeat([0, 1, 2], [100, 40, 6]))
    sets = latent_probe._labelled(y)
    assert list(sets) == [1, 10, pytest.approx(146 / 3)] and [len(draws) for draws in sets.values()] == [5, 5, 1]
    for one, ten in zip(sets[1], sets[10], strict=True):
        assert np.bincount(y[one]).tolist() == [1, 1, 1] and np.bincount(y[ten]).tolist() == [10, 10, 6]
        assert set(one) <= set(ten)
    assert len({tuple(draw) for draw in sets[1]}) == 5
    again = latent_probe._labelled(y)
    assert all(np.array_equal(a, b) for few in sets for a, b in zip(sets[few], again[few], strict=True))
    assert list(latent_probe._labelled(np.repeat([0, 1], 7))) == [1, 7], "no more labels than there are"


def test_probes_accept_tables_and_long_latents():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 3, generator=generator)
    y = torch.arange(60) % 2
    probe = probe_latents(Encoder(lambda x: x.repeat(1, 5)), x[:20], y[:20], x[20:], y[20:])
    assert probe.values.shape == (20, 4, 3) and probe.values.isfinite().all()


def test_probes_leave_the_mode_of_a_module_as_it_is(labeled_images):
    """predict_batched gives a probe the latents in batches, without gradients and in evaluation mode."""
    net = torch.nn.Linear(36, 3)
    net.encode = lambda x: net(x.flatten(1))
    net.train()
    x, y, x_train, y_train = labeled_images()
    assert not predict_batched(net, "encode", x).requires_grad
    probe_latents(net, x, y, x_train, y_train)
    assert net.training


def test_clusters_that_are_the_classes_agree_whatever_their_numbers(rng):
    y = rng.integers(5, size=300)
    assert latent_nmi((y + 2) % 5, y) == pytest.approx(1) and latent_ari((y + 2) % 5, y) == pytest.approx(1)
    random_clusters = rng.integers(5, size=300)
    assert latent_nmi(random_clusters, y) < 0.08 and abs(latent_ari(random_clusters, y)) < 0.03


def test_agreement_of_clusters_is_that_of_scikit_learn_and_its_error_that_of_new_images(blobs):
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    latents, y = blobs(400, distance=0.25)
    kmeans = KMeans(5, n_init=5, random_state=0).fit(latents)
    # New images of the same distribution, with the centers of the clusters fixed: the interval is for these.
    new = [blobs(400, distance=0.25) for _ in range(40)]
    new_pairs = [(new_y, kmeans.predict(new_latents)) for new_latents, new_y in new]
    for metric, reference in ((latent_nmi, normalized_mutual_info_score), (latent_ari, adjusted_rand_score)):
        value, low, high, _ = intervals.measure(
            metric, {"latent_clusters": kmeans.labels_, "y": y}, {"latent_clusters": "test", "y": "test"}
        )
        assert value == pytest.approx(reference(y, kmeans.labels_))
        spread = np.std([reference(*pair) for pair in new_pairs], ddof=1)
        assert (high - low) / (2 * intervals.Z95) == pytest.approx(spread, rel=0.4)


def test_trustworthiness_is_that_of_scikit_learn(blobs):
    from sklearn.manifold import trustworthiness

    latents, _ = blobs(120, distance=0.5)
    latent_map = embed(latents)
    value, error = latent_trustworthiness(latents, latent_map)
    assert latent_map.shape == (120, 2) and np.array_equal(latent_map, embed(latents))
    assert value == pytest.approx(trustworthiness(latents, latent_map, n_neighbors=5), abs=1e-9)
    assert 0.8 < value <= 1 and 0 < error < 0.02


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [2, 3, 4, 5, 11, 12])
def test_trustworthiness_of_few_latents(rng, n):
    from sklearn.manifold import trustworthiness

    latents = rng.normal(size=(n, 6))
    latent_map = rng.normal(size=(n, 2))
    value, error = latent_trustworthiness(latents, latent_map)
    k = min(5, (n - 1) // 2)
    # Of two points each is the other's only neighbor, in any map.
    assert value == pytest.approx(trustworthiness(latents, latent_map, n_neighbors=k) if k else 1) and np.isfinite(error)


def test_two_dimensional_latents_are_their_own_map_and_the_map_has_500_points_at_most(rng):
    flat = rng.normal(size=(700, 2)).astype(np.float32)
    assert np.array_equal(embed(flat), flat[:500]) and latent_trustworthiness(flat, flat[:500])[0] == 1
    line = embed(flat[:40, :1])
    assert line.shape == (40, 2) and not line[:, 1].any() and latent_trustworthiness(flat[:40, :1], line)[0] == 1
    copies = np.zeros((40, 6), np.float32)
    copies[:, 0] = rng.normal(size=40) > 0
    assert np.isfinite(latent_trustworthiness(copies, embed(copies))[0]), "many latents may be the same"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "sigma"), [((3, 16, 16), 1.5), ((1, 28, 28), 1.5), ((1, 8, 8), 1.5 * 7 / 11), ((1, 10, 13), 1.5 * 9 / 11)]
)
def test_structural_similarity_is_that_of_torchmetrics(rng, shape, sigma):
    import_torchvision()  # torchmetrics imports it
    from torchmetrics.functional.image import structural_similarity_index_measure

    x = rng.random((510 if shape[1] == 8 else 30, *shape), dtype=np.float32)  # more than a batch of the smallest
    reconstruction = np.clip(x + 0.2 * rng.normal(size=x.shape), 0, 1).astype(np.float32)
    # torchmetrics derives the width of the window from sigma: 3.5 of them on either side.
    expected = structural_similarity_index_measure(
        torch.from_numpy(reconstruction).double(), torch.from_numpy(x).double(), sigma=sigma, data_range=1.0, reduction="none"
    )
    np.testing.assert_allclose(ssim(x, reconstruction), expected.numpy(), atol=1e-4)


def test_structural_similarity_of_an_image_with_itself_and_with_its_negative(rng):
    x = rng.random((5, 1, 16, 16), dtype=np.float32)
    np.testing.assert_allclose(ssim(x, x), 1)
    assert (ssim(x, 1 - x) < -0.5).all()


def test_metrics_of_inpainting_average_over_the_masks_for_each_image(rng):
    values = rng.random((7, 3, 1)).astype(np.float32)
    np.testing.assert_allclose(inpainting_error(values), values[:, :, 0].mean(1), rtol=1e-6)
    np.testing.assert_allclose(inpainting_labels(values > 0.5), (values[:, :, 0] > 0.5).mean(1))
