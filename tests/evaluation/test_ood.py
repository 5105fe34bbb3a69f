"""Out-of-distribution detection: placement values against scikit-learn's AUROC, and models whose preferences are known."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pofxy.base.data import DataSpec
from pofxy.base.tags import Tags
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
    found = _ood.placement_values(score, TEST, OOD)
    assert found.conditions == KINDS and found.places == (0.0,) and found.values.shape == (60, 4, 1)
    for kind, images in enumerate(ood_images(TEST, 9, SPEC, OTHERS).values()):
        scores = torch.cat([score(TEST), score(images)]).double().clamp(-1e9, 1e9).numpy()  # scikit-learn takes finite ones
        area = roc_auc_score(np.repeat([1, 0], [60, len(images)]), scores)
        assert float(found.values[:, kind].mean()) == pytest.approx(area, abs=1e-6)


def test_a_score_that_is_not_a_number_is_an_error():
    with pytest.raises(ValueError, match=r"'inverted'.*NaN for 60 of 60"):
        _ood.placement_values(lambda x: torch.where(brightness(x) > 0.6, torch.nan, brightness(x)), TEST, OOD)


def test_a_density_that_prefers_black_images_is_fooled_by_them_and_typicality_is_not():
    model = Density(lambda x: -x.flatten(1).sum(1))
    found = ood_likelihood(model, TEST, SPEC, OOD)
    area = dict(zip(found.conditions, found.values.mean((0, 2)).tolist(), strict=True))
    assert area["noise"] > 0.95 and area["inverted"] > 0.95 and area["black"] == 0
    assert area["shuffled pixels"] == pytest.approx(0.5, abs=0.01), "it is blind to where pixels lie"
    assert score_of("ood_likelihood", found).mean() == pytest.approx(np.mean(list(area.values())))
    typical = ood_typicality(model, TEST, SPEC, TRAIN, OOD)
    assert typical.conditions == KINDS and float(typical.values[:, 3].mean()) == 1, "black is too likely to be typical"
    assert score_of("ood_typicality", typical).shape == (60,)


def test_an_impossible_image_ranks_last_in_both():
    model = Density(lambda x: torch.where(brightness(x) > 0.45, -torch.inf, -brightness(x)))
    assert ood_likelihood(model, TEST, SPEC, OOD).values[:, 0].eq(1).all()
    assert ood_typicality(model, TEST, SPEC, TRAIN, OOD).values[:, 0].eq(1).all()


def test_a_density_is_taken_at_dequantised_points_and_a_binary_model_sees_binary_images():
    model = Density(brightness, Tags(likelihood="density"))
    _ood.log_likelihood(model, TEST, SPEC)
    gap = (model.seen[0] - TEST) * 8
    assert gap.abs().max() <= 0.5 + 1e-5 and float(gap.std()) == pytest.approx(1 / math.sqrt(12), rel=0.02)
    model = Density(brightness, Tags(binarized="threshold"))
    _ood.log_likelihood(model, TEST, SPEC)
    assert torch.equal(model.seen[0], (TEST >= 0.5).float())
    model = Density(brightness, Tags(binarized="stochastic"))
    for _ in range(2):
        _ood.log_likelihood(model, TEST, SPEC)
    assert torch.equal(*model.seen) and model.seen[0].unique().tolist() == [0, 1]
    assert float(model.seen[0].mean()) == pytest.approx(float(TEST.mean()), abs=0.02)


def test_other_verbs_of_density_serve_where_there_is_no_exact_one():
    class Weights:
        def log_weight(self, x):
            return brightness(x) + torch.randn(len(x))

    class Unnormalised:
        def log_unnormalized(self, x):
            return brightness(x)

    torch.manual_seed(0)
    draws = torch.stack([brightness(TEST) + torch.randn(60) for _ in range(_ood.N_IMPORTANCE_SAMPLES)])
    torch.manual_seed(0)
    torch.testing.assert_close(_ood.log_likelihood(Weights(), TEST, SPEC), draws.exp().mean(0).log())
    torch.testing.assert_close(_ood.log_likelihood(Unnormalised(), TEST, SPEC), brightness(TEST))
    both = Density(brightness)
    both.log_prob_bound = lambda x: brightness(x) * math.nan
    assert _ood.log_likelihood(both, TEST, SPEC).isfinite().all(), "the exact one comes first"


class Classifier:
    """Left against right half of the middle, as a softmax regression would have it."""

    def decision_function(self, x):
        return 3 * torch.stack([x[:, 0, 2:6, 2:4].sum((1, 2)), x[:, 0, 2:6, 4:6].sum((1, 2))], 1)

    def predict_proba(self, x):
        return self.decision_function(x).softmax(1)


def test_a_classifier_is_unsure_of_black_images_and_has_no_energy_for_them():
    model = Classifier()
    softmax, energy = (probe(model, TEST, OOD) for probe in (ood_softmax, ood_energy))
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
