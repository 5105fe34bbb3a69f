"""Codes, their neighbours, clusters and maps, and structural similarity, against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch

from pofxy.base.prediction import predict_batched
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

RNG = np.random.default_rng(0)


class Code:
    """Encodes by a function of the images."""

    def __init__(self, function):
        self.encode = function


def made(n=260, classes=4, seed=0):
    """(n, 1, 6, 6) whose first pixel tells the class, among pixels that tell nothing."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=generator)
    x = torch.rand(n, 1, 6, 6, generator=generator)
    x[:, 0, 0, 0] = y / (classes - 1)
    return x[:60], y[:60], x[60:], y[60:]


def one_hot(x):
    return torch.nn.functional.one_hot((x[:, 0, 0, 0] * 3).round().long(), 4)


def test_a_code_that_is_the_class_is_read_with_one_label():
    x, y, x_train, y_train = made()
    found = latent_probe.coded(Code(one_hot), x, y, x_train, y_train)
    assert found.values.shape == (60, 4, 3) and found.places == (1, 10, 50) and len(found.conditions) == 4
    assert found.values[:, :2].eq(1).all()
    assert found.values[:, 2:].mean() < 0.8, "pixels say less"
    assert (linear_probe(found.values.numpy()) == 1).all() and (latent_knn_accuracy(found.values.numpy()) == 1).all()


def test_a_code_of_noise_is_read_by_chance():
    x, y, x_train, y_train = made(2060)
    values = latent_probe.coded(Code(lambda x: x[:, 0, 3:].flatten(1)), x, y, x_train, y_train).values.numpy()
    assert linear_probe(values).mean() == pytest.approx(0.25, abs=0.08)
    assert latent_knn_accuracy(values).mean() == pytest.approx(0.25, abs=0.08)
    assert set(np.unique((values[:, :, :2] * 5).round(4))) <= {0, 1, 2, 3, 4, 5}, "shares of five draws"
    assert set(np.unique(values[:, :, 2])) <= {0, 1}


def test_probes_with_all_labels_are_scikit_learns_on_codes_and_components():
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    x, y, x_train, y_train = made(1060)
    values = latent_probe.coded(Code(lambda x: 7 * x[:, 0, :2].flatten(1)), x, y, x_train, y_train).values
    components = PCA(12, svd_solver="full").fit(x_train.flatten(1).numpy())
    codes = [7 * rows[:, 0, :2].flatten(1).numpy() for rows in (x_train, x)]
    pixels = [components.transform(rows.flatten(1).numpy()) for rows in (x_train, x)]
    for first, (train, test) in ((0, codes), (2, pixels)):
        mean, scale = train.mean(0), train.var(0).mean() ** 0.5
        label = LogisticRegression(max_iter=1000).fit((train - mean) / scale, y_train).predict((test - mean) / scale)
        assert np.mean((label == y.numpy()) == values[:, first, 2].bool().numpy()) > 0.98
        label = KNeighborsClassifier(5).fit(train, y_train).predict(test)
        assert np.mean((label == y.numpy()) == values[:, first + 1, 2].bool().numpy()) > 0.98


def test_labelled_rows_are_as_many_of_each_class_nested_and_the_same_for_every_model():
    y = RNG.permutation(np.repeat([0, 1, 2], [100, 40, 6]))
    sets = latent_probe._labelled(y)
    assert list(sets) == [1, 10, pytest.approx(146 / 3)] and [len(draws) for draws in sets.values()] == [5, 5, 1]
    for one, ten in zip(sets[1], sets[10], strict=True):
        assert np.bincount(y[one]).tolist() == [1, 1, 1] and np.bincount(y[ten]).tolist() == [10, 10, 6]
        assert set(one) <= set(ten)
    assert len({tuple(draw) for draw in sets[1]}) == 5
    again = latent_probe._labelled(y)
    assert all(np.array_equal(a, b) for few in sets for a, b in zip(sets[few], again[few], strict=True))
    assert list(latent_probe._labelled(np.repeat([0, 1], 7))) == [1, 7], "no more labels than there are"


def test_probes_read_tables_and_long_codes():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 3, generator=generator), torch.arange(60) % 2
    found = latent_probe.coded(Code(lambda x: x.repeat(1, 5)), x[:20], y[:20], x[20:], y[20:])
    assert found.values.shape == (20, 4, 3) and found.values.isfinite().all()


def blobs(n=300, classes=5, apart=1.0):
    y = RNG.integers(classes, size=n)
    centre = np.eye(classes, 8) * 10 * apart
    return (centre[y] + RNG.normal(size=(n, 8))).astype(np.float32), y


