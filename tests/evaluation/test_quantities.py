"""What a model is judged by, which metrics it gets, and each score's interval and passport."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pofxy.base.data import DataSpec
from pofxy.base.prediction import predict_batched
from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation import intervals
from pofxy.evaluation.context import EvaluationContext, open_inception
from pofxy.evaluation.evaluate import code_baselines, curves, scores
from pofxy.evaluation.inception import InceptionError
from pofxy.study import catalog

torch.set_num_threads(1)


class UniformDensity(torch.nn.Module):
    """The uniform law over the bins of all pixels: its exact mass is L^-D for every image."""

    measure = "density"

    def log_prob(self, x):
        low, high = -0.5 / 16, 1 + 0.5 / 16
        inside = ((x >= low) & (x <= high)).flatten(1).all(1)
        return torch.where(inside, torch.tensor(-x[0].numel() * math.log(high - low)), torch.tensor(-math.inf))


SPEC = DataSpec("made", (1, 4, 4), 10, 17, tuple("0123456789"))


def images(n, seed=0):
    """Random grey levels; the label shows in a pixel."""
    x = torch.randint(0, 17, (n, 1, 4, 4), generator=torch.Generator().manual_seed(seed)) / 16
    y = torch.arange(n) % 10
    x[:, 0, 0, 0] = y / 10
    return x, y


def evidence(model, **more):
    return EvaluationContext(model, images(80), images(120, seed=1), SPEC, **more)


def by_metric(found):
    rows, _ = found
    return {row["metric"]: row for row in rows}


def judge():
    """A feature net that reads four pixels, and the label off one of them."""
    net = torch.nn.Module()
    net.encode = lambda x: x.flatten(1)[:, :4]
    net.predict_proba = lambda x: torch.eye(10)[(x[:, 0, 0, 0] * 10).round().long().clamp(0, 9)]
    return net


def test_dequantisation_turns_a_density_into_the_mass_of_the_image():
    """For a law that is flat within each bin the bound is tight: log2 17 bits, with no spread between images."""
    rows, _ = scores(evidence(UniformDensity()), ("log_prob",))
    likelihood = [row for row in rows if row["metric"] == "bits_per_dim"]
    assert [row["split"] for row in likelihood] == ["test", "train"] and [row["n"] for row in likelihood] == [80, 80]
    for row in likelihood:
        assert row["value"] == pytest.approx(math.log2(17), abs=1e-5) and row["ci_low"] == pytest.approx(row["ci_high"], abs=1e-5)
        assert row["estimator"] == "uniform-dequantized bound" and row["unit"] == "bits/dim"


def test_verbs_decide_and_every_score_has_its_passport():
    labels = torch.arange(80) % 10
    model = SimpleNamespace(predict=lambda x: labels[: len(x)].where(torch.arange(len(x)) >= 20, (labels[: len(x)] + 1) % 10))
    found, per_image = scores(evidence(model), ("predict",))
    rows = {row["metric"]: row for row in found}
    assert set(rows) == {"accuracy", "balanced_accuracy", "macro_f1", "missing_pixels", "robustness"}
    assert rows["missing_pixels"]["estimator"] == "mean imputation"
    row = rows["accuracy"]
    assert row["value"] == 0.75 and row["n"] == 80 and row["split"] == "test"
    assert 0.6 < row["ci_low"] < 0.75 < row["ci_high"] < 0.9
    # The normal approximation of a share's interval, within the bootstrap's own noise.
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 80), rel=0.15)
    assert set(per_image) == {"accuracy"} and per_image["accuracy"].sum() == 60, "what is a mean over the test images is kept"


def test_samples_are_compared_with_as_many_test_images():
    x, _ = images(50, seed=2)
    found = by_metric(scores(evidence(SimpleNamespace(), samples=(x, torch.full((50,), -1)), judge=judge()), ("sample",)))
    row = found["frechet_distance"]
    assert row["n"] == 50 and row["estimator"].startswith("feature_net ") and row["ci_low"] < row["value"] < row["ci_high"]
    assert found["authenticity"]["estimator"] == "pixels"
    assert not {"label_agreement", "train_on_synthetic", "inception_distance"} & set(found), "no labels, no Inception"


def test_labels_that_were_asked_for_are_judged():
    class Judge(torch.nn.Module):
        """The judge's architecture, as evidence makes and fits it anew."""

        def __init__(self, steps=0):
            super().__init__()
            self.encode, self.predict_proba = judge().encode, judge().predict_proba

        def fit(self, data, trainer):
            self.seen = len(data.x), len(data.x_val)

        def predict(self, x):
            return self.predict_proba(x).argmax(1)

    model = SimpleNamespace(conditional=True)
    x, y = images(50, seed=2)
    wrong = torch.cat([y[:10] + 1, y[10:]]) % 10
    rows = by_metric(scores(evidence(model, samples=(x, wrong), judge=Judge()), ("sample",)))
    assert rows["label_agreement"]["value"] == 0.8
    assert rows["train_on_synthetic"]["value"] == rows["train_on_union"]["value"] == 1
    assert rows["train_on_synthetic"]["n"] == 80, "of the test images"


