"""The gated PixelCNN against enumeration: there are 512 binary images of 3 x 3 pixels, so every distribution is a table."""

import copy
import itertools
import math

import pytest
import torch
from scipy.stats import chisquare

from pofxy.base.bayes import BayesRuleConditionalMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.pixel_cnn import PixelCNN, dilations
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
SHAPES = [(1, 8, 8), (1, 5, 9), (3, 4, 3), (1, 1, 3)]
ALL = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9))).view(512, 1, 3, 3)
SHARE = 0.3  # of the first class


def untrained(shape, levels=5, classes=3):
    """A model with random weights everywhere, so that no dependence is hidden by a zero."""
    torch.manual_seed(0)
    model = PixelCNN(features=16)
    model.build(DataSpec("made", shape, classes, levels, tuple("abcdefgh"[:classes])))
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def fitted():
    """A model of binary images in which a pixel mostly repeats the one to its left in class 0, the one above it in class 1."""
    torch.manual_seed(1)
    y = (torch.rand(1200) > SHARE).long()
    x = (torch.rand(1200, 1, 3, 3) < 0.4).float()
    for i in (1, 2):
        repeats = torch.rand(1200, 1, 3) < 0.8
        x[..., i] = torch.where((y == 0)[:, None, None] & repeats, x[..., i - 1], x[..., i])
        x[..., i, :] = torch.where((y == 1)[:, None, None] & repeats, x[..., i - 1, :], x[..., i, :])
    spec = DataSpec("made", (1, 3, 3), 2, 2, ("left", "above"))
    seed_everything(0)
    model = build_model(PixelCNN, features=16, steps=150)
    model.fit(TrainingData(spec, x[:1000], y[:1000], x[1000:], y[1000:]), Trainer())
    return model


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_number_changes_only_the_distributions_of_those_after_it(shape):
    model = untrained(shape).double()
    one = torch.randint(0, 4, (1, model.dimensions))
    changed = one + torch.eye(model.dimensions, dtype=torch.long)  # (D, D): in row d number d is another
    label = torch.ones(1, dtype=torch.long)
    with torch.inference_mode():
        change = (model.logits(changed, label.expand(len(changed))) - model.logits(one, label)).abs().amax(2)  # (D, D)
    assert change.tril().max() < 1e-12
    assert (change[:-1].diagonal(1) > 1e-9).all(), "each number depends on the one before it"
    assert change[0, -1] > 1e-9, "and the last one depends on the first"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stepwise_logits_from_caches_equal_the_logits(shape):
    model = untrained(shape)
    q = torch.randint(0, 5, (7, model.dimensions))
    y = torch.arange(7) % 3
    with torch.inference_mode():
        steps = model.stepwise_logits(y)
        logits = [next(steps), *(steps.send(q[:, d]) for d in range(model.dimensions - 1))]
        torch.testing.assert_close(torch.stack(logits, 1), model.logits(q, y), atol=1e-4, rtol=1e-4)


def test_the_joint_of_all_classes_at_once_equals_that_of_one_class_at_a_time():
    model = untrained((1, 8, 8))
    x = torch.randint(0, 5, (70, 1, 8, 8)) / 4
    torch.testing.assert_close(predict_batched(model, "log_joint", x), BayesRuleConditionalMixin.log_joint(model, x).detach())


def test_the_mass_of_all_images_is_one_and_of_each_class_its_prior(fitted):
    mass = predict_batched(fitted, "log_joint", ALL).double().exp()  # (512, K)
    torch.testing.assert_close(mass.sum(0), fitted.log_prior.double().exp(), atol=1e-5, rtol=0)
    assert abs(float(fitted.log_prior[0].exp()) - SHARE) < 0.05


def test_the_model_tells_the_classes_apart(fitted):
    rows = torch.tensor([[1, 0, 1]]).expand(3, 3).float()[None]  # each pixel as the one above, none as the one to the left
    labels = predict_batched(fitted, "predict", torch.stack([rows, rows.mT]))
    assert labels.tolist() == [1, 0]


def test_samples_have_the_entropy_of_the_distribution(fitted):
    log_mass = predict_batched(fitted, "log_prob", ALL).double()
    entropy = -(log_mass.exp() * log_mass).sum()
    seed_everything(3)
    surprisal = -predict_batched(fitted, "log_prob", sample_batched(fitted, 2000))
    assert abs(surprisal.mean() - entropy) < 4 * surprisal.std() / math.sqrt(2000)


def test_samples_of_a_class_follow_its_distribution(fitted):
    mass = (predict_batched(fitted, "log_joint", ALL)[:, 1] - fitted.log_prior[1]).double().exp()
    seed_everything(4)
    samples = sample_batched(fitted, 4000, torch.ones(4000, dtype=torch.long))
    counts = torch.bincount(fitted.levels_of(samples) @ 2 ** torch.arange(8, -1, -1), minlength=512).double()
    likely = mass > 2e-3  # about eight samples expected
    rest = [4000 - float(counts[likely].sum())], [4000 * (1 - float(mass[likely].sum() / mass.sum()))]
    assert chisquare([*counts[likely], *rest[0]], [*(4000 * mass[likely] / mass.sum()), *rest[1]]).pvalue > 1e-3


@pytest.mark.parametrize("known", [3, 4, 6])
def test_the_rest_of_an_image_is_sampled_from_its_exact_conditional(fitted, known):
    """p(rest | first pixels), of both classes together, by enumeration."""
    mask = (torch.arange(9) < known).float().view(1, 3, 3)
    start = ALL[0b101100110]
    same = ((ALL - start) * mask == 0).flatten(1).all(1)
    mass = predict_batched(fitted, "log_prob", ALL[same]).double().softmax(0)
    seed_everything(5)
    filled = predict_batched(fitted, "inpaint", start.expand(3000, 1, 3, 3), mask.expand(3000, 1, 3, 3))
    assert torch.equal(filled * mask, (start * mask).expand_as(filled))
    counts = torch.bincount(fitted.levels_of(filled)[:, known:] @ 2 ** torch.arange(8 - known, -1, -1), minlength=len(mass))
    likely = mass * 3000 > 5
    observed = [*counts[likely].double(), float(counts[~likely].sum())]
    expected = [*(3000 * mass[likely]), 3000 * float(mass[~likely].sum())]
    if likely.all():
        observed = observed[:-1]
        expected = expected[:-1]
    assert chisquare(observed, expected).pvalue > 1e-3


def test_float32_agrees_with_float64(fitted):
    reference = copy.deepcopy(fitted).double()
    expected = predict_batched(reference, "log_joint", ALL)
    assert expected.dtype == torch.float64
    torch.testing.assert_close(predict_batched(fitted, "log_joint", ALL).double(), expected, atol=1e-5, rtol=1e-4)


def test_dilations_grow_with_the_image():
    assert dilations(3, 3) == [1, 1] and dilations(8, 8) == [1, 2, 1, 2] and dilations(28, 20) == [1, 2, 4, 1, 2, 4]
    assert dilations(64, 64) == [1, 2, 4, 8, 16, 1, 2, 4, 8, 16]


def test_a_table_is_rejected_by_name():
    with pytest.raises(ValueError, match="wine: PixelCNN models gray levels, and a table has none"):
        PixelCNN().build(DataSpec("wine", (13,), 3, None, tuple("abc")))