def test_clusters_that_are_the_classes_agree_whatever_they_are_called():
    y = RNG.integers(5, size=300)
    assert latent_nmi((y + 2) % 5, y)[0] == pytest.approx(1) and latent_ari((y + 2) % 5, y)[0] == pytest.approx(1)
    chance = RNG.integers(5, size=300)
    assert latent_nmi(chance, y)[0] < 0.08 and abs(latent_ari(chance, y)[0]) < 0.03


def test_agreement_of_clusters_is_scikit_learns_and_its_error_that_of_fresh_images():
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    codes, y = blobs(400, apart=0.25)
    cluster = KMeans(5, n_init=5, random_state=0).fit_predict(codes)
    assert latent_nmi(cluster, y)[0] == pytest.approx(normalized_mutual_info_score(y, cluster))
    assert latent_ari(cluster, y)[0] == pytest.approx(adjusted_rand_score(y, cluster))
    # Other images of the same law, the clusters' centres as they are: the law under which the error is one.
    model = KMeans(5, n_init=5, random_state=0).fit(codes)
    fresh = [blobs(400, apart=0.25) for _ in range(40)]
    labels = [(y, model.predict(codes)) for codes, y in fresh]
    for metric, theirs in ((latent_nmi, normalized_mutual_info_score), (latent_ari, adjusted_rand_score)):
        spread = np.std([theirs(*pair) for pair in labels], ddof=1)
        assert metric(cluster, y)[1] == pytest.approx(spread, rel=0.4)


def test_trustworthiness_is_scikit_learns():
    from sklearn.manifold import trustworthiness

    codes, _ = blobs(120, apart=0.5)
    place = embed(codes)
    value, error = latent_trustworthiness(codes, place)
    assert place.shape == (120, 2) and np.array_equal(place, embed(codes))
    assert value == pytest.approx(trustworthiness(codes, place, n_neighbors=5), abs=1e-9)
    assert 0.8 < value <= 1 and 0 < error < 0.02


def test_a_flat_code_is_its_own_map_and_the_map_has_500_places_at_most():
    flat = RNG.normal(size=(700, 2)).astype(np.float32)
    assert np.array_equal(embed(flat), flat[:500]) and latent_trustworthiness(flat, flat[:500])[0] == 1
    line = embed(flat[:40, :1])
    assert line.shape == (40, 2) and not line[:, 1].any() and latent_trustworthiness(flat[:40, :1], line)[0] == 1
    same = np.zeros((40, 6), np.float32)
    same[:, 0] = RNG.normal(size=40) > 0
    assert np.isfinite(latent_trustworthiness(same, embed(same))[0]), "many codes may be the same"


@pytest.mark.parametrize(
    ("shape", "sigma"), [((3, 16, 16), 1.5), ((1, 28, 28), 1.5), ((1, 8, 8), 1.5 * 7 / 11), ((1, 10, 13), 1.5 * 9 / 11)]
)
def test_structural_similarity_is_torchmetrics(shape, sigma):
    from pofxy.data.torchvision_compat import import_torchvision

    import_torchvision()
    from torchmetrics.functional.image import structural_similarity_index_measure

    x = RNG.random((510 if shape[1] == 8 else 30, *shape), dtype=np.float32)  # more than a batch of the smallest
    found = np.clip(x + 0.2 * RNG.normal(size=x.shape), 0, 1).astype(np.float32)
    # Theirs takes the width of its window from sigma: 3.5 of them on either side.
    theirs = structural_similarity_index_measure(
        torch.from_numpy(found).double(), torch.from_numpy(x).double(), sigma=sigma, data_range=1.0, reduction="none"
    )
    np.testing.assert_allclose(ssim(x, found), theirs.numpy(), atol=1e-4)


def test_structural_similarity_of_the_image_itself_and_of_its_negative():
    x = RNG.random((5, 1, 16, 16), dtype=np.float32)
    np.testing.assert_allclose(ssim(x, x), 1)
    assert (ssim(x, 1 - x) < -0.5).all()


def test_metrics_of_inpainting_average_the_masks_for_each_image():
    values = RNG.random((7, 3, 1)).astype(np.float32)
    np.testing.assert_allclose(inpainting_error(values), values[:, :, 0].mean(1), rtol=1e-6)
    np.testing.assert_allclose(inpainting_labels(values > 0.5), (values[:, :, 0] > 0.5).mean(1))


def test_codes_may_come_from_a_verb_of_a_module():
    """predict_batched hands a probe what `encode` gives, in batches; none of them may move the model or its mode."""
    net = torch.nn.Linear(36, 3)
    net.encode = lambda x: net(x.flatten(1))
    net.train()
    x, y, x_train, y_train = made()
    assert not predict_batched(net, "encode", x).requires_grad
    latent_probe.coded(net, x, y, x_train, y_train)
    assert net.training