def test_a_floor_is_a_distribution_over_draws():
    """Ten sets of samples from one and the same law: the interval is their spread."""

    class Real(torch.nn.Module):
        redraws, real = 10, True

        def sample(self, n, labels=None):
            return images(n, seed=int(torch.randint(1000, ())))[0]

    model = Real()
    x = model.sample(80)
    rows = by_metric(scores(evidence(model, samples=(x, torch.full((80,), -1)), judge=judge()), ("sample",)))
    row = rows["frechet_distance"]
    assert row["estimator"].endswith(", 10 draws") and row["ci_low"] < row["value"] < row["ci_high"]
    assert "draws" not in rows["authenticity"]["estimator"], "the train images lie as near to one draw as to another"


def test_real_images_are_no_copies_of_themselves():
    x, _ = images(120, seed=1)
    copied = {"samples": (x[:60], torch.full((60,), -1)), "judge": judge()}
    kept = evidence(SimpleNamespace(real=True), **copied)
    assert len(kept.unseen) == 60 and kept.get("sample_nearest_train").min() > 0
    assert evidence(SimpleNamespace(), **copied).get("sample_nearest_train").max() == 0
    assert kept.get("pool_size") == 60 and kept.get("train_pixels").shape == (60, 1, 4, 4)


def test_a_quantity_does_not_hang_on_what_was_asked_before():
    class Random(torch.nn.Module):
        def encode(self, x):
            return torch.randn(len(x), 3)

        def reconstruct(self, x):
            return torch.rand_like(x)

    first, second = evidence(Random()), evidence(Random())
    first.get("reconstruct")
    assert np.array_equal(first.get("codes"), second.get("codes"))
    assert np.array_equal(first.get("reconstruct"), second.get("reconstruct"))


def test_codes_have_principal_components_of_their_size_for_a_baseline():
    class FirstPixels(torch.nn.Module):
        def encode(self, x):
            return x.flatten(1)[:, :3]

    given = evidence(FirstPixels())
    assert given.pca.get("codes").shape == (80, 3)
    assert set(given.get("code_clusters")) == set(range(10)), "as many clusters as classes"
    assert set(code_baselines(given)) == {"latent_nmi", "latent_ari", "latent_trustworthiness"}


def test_a_model_of_binary_images_has_a_column_of_its_own():
    class Coin(torch.nn.Module):
        binarized = "threshold"

        def log_prob(self, x):
            assert ((x == 0) | (x == 1)).all()
            return torch.full((len(x),), -16 * math.log(2))

    rows, _ = scores(evidence(Coin()), ("log_prob",))
    likelihoods = [row for row in rows if "outliers" not in row["metric"]]
    assert {row["metric"] for row in likelihoods} == {"nats_binarized_threshold"}
    assert likelihoods[0]["value"] == pytest.approx(16 * math.log(2)) and "nats" in likelihoods[0]["unit"]


def test_a_normalisers_error_is_in_every_interval(monkeypatch):
    from pofxy.evaluation import likelihood

    estimate = likelihood.Estimate(torch.full((80,), -10.0), "AIS", bound=False, common_error=0.5, note="log Z = 3")
    monkeypatch.setattr(likelihood, "estimates", lambda *_: [estimate])
    given = evidence(UniformDensity())
    rows, per_image = scores(given, ("log_prob",))
    assert given.notes == ["log Z = 3"] and "bits_per_dim" not in per_image, "a shared error is no matter of single images"
    row = next(row for row in rows if row["metric"] == "bits_per_dim")
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * 0.5 / (16 * math.log(2)), rel=1e-5)


def test_a_score_that_is_no_number_is_an_error():
    broken = SimpleNamespace(predict_proba=lambda x: torch.full((len(x), 10), math.nan))
    with pytest.raises(ValueError, match="metric brier_score is nan"):
        scores(evidence(broken), ("predict_proba",))


