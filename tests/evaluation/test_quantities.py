"""The graph of quantities: which metrics a model gets, each score's interval and provenance, and what is kept."""

import math
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pofxy.base.data import DataSpec
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import Tags
from pofxy.data.torchvision_compat import import_torchvision
from pofxy.evaluation import graph as graph_module
from pofxy.evaluation import intervals, kept_values, likelihood
from pofxy.evaluation.evaluate import notes
from pofxy.evaluation.facts import FACTS, Facts, open_inception
from pofxy.evaluation.graph import Graph, as_array
from pofxy.evaluation.inception import InceptionError
from pofxy.evaluation.kept_values import KeptValues
from pofxy.evaluation.quantities.ood_images import ood_images
from pofxy.evaluation.quantity import Gallery, NotApplicable, ProbeResult
from pofxy.evaluation.scores import measure_curves, measure_pca_baselines, measure_scores
from pofxy.study import catalog
from pofxy.workflow import cost
from pofxy.workflow.job import TimeLimitExceeded, time_limit

SPEC = DataSpec("made", (1, 4, 4), 10, 17, tuple("0123456789"))


class UniformDensity(torch.nn.Module):
    """The uniform distribution over the bins of all pixels: its exact mass is L^-D for every image."""

    tags = Tags(likelihood="density")

    def log_prob(self, x):
        low, high = -0.5 / 16, 1 + 0.5 / 16
        inside = ((x >= low) & (x <= high)).flatten(1).all(1)
        return torch.where(inside, torch.tensor(-x[0].numel() * math.log(high - low)), torch.tensor(-math.inf))


class FeatureNet(torch.nn.Module):
    """Its features are four pixels, and it reads the label off one of them; trained, it notes on how many images."""

    trained_on: ClassVar[list] = []

    def __init__(self, steps=0):
        super().__init__()

    def encode(self, x):
        return x.flatten(1)[:, :4]

    def predict_proba(self, x):
        return torch.eye(10)[(x[:, 0, 0, 0] * 10).round().long().clamp(0, 9)]

    def fit(self, data, trainer):
        self.trained_on.append((len(data.x), len(data.x_val)))

    def predict(self, x):
        return self.predict_proba(x).argmax(1)


def images(n, seed=0):
    """Random gray levels; the label shows in a pixel."""
    x = torch.randint(0, 17, (n, 1, 4, 4), generator=torch.Generator().manual_seed(seed)) / 16
    y = torch.arange(n) % 10
    x[:, 0, 0, 0] = y / 10
    return x, y


def graph(model, *capabilities, kept=None, code=None, **more):
    """The graph of a model on made images; its facts have their names for digests where values are to be kept."""
    (x, y), (x_train, y_train) = images(80), images(120, seed=1)
    facts = Facts.of(model=model, spec=SPEC, x=x, y=y, x_train=x_train, y_train=y_train, **more)
    digests = {name: name for name in FACTS} if kept else {}
    return Graph(Facts(facts.openers, digests), capabilities, code, kept)


def unlabelled(x):
    return {"samples": x, "requested_labels": torch.full((len(x),), -1), "feature_net": FeatureNet()}


def by_metric(found):
    return {row["metric"]: row for row in found.rows}


def test_dequantization_turns_a_density_into_the_mass_of_the_image():
    """For a distribution that is flat within each bin the bound is tight: log2 17 bits, with no spread between images."""
    rows = [row for row in measure_scores(graph(UniformDensity(), "log_prob")).rows if row["metric"] == "bits_per_dim"]
    assert [row["split"] for row in rows] == ["test", "train"] and [row["n"] for row in rows] == [80, 80]
    for row in rows:
        assert row["value"] == pytest.approx(math.log2(17), abs=1e-5) and row["ci_low"] == pytest.approx(row["ci_high"], abs=1e-5)
        assert row["estimator"] == "uniform-dequantized bound" and row["unit"] == "bits/dim" and row["bound"] is True


