"""Out-of-distribution detection: placement values against scikit-learn's AUROC, and models whose preferences are known."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pofxy.base.bayes import BayesRuleMixin
from pofxy.base.data import DataSpec
from pofxy.base.tags import Tags
from pofxy.evaluation import likelihood
from pofxy.evaluation.facts import Facts
from pofxy.evaluation.graph import Graph
from pofxy.evaluation.quantities import _ood
from pofxy.evaluation.quantities.ood_energy import ood_energy
from pofxy.evaluation.quantities.ood_images import ood_images
from pofxy.evaluation.quantities.ood_likelihood import ood_likelihood
from pofxy.evaluation.quantities.ood_softmax import ood_softmax
from pofxy.evaluation.quantities.ood_typicality import ood_typicality
from pofxy.evaluation.scores import metric_function
from pofxy.study import catalog

SPEC = DataSpec("made", (1, 8, 8), 2, 9, ("a", "b"))
# Dark images with a bright middle; the left or the right half of it is brighter still.
Y = torch.arange(120) % 2
X = torch.rand(120, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.4
X[:, :, 2:6, 2:6] += 0.4
X[Y == 0, :, 2:6, 2:4] += 0.2
X[Y == 1, :, 2:6, 4:6] += 0.2
X = (X * 8).round() / 8
TRAIN, TEST = X[:60], X[60:]
OTHERS = {"black": torch.zeros(70, 1, 8, 8)}
KINDS = ("noise", "inverted", "shuffled pixels", "black")
OOD = ood_images(TEST, 9, SPEC, OTHERS)


DEFAULTS = Tags()


class Density:
    """log_prob by a function of the images; keeps what it is shown."""

    def __init__(self, function, tags=DEFAULTS):
        self.function = function
        self.tags = tags
        self.seen = []

    def log_prob(self, x):
        self.seen.append(x.clone())
        return self.function(x)


def score_of(metric, found):
    values, shared_error = metric_function(catalog.metrics()[metric])(found.values.numpy())
    assert shared_error >= 0
    return values


def likelihoods(model):
    """log p(x) of the test images, and of each kind of OOD images."""
    return likelihood.first_estimate(model, TEST, SPEC), {
        kind: likelihood.first_estimate(model, images, SPEC) for kind, images in OOD.items()
    }


def brightness(x):
    return x.flatten(1).mean(1)


def test_ood_images_are_images_of_the_same_grid_and_the_same_for_every_model():
    made = ood_images(TEST, 9, SPEC, {"others": torch.rand(70, 1, 8, 8), "few": torch.rand(10, 1, 8, 8)})
    assert tuple(made) == (*KINDS[:3], "others", "few")
    for name, images in made.items():
        assert images.shape == ((10 if name == "few" else 60), 1, 8, 8) and images.dtype == torch.float32
        assert torch.equal(images, (images * 8).round() / 8) and images.min() >= 0 and images.max() <= 1
    torch.testing.assert_close(made["inverted"], 1 - TEST)
    assert len(made["noise"].unique()) == 9
    assert torch.equal(made["shuffled pixels"].flatten(1).sort(1).values, TEST.flatten(1).sort(1).values)
    again = ood_images(TEST, 9, SPEC, {})
    assert tuple(again) == (*KINDS[:3], "known_images")
    assert all(torch.equal(again[name], made[name]) for name in KINDS[:3])


def test_shuffling_keeps_the_colors_of_a_pixel_together_and_differs_between_images():
    place = torch.arange(64.0).view(1, 1, 8, 8) / 63
    x = torch.cat([place, 1 - place, place], 1).expand(20, 3, 8, 8)
    shuffled = ood_images(x, 64, DataSpec("made", (3, 8, 8), 2, 64, ("a", "b")), {})["shuffled pixels"]
    torch.testing.assert_close(shuffled[:, 0], shuffled[:, 2])
    torch.testing.assert_close(shuffled[:, 0], 1 - shuffled[:, 1])
    assert len({str(image.tolist()) for image in shuffled[:, 0]}) == 20


@pytest.mark.parametrize(
    "score",
    [
        brightness,
        lambda x: (brightness(x) * 20).round(),  # ties
        lambda x: torch.where(brightness(x) > 0.3, -torch.inf, brightness(x)),
        lambda x: torch.where(brightness(x) > 0.3, torch.inf, -brightness(x)),
    ],
    ids=["distinct", "tied", "impossible OOD images", "certain OOD images"],
)
def test_the_mean_of_placement_values_is_scikit_learns_auroc(score):
    found = _ood.placement_values(score(TEST), {kind: score(images) for kind, images in OOD.items()})
    assert found.conditions == KINDS and found.places == (0.0,) and found.values.shape == (60, 4, 1)
    for kind, images in enumerate(ood_images(TEST, 9, SPEC, OTHERS).values()):
        scores = torch.cat([score(TEST), score(images)]).double().clamp(-1e9, 1e9).numpy()  # scikit-learn takes finite ones
        area = roc_auc_score(np.repeat([1, 0], [60, len(images)]), scores)
        assert float(found.values[:, kind].mean()) == pytest.approx(area, abs=1e-6)


def test_a_score_that_is_not_a_number_is_an_error():
    broken = {kind: torch.where(brightness(x) > 0.6, torch.nan, brightness(x)) for kind, x in OOD.items()}
    with pytest.raises(ValueError, match=r"'inverted'.*NaN for 60 of 60"):
        _ood.placement_values(brightness(TEST), broken)


def test_a_density_that_prefers_black_images_is_fooled_by_them_and_typicality_is_not():
    model = Density(lambda x: -x.flatten(1).sum(1))
    found = ood_likelihood(TEST, *likelihoods(model))
    area = dict(zip(found.conditions, found.values.mean((0, 2)).tolist(), strict=True))
    assert area["noise"] > 0.95 and area["inverted"] > 0.95 and area["black"] == 0
    assert area["shuffled pixels"] == pytest.approx(0.5, abs=0.01), "it is blind to where pixels lie"
    assert score_of("ood_likelihood", found).mean() == pytest.approx(np.mean(list(area.values())))
    typical = ood_typicality(TEST, *likelihoods(model), likelihood.first_estimate(model, TRAIN, SPEC))
    assert typical.conditions == KINDS and float(typical.values[:, 3].mean()) == 1, "black is too likely to be typical"
    assert score_of("ood_typicality", typical).shape == (60,)


def test_an_impossible_image_ranks_last_in_both():
    model = Density(lambda x: torch.where(brightness(x) > 0.45, -torch.inf, -brightness(x)))
    train = likelihood.first_estimate(model, TRAIN, SPEC)
    assert ood_likelihood(TEST, *likelihoods(model)).values[:, 0].eq(1).all()
    assert ood_typicality(TEST, *likelihoods(model), train).values[:, 0].eq(1).all()


def test_a_density_is_taken_at_dequantized_points_that_are_the_same_for_every_model():
    model = Density(brightness, Tags(likelihood="density"))
    values = [likelihood.first_estimate(model, TEST, SPEC) for _ in range(2)]
    gap = (model.seen[0] - TEST) * 8
    assert gap.abs().max() <= 0.5 + 1e-5 and float(gap.std()) == pytest.approx(1 / math.sqrt(12), rel=0.02)
    assert torch.equal(*values)
    torch.testing.assert_close(values[0], brightness(model.seen[0]) - 64 * math.log(8))


@pytest.mark.parametrize("method", ["threshold", "stochastic"])
def test_a_binary_model_sees_binary_images_that_are_the_same_for_every_model(method):
    model = Density(brightness, Tags(binarized=method))
    facts = Facts.of(model=model, spec=SPEC, x=TEST, y=Y[60:], x_train=TRAIN, y_train=Y[:60])
    for _ in range(2):
        Graph(facts, ("log_prob",)).get("log_likelihood")
    assert torch.equal(*model.seen) and model.seen[0].unique().tolist() == [0, 1]
    assert float(model.seen[0].mean()) == pytest.approx(
        float(((TEST >= 0.5) if method == "threshold" else TEST).float().mean()), abs=0.02
    )


def test_other_capabilities_serve_where_there_is_no_exact_one():
    class Weights:
        def log_weight(self, x):
            return brightness(x) + torch.randn(len(x))

    class Unnormalized:
        def log_unnormalized(self, x):
            return brightness(x)

    torch.manual_seed(0)
    draws = torch.stack([brightness(TEST) + torch.randn(60) for _ in range(likelihood.N_IMPORTANCE_SAMPLES)])
    torch.manual_seed(0)
    torch.testing.assert_close(likelihood.first_estimate(Weights(), TEST, SPEC), draws.exp().mean(0).log())
    torch.testing.assert_close(likelihood.first_estimate(Unnormalized(), TEST, SPEC), brightness(TEST))
    both = Density(brightness)
    both.log_prob_bound = lambda x: brightness(x) * math.nan
    assert likelihood.first_estimate(both, TEST, SPEC).isfinite().all(), "the exact one comes first"


class Classifier:
    """Left against right half of the middle, as a softmax regression would have it."""

    def decision_function(self, x):
        return 3 * torch.stack([x[:, 0, 2:6, 2:4].sum((1, 2)), x[:, 0, 2:6, 4:6].sum((1, 2))], 1)

    def predict_proba(self, x):
        return self.decision_function(x).softmax(1)


def test_a_classifier_is_unsure_of_black_images_and_has_no_energy_for_them():
    model = Classifier()
    softmax = ood_softmax(model, TEST, model.predict_proba(TEST), OOD)
    energy = ood_energy(model, TEST, OOD)
    assert softmax.conditions == energy.conditions == KINDS
    assert softmax.values[:, 3].eq(1).all() and energy.values[:, 3].eq(1).all()
    noise = ood_images(TEST, 9, SPEC, OTHERS)["noise"]
    truth = np.repeat([1, 0], 60)
    confidence = np.concatenate([model.predict_proba(x).max(1).values for x in (TEST, noise)])
    assert float(softmax.values[:, 0].mean()) == pytest.approx(roc_auc_score(truth, confidence), abs=1e-6)
    free = np.concatenate([np.logaddexp(*model.decision_function(x).double().numpy().T) for x in (TEST, noise)])
    assert float(energy.values[:, 0].mean()) == pytest.approx(roc_auc_score(truth, free), abs=2e-3)
    for metric, found in (("ood_softmax", softmax), ("ood_energy", energy)):
        values = score_of(metric, found)
        assert values.shape == (60,) and values.mean() == pytest.approx(float(found.values.mean()), rel=1e-5)


def test_a_joint_distribution_is_evaluated_once_for_labels_likelihood_and_every_ood_score():
    class Joint(BayesRuleMixin):
        def __init__(self):
            self.seen = []

        def log_joint(self, x):
            self.seen.append(x)
            return Classifier().decision_function(x) - 20

        def decision_function(self, x):
            return self.log_joint(x)

    model = Joint()
    able = tuple(name for name in catalog.capabilities() if hasattr(model, name))
    given = Graph(Facts.of(model=model, spec=SPEC, x=TEST, y=Y[60:], x_train=TRAIN, y_train=Y[:60]), able)
    probes = [given.get(name) for name in ("ood_likelihood", "ood_softmax", "ood_energy")]
    labels, probabilities = given.get("predict"), given.get("predict_proba")
    (estimate,) = given.get("test_likelihoods")
    assert [len(x) for x in model.seen] == [60] * 5, "the test images, and four kinds of OOD images"
    assert torch.equal(labels, model.predict(TEST)) and torch.equal(probabilities, model.predict_proba(TEST))
    assert torch.equal(estimate.values, model.log_prob(TEST)) and estimate.estimator == "exact mass"
    assert torch.equal(probes[0].values, probes[2].values), "the energy of log p(x, y) is log p(x)"
    ood = given.get("ood_images")
    alone = ood_softmax(model, TEST, model.predict_proba(TEST), ood)
    assert torch.equal(probes[1].values, alone.values)