def test_a_table_gets_what_makes_sense_for_tables():
    spec = DataSpec("table", (3,), 2, None, ("a", "b"))

    class Law(torch.nn.Module):
        measure = "density"

        def predict(self, x):
            return (x[:, 0] > 0.5).long()

        def log_prob(self, x):
            return torch.zeros(len(x))

    x = torch.rand(100, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    net = torch.nn.Module()
    net.encode, net.predict_proba = (lambda x: x), (lambda x: torch.eye(2)[(x[:, 0] > 0.5).long()])
    samples = torch.rand(40, 3, generator=torch.Generator().manual_seed(1)), torch.full((40,), -1)
    capabilities = ("predict", "log_prob", "sample")
    given = EvaluationContext(Law(), (x[:50], y[:50]), (x[50:], y[50:]), spec, samples=samples, judge=net)
    rows, _ = scores(given, capabilities)
    found = {row["metric"] for row in rows}
    assert {"accuracy", "balanced_accuracy", "macro_f1", "missing_pixels", "log_density", "coverage", "ndb"} <= found
    assert not {"bits_per_dim", "sharpness", "brightness", "robustness", "ood_likelihood"} & found
    assert {row["unit"] for row in rows if row["metric"] == "log_density"} == {"nats"}
    assert {row["curve"] for row in curves(given, capabilities)} == {"missing_pixels"}


def test_test_images_of_another_size_are_refused_by_name():
    with pytest.raises(ValueError, match=r"made: test images are \(1, 5, 4\), and the models were fitted on \(1, 4, 4\)"):
        EvaluationContext(None, (torch.zeros(3, 1, 5, 4), torch.zeros(3)), images(9), SPEC)


def test_outliers_come_from_another_data_set():
    named = evidence(None, others={"letters": images(5)[0]})
    assert set(named.others) == {"letters"}
    assert set(evidence(None).others) == {"known_images"} and evidence(None).others["known_images"].shape[1:] == (1, 4, 4)
    law = DataSpec("drawn", (1, 8, 8), 10, 17, tuple("0123456789"), law={"of": "known_images"})
    x = torch.zeros(10, 1, 8, 8), torch.arange(10)
    digits = EvaluationContext(None, x, x, law).others["digits"]
    assert digits.shape[1:] == (1, 8, 8) and digits.max() == 1 and torch.equal((digits * 16).round(), digits * 16)
    with pytest.raises(ValueError, match=r"outliers: letters has images \(1, 5, 5\), and made has \(1, 4, 4\)"):
        evidence(None, others={"letters": torch.zeros(3, 1, 5, 5)})


@pytest.mark.parametrize(("right", "n"), [(0, 20), (7, 20), (20, 20), (351, 360)])
def test_wilsons_interval_is_scipys(right, n):
    from scipy.stats import binomtest

    low, high = intervals.wilson(right, n)
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-4)


def test_rows_that_belong_together_are_drawn_together():
    seen = []

    def paired(sample_features, sample_labels, y):
        seen.append((sample_features == sample_labels).all() and len(y) == 7)
        return float(sample_features.mean())

    arguments = {"sample_features": np.arange(9.0), "sample_labels": np.arange(9.0), "y": np.arange(7)}
    value, low, high, _ = intervals.measure(paired, arguments)
    assert all(seen) and low < value < high
    assert intervals.measure(lambda: (2.0, 0.5), {})[:3] == pytest.approx((2, 2 - 0.98, 2 + 0.98))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A randomly initialised Inception-v3, in both formats."""
    torch.manual_seed(0)
    net = import_torchvision().models.inception_v3(weights=None, init_weights=False)
    folder = tmp_path_factory.mktemp("inception")
    save_file(net.state_dict(), folder / "net.safetensors")
    torch.save(net.state_dict(), folder / "net.pth")
    return folder


def test_the_standard_feature_net_takes_weights_from_a_file(weights):
    nets = [open_inception(str(weights / name)) for name in ("net.safetensors", "net.pth")]
    x, _ = images(6)
    features = [predict_batched(net, "encode", x) for net in nets]
    assert features[0].shape == (6, 2048) and torch.equal(*features) and features[0].std() > 0
    given = evidence(SimpleNamespace(), samples=(images(6, seed=3)[0], torch.full((6,), -1)), judge=judge(), inception=nets[0])
    entry = catalog.metrics()["inception_distance"]
    assert given.suits("sample_inception") and given.estimator("sample_inception").startswith("Inception-v3 ")
    asked = {name: given.get(name) for name in entry.parameters}
    assert all(features.shape == (6, 2048) for features in asked.values())


def test_weights_that_are_none_are_refused_in_one_line(tmp_path):
    (tmp_path / "wrong.safetensors").write_bytes(b"no weights")
    for name, cause in {"missing.pth": "there is no such file", "wrong.safetensors": "not the weights"}.items():
        with pytest.raises(InceptionError, match=cause) as caught:
            open_inception(str(tmp_path / name))
        assert "\n" not in str(caught.value) and name in str(caught.value)