def test_a_bound_is_known_whatever_its_name_says():
    class OneLatent(torch.nn.Module):
        tags = Tags(bound="one code")

        def log_prob_bound(self, x):
            return torch.full((len(x),), -20.0)

    class Exact(torch.nn.Module):
        def log_prob(self, x):
            return torch.full((len(x),), -20.0)

    rows = {
        name: by_metric(measure_scores(graph(model, name)))
        for name, model in (("log_prob_bound", OneLatent()), ("log_prob", Exact()))
    }
    assert rows["log_prob_bound"]["bits_per_dim"]["bound"] is True and rows["log_prob"]["bits_per_dim"]["bound"] is False
    assert rows["log_prob"]["ood_likelihood"]["bound"] == "", "an AUROC is no likelihood"


def test_capabilities_decide_and_every_score_has_its_provenance():
    labels = torch.arange(80) % 10
    model = SimpleNamespace(predict=lambda x: labels[: len(x)].where(torch.arange(len(x)) >= 20, (labels[: len(x)] + 1) % 10))
    found = measure_scores(graph(model, "predict"))
    rows = by_metric(found)
    assert set(rows) == {"accuracy", "balanced_accuracy", "macro_f1", "missing_pixels", "robustness"}
    assert rows["missing_pixels"]["estimator"] == "mean imputation"
    row = rows["accuracy"]
    assert row["value"] == 0.75 and row["n"] == 80 and row["split"] == "test"
    assert 0.6 < row["ci_low"] < 0.75 < row["ci_high"] < 0.9
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(intervals.wilson(60, 80))
    assert set(found.per_image) == {"accuracy"} and found.per_image["accuracy"].sum() == 60, "the values of a mean are kept"


def test_samples_are_compared_with_as_many_test_images():
    found = by_metric(measure_scores(graph(SimpleNamespace(), "sample", **unlabelled(images(50, seed=2)[0]))))
    row = found["frechet_distance"]
    assert row["n"] == 50 and row["estimator"].startswith("feature_net ") and row["ci_low"] < row["value"] < row["ci_high"]
    assert found["authenticity"]["estimator"] == "pixels"
    assert not {"label_agreement", "train_on_synthetic", "inception_distance"} & set(found), "no labels, no Inception"


def test_requested_labels_are_compared():
    x, y = images(50, seed=2)
    wrong = torch.cat([y[:10] + 1, y[10:]]) % 10
    given = {"samples": x, "requested_labels": wrong, "feature_net": FeatureNet()}
    FeatureNet.trained_on.clear()
    rows = by_metric(measure_scores(graph(SimpleNamespace(tags=Tags(conditional=True)), "sample", **given)))
    assert rows["label_agreement"]["value"] == 0.8
    assert rows["train_on_synthetic"]["value"] == rows["train_on_union"]["value"] == 1
    assert rows["train_on_synthetic"]["n"] == 80, "of the test images"
    assert rows["train_on_synthetic"]["estimator"] == "feature_net's architecture, 200 steps"
    assert FeatureNet.trained_on == [(45, 5), (153, 17)], "a tenth is held out"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_scores_of_very_few_samples_are_finite_or_left_out(n):
    x, y = images(n, seed=2)
    given = {"samples": x, "requested_labels": y, "feature_net": FeatureNet()}
    rows = by_metric(measure_scores(graph(SimpleNamespace(tags=Tags(conditional=True)), "sample", **given)))
    assert all(math.isfinite(row[column]) for row in rows.values() for column in ("value", "ci_low", "ci_high"))
    needed = {"frechet_distance", "kernel_distance", "two_sample_test", "precision", "sharpness"}
    assert needed <= set(rows) if n > 1 else not needed & set(rows)
    assert rows["label_agreement"]["n"] == n and "frechet_distance_infinity" not in rows


def test_the_number_of_rows_is_that_of_what_was_judged():
    x, y = images(50, seed=2)
    given = {"samples": x, "requested_labels": y, "feature_net": FeatureNet()}
    rows = by_metric(measure_scores(graph(SimpleNamespace(tags=Tags(conditional=True)), "sample", **given)))
    judged = {name: row["n"] for name, row in rows.items()}
    assert judged["two_sample_test"] == 50 + 50, "samples and test images"
    assert judged["ndb"] == 10, "bins"
    assert judged["precision"] == judged["density"] == judged["authenticity"] == judged["label_agreement"] == 50, "samples"
    assert judged["train_on_synthetic"] == judged["train_on_union"] == 80, "test images"
    assert judged["recall"] == judged["coverage"] == judged["frechet_distance"] == 50, "as many test images as samples"


def test_a_floor_is_a_distribution_over_redraws():
    """Ten sets of samples from one and the same distribution: the interval is their spread."""

    class Real(torch.nn.Module):
        tags = Tags(n_redraws=10, samples_are_real=True)

        def sample(self, n, labels=None):
            return images(n, seed=int(torch.randint(1000, ())))[0]

    model = Real()
    rows = by_metric(measure_scores(graph(model, "sample", **unlabelled(model.sample(80)))))
    row = rows["frechet_distance"]
    assert row["estimator"].endswith(", 10 draws") and row["ci_low"] < row["value"] < row["ci_high"]
    assert "draws" not in rows["authenticity"]["estimator"], "train images are as near to one set as to another"


def test_real_images_are_no_copies_of_themselves():
    x, _ = images(120, seed=1)
    real = graph(SimpleNamespace(tags=Tags(samples_are_real=True)), "sample", **unlabelled(x[:60]))
    assert len(real.get("unseen_train")) == 60 and real.get("sample_nearest_train").min() > 0
    assert graph(SimpleNamespace(), "sample", **unlabelled(x[:60])).get("sample_nearest_train").max() == 0
    assert real.get("pool_size") == 60 and real.get("train_pixels").shape == (60, 1, 4, 4)


class Random(torch.nn.Module):
    """Latents and reconstructions at random; it counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def encode(self, x):
        self.calls += 1
        return torch.randn(len(x), 3)

    def reconstruct(self, x):
        return torch.rand_like(x)


def test_a_quantity_does_not_depend_on_what_was_computed_before():
    first, second = graph(Random(), "encode", "reconstruct"), graph(Random(), "encode", "reconstruct")
    first.get("reconstruct")
    assert torch.equal(first.get("latents"), second.get("latents"))
    assert torch.equal(first.get("reconstruct"), second.get("reconstruct"))


def test_latents_have_principal_components_of_their_size_for_a_baseline():
    class FirstPixels(torch.nn.Module):
        def encode(self, x):
            return x.flatten(1)[:, :3]

    given = graph(FirstPixels(), "encode")
    assert given.get("pca_latents").shape == (80, 3)
    assert set(given.get("latent_clusters")) == set(range(10)), "as many clusters as classes"
    baselines = measure_pca_baselines(given)
    assert set(baselines) == {"latent_nmi", "latent_ari", "latent_trustworthiness"}
    own = by_metric(measure_scores(given, baselines))
    assert baselines["latent_trustworthiness"] != own["latent_trustworthiness"]["value"]


def test_a_model_of_binary_images_has_a_metric_of_its_own():
    class Coin(torch.nn.Module):
        tags = Tags(binarized="threshold")

        def log_prob(self, x):
            assert ((x == 0) | (x == 1)).all()
            return torch.full((len(x),), -16 * math.log(2))

    rows = measure_scores(graph(Coin(), "log_prob")).rows
    likelihoods = [row for row in rows if not row["metric"].startswith("ood")]
    assert {row["metric"] for row in likelihoods} == {"nats_binarized_threshold"}
    assert likelihoods[0]["value"] == pytest.approx(16 * math.log(2)) and "nats" in likelihoods[0]["unit"]


def test_a_normalizers_error_is_in_every_interval(monkeypatch):
    estimate = likelihood.Estimate(torch.full((80,), -10.0), "AIS", bound=False, common_error=0.5, note="log Z = 3")
    monkeypatch.setattr(likelihood, "estimates", lambda *_: [estimate])
    given = graph(UniformDensity(), "log_prob")
    found = measure_scores(given)
    assert notes(given) == ["log Z = 3"] and "bits_per_dim" not in found.per_image, "images share the error"
    row = by_metric(found)["bits_per_dim"]
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * intervals.Z95 * 0.5 / (16 * math.log(2)), rel=1e-5)


@pytest.mark.parametrize(
    ("tags", "n", "n_masked"),
    [
        (Tags(), 500, 500),
        (Tags(passes=4), 250, 500),
        (Tags(passes_per_class=True), 100, 100),
        (Tags(passes=64, inpainting_passes=3), 100, 333),
        (Tags(inpainting_passes=0), 500, 100),  # once for each of 16 pixels would be 62 images: too few
    ],
)
def test_probes_take_fewer_images_of_a_model_with_many_passes(tags, n, n_masked):
    x, y = images(600)
    model = SimpleNamespace(tags=tags)
    given = Graph(Facts.of(model=model, spec=SPEC, x=x, y=y, x_train=x, y_train=y), ("predict", "inpaint"))
    assert torch.equal(given.get("x_probe"), x[:n]) and torch.equal(given.get("y_probe"), y[:n])
    assert torch.equal(given.get("x_masked"), x[:n_masked]) and torch.equal(given.get("y_masked"), y[:n_masked])
    model.inpaint = lambda x, mask: x
    row = by_metric(measure_scores(given, ["inpainting_error"]))["inpainting_error"]
    assert row["n"] == n_masked


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 6), (0.15, 4), (0.6, 2)])
def test_a_slow_prediction_is_timed_fewer_times(monkeypatch, seconds, calls):
    """One call that does not count, and then five, or as many as fit into half a second."""
    clock = [0.0]
    seen = []

    def predict(x):
        seen.append(len(x))
        clock[0] += seconds * len(x) / 256
        return torch.zeros(len(x))

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock[0])
    took = cost.milliseconds_to_predict(SimpleNamespace(predict=predict), torch.zeros(300, 1))
    assert seen == [1] * 6 + [256] * calls
    assert took["predict_ms_per_image"] == pytest.approx(1000 * seconds / 256)


def test_a_time_limit_names_what_was_computed():
    def predict(x):
        time.sleep(10)

    with pytest.raises(TimeLimitExceeded, match=r"time limit of 0\.2 s, while computing predict"), time_limit(0.2):
        graph(SimpleNamespace(predict=predict), "predict").get("predict")


def test_what_takes_long_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(graph_module, "SLOW_SECONDS", 0.05)
    with caplog.at_level("INFO", "pofxy"):
        graph(SimpleNamespace(predict=lambda x: time.sleep(0.1) or torch.zeros(len(x))), "predict").get("predict")
    assert [record.getMessage() for record in caplog.records] == ["predict took 0 s"]


def test_a_score_that_is_no_number_is_an_error():
    broken = SimpleNamespace(predict_proba=lambda x: torch.full((len(x), 10), math.nan))
    with pytest.raises(ValueError, match="metric brier_score is nan"):
        measure_scores(graph(broken, "predict_proba"))


def test_a_table_gets_what_makes_sense_for_tables():
    spec = DataSpec("table", (3,), 2, None, ("a", "b"))

    class Half(torch.nn.Module):
        tags = Tags(likelihood="density")

        def predict(self, x):
            return (x[:, 0] > 0.5).long()

        def log_prob(self, x):
            return torch.zeros(len(x))

    x = torch.rand(100, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    net = torch.nn.Module()
    net.encode, net.predict_proba = (lambda x: x), (lambda x: torch.eye(2)[(x[:, 0] > 0.5).long()])
    samples = torch.rand(40, 3, generator=torch.Generator().manual_seed(1))
    facts = Facts.of(
        model=Half(),
        spec=spec,
        x=x[:50],
        y=y[:50],
        x_train=x[50:],
        y_train=y[50:],
        samples=samples,
        requested_labels=torch.full((40,), -1),
        feature_net=net,
    )
    given = Graph(facts, ("predict", "log_prob", "sample"))
    rows = measure_scores(given).rows
    found = {row["metric"] for row in rows}
    assert {"accuracy", "balanced_accuracy", "macro_f1", "missing_pixels", "log_density", "coverage", "ndb"} <= found
    assert not {"bits_per_dim", "sharpness", "brightness", "robustness", "ood_likelihood"} & found
    assert {row["unit"] for row in rows if row["metric"] == "log_density"} == {"nats"}
    assert {row["curve"] for row in measure_curves(given)} == {"missing_pixels"}


def test_data_of_another_shape_are_refused_by_name():
    with pytest.raises(ValueError, match=r"made: the test images are \(1, 5, 4\), and the models were fitted on \(1, 4, 4\)"):
        Facts.of(spec=SPEC, x=torch.zeros(3, 1, 5, 4)).openers["x"]()
    with pytest.raises(ValueError, match=r"ood_datasets: letters has images \(1, 5, 5\), and made has \(1, 4, 4\)"):
        ood_images(images(5)[0], 17, SPEC, {"letters": torch.zeros(3, 1, 5, 5)})


def test_ood_images_come_from_another_data_set():
    x, _ = images(20)
    assert "letters" in ood_images(x, 17, SPEC, {"letters": images(5)[0]})
    assert ood_images(x, 17, SPEC, {})["known_images"].shape[1:] == (1, 4, 4)
    drawn = DataSpec("drawn", (1, 8, 8), 10, 17, tuple("0123456789"), distribution={"of": "known_images"})
    digits = ood_images(torch.zeros(10, 1, 8, 8), 17, drawn, {})["digits"]
    assert digits.shape[1:] == (1, 8, 8) and digits.max() == 1 and torch.equal((digits * 16).round(), digits * 16)


def test_what_cannot_be_had_says_why():
    with pytest.raises(NotApplicable, match="no encode"):
        graph(UniformDensity(), "log_prob").get("latents")
    with pytest.raises(NotApplicable, match="weights of the standard feature net"):
        graph(SimpleNamespace(), "sample", **unlabelled(images(20)[0])).get("sample_inception")


class TestKeptValues:
    """Values outlive the job, as long as what they were made of is the same."""

    def code(self, **other):
        names = [entry.path for entry in (*catalog.quantities().values(), *catalog.metrics().values())]
        return {str(path.relative_to(catalog.PACKAGE)): "1" for path in names} | other

    def test_nothing_is_computed_twice(self, tmp_path):
        first, second = Random(), Random()
        rows = measure_scores(graph(first, "encode", kept=KeptValues(tmp_path), code=self.code())).rows
        assert first.calls > 0
        again = measure_scores(graph(second, "encode", kept=KeptValues(tmp_path), code=self.code())).rows
        assert again == rows and second.calls == 0

    @pytest.mark.parametrize(
        ("edited", "computed"),
        [
            ("evaluation/quantities/latents.py", {"latents", "latent_clusters", "latent_map", "latent_probe"}),
            ("evaluation/quantities/latent_probe.py", {"latent_probe"}),
            ("evaluation/metrics/latent_nmi.py", set()),
        ],
    )
    def test_an_edited_file_computes_what_it_is_in_alone(self, tmp_path, monkeypatch, edited, computed):
        measure_scores(graph(Random(), "encode", kept=KeptValues(tmp_path), code=self.code()))
        seen = []
        compute = Graph._compute
        monkeypatch.setattr(Graph, "_compute", lambda self, entry: seen.append(entry) or compute(self, entry))
        measure_scores(graph(Random(), "encode", kept=KeptValues(tmp_path), code=self.code(**{edited: "2"})))
        assert {entry.name for entry in seen if entry.kept} == computed

    def test_other_data_are_another_value(self, tmp_path):
        first = graph(Random(), "encode", kept=KeptValues(tmp_path), code=self.code())
        assert first.key("latent_clusters") and first.key("latent_clusters") != first.key("latents")
        digests = {name: name for name in FACTS} | {"x": "other"}
        second = Graph(Facts(first.facts.openers, digests), ("encode",), self.code(), KeptValues(tmp_path))
        assert second.key("latent_clusters") != first.key("latent_clusters")
        assert graph(Random(), "encode").key("latents") == "", "without digests there is nothing to keep it by"

    def test_every_kind_of_value_comes_back_as_it_was(self, tmp_path):
        kept = KeptValues(tmp_path)
        values = {
            "tensor": torch.arange(6).view(2, 3),
            "array": np.arange(4, dtype=np.float32),
            "mixed": [(torch.ones(2), 1), {"a": 0.25, "b": [None, "text", True]}],
            "probe": ProbeResult(torch.zeros(2, 1, 1), ("one",), (0.0,)),
            "estimate": likelihood.Estimate(torch.zeros(3), "exact", bound=False),
            "gallery": Gallery(torch.ones(1, 1, 2, 2), columns=1, caption="x"),
            "reason": NotApplicable("no images"),
        }
        for name, value in values.items():
            kept.save(name, "key", value)
            known, found = kept.load(name, "key")
            assert known and type(found) is type(value)
            assert str(found) == str(value), name
            assert kept.load(name, "another key") == (False, None)

    def test_the_folder_is_bounded_and_a_broken_file_is_as_good_as_none(self, tmp_path, monkeypatch):
        monkeypatch.setattr(kept_values, "MAX_MEGABYTES", 0.01)
        kept = KeptValues(tmp_path)
        kept.save("small", "key", torch.zeros(1000))
        kept.save("large", "key", torch.zeros(10_000))
        assert [path.stem for path in tmp_path.iterdir()] == ["small"]
        (tmp_path / "small.safetensors").write_bytes(b"broken")
        assert kept.load("small", "key") == (False, None)


@pytest.mark.parametrize(("right", "n"), [(0, 20), (7, 20), (20, 20), (351, 360)])
def test_wilsons_interval_is_scipys(right, n):
    from scipy.stats import binomtest

    low, high = intervals.wilson(right, n)
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_rows_that_belong_together_are_resampled_together():
    seen = []

    def paired(features, labels, y):
        seen.append((features == labels).all() and len(y) == 7)
        return float(features.mean())

    arguments = {"features": np.arange(9.0), "labels": np.arange(9.0), "y": np.arange(7)}
    rows = {"features": "samples", "labels": "samples", "y": "test"}
    value, low, high, _ = intervals.measure(paired, arguments, rows)
    assert all(seen) and low < value < high
    half = 0.5 * intervals.Z95
    assert intervals.measure(lambda: (2.0, 0.5), {}, {})[:3] == pytest.approx((2, 2 - half, 2 + half))


def test_rows_of_two_kinds_are_resampled_apart():
    differs = []

    def apart(features, y):
        differs.append(bool((features != y).any()))
        return float(features.mean())

    intervals.measure(apart, {"features": np.arange(9.0), "y": np.arange(9.0)}, {"features": "samples", "y": "test"})
    assert any(differs)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A randomly initialized Inception-v3, in both formats."""
    torch.manual_seed(0)
    net = import_torchvision().models.inception_v3(weights=None, init_weights=False)
    folder = tmp_path_factory.mktemp("inception")
    save_file(net.state_dict(), folder / "net.safetensors")
    torch.save(net.state_dict(), folder / "net.pth")
    return folder


@pytest.mark.slow
def test_the_standard_feature_net_takes_weights_from_a_file(weights):
    nets = [open_inception(str(weights / name)) for name in ("net.safetensors", "net.pth")]
    x, _ = images(6)
    features = [predict_batched(net, "encode", x) for net in nets]
    assert features[0].shape == (6, 2048) and torch.equal(*features) and features[0].std() > 0
    given = graph(SimpleNamespace(), "sample", **unlabelled(images(6, seed=3)[0]), inception=nets[0])
    assert given.provenance("sample_inception").startswith("Inception-v3 ")
    arguments = given.arguments(catalog.metrics()["inception_distance"].dependencies)
    assert all(as_array(features).shape == (6, 2048) for features in arguments.values())


def test_weights_that_are_none_are_refused_in_one_line(tmp_path):
    (tmp_path / "wrong.safetensors").write_bytes(b"no weights")
    for name, cause in {"missing.pth": "there is no such file", "wrong.safetensors": "not the weights"}.items():
        with pytest.raises(InceptionError, match=cause) as caught:
            open_inception(str(tmp_path / name))
        assert "\n" not in str(caught.value) and name in str(caught.value)
