"""Autoregressive models: no number depends on a later one, every mass is exact, and samples follow it."""

import itertools
import math

import numpy as np
import pytest
import torch

from pofxy.base.bayes import BayesRuleConditionalMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model, default_hyperparameters
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.storage.models import model_class
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
MODELS = ["pixel_transformer", "pixel_rnn", "made"]
SMALL = {"batch": 32, "hidden": 32, "width": 16, "features": 8}
every_model = pytest.mark.parametrize("name", MODELS)
either_color = pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 3)], ids=["gray", "color"])


def small(name, **more):
    kind = model_class("generative", name)
    names = default_hyperparameters(kind)
    return build_model(kind, {key: value for key, value in (SMALL | more).items() if key in names})


def perturbed(name, shape, levels=5):
    """A model whose every parameter is far from zero, so that every dependence shows."""
    seed_everything(0)
    model = small(name)
    model.build(DataSpec("made", shape, 3, levels, tuple("abc")))
    model.log_prior = torch.tensor([0.5, 0.3, 0.2]).log()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


def some_levels(model, n=4):
    return torch.randint(model.levels, (n, model.dimensions)), torch.arange(n) % 3


def all_binary_images():
    """All 2^9 images of 3x3 binary pixels, (512, 1, 3, 3); image number i has the bits of i."""
    return (torch.arange(512)[:, None] >> torch.arange(9).flip(0) & 1).float().view(512, 1, 3, 3)


@pytest.fixture(scope="module")
def fit():
    """Each model, fitted briefly to binary images of two classes: bars, which are three times as frequent, and corners."""
    kept = {}

    def get(name):
        if name not in kept:
            rng = torch.Generator().manual_seed(1)
            y = (torch.arange(400) % 4 == 3).long()
            x = torch.zeros(400, 1, 3, 3)
            x[torch.arange(400), 0, torch.randint(3, (400,), generator=rng)] = 1  # a bar in one of the rows
            x[y == 1] = (x[y == 1].cumsum(2) * x[y == 1].transpose(2, 3).cumsum(3)).clamp(max=1)
            x = (x - (torch.rand(x.shape, generator=rng) < 0.1).float()).abs()
            spec = DataSpec("bars", (1, 3, 3), 2, 2, ("bar", "corner"))
            seed_everything(0)
            model = small(name, steps=120)
            model.fit(TrainingData(spec, x[:300], y[:300], x[300:], y[300:]), Trainer())
            kept[name] = model
        return kept[name]

    return get


def dependences(model, q, y, **more):
    """Whether the logits of number d (row) depend on number d' (column), (D, D): each number is changed in turn."""
    with torch.no_grad():
        before = model.logits(q, y, **more)
        depends = []
        for d in range(model.dimensions):
            changed = q.clone()
            changed[:, d] = (q[:, d] + 2) % model.levels
            depends.append((model.logits(changed, y, **more) - before).abs().amax((0, 2)) > 1e-6)
    return torch.stack(depends, 1)


@either_color
@pytest.mark.parametrize("name", ["pixel_transformer", "pixel_rnn"])
def test_a_number_depends_only_on_the_numbers_before_it(name, shape):
    model = perturbed(name, shape)
    depends = dependences(model, *some_levels(model))
    assert not depends.triu().any()
    if name == "pixel_transformer":
        assert torch.equal(depends, torch.ones_like(depends, dtype=torch.bool).tril(-1)), "attention reaches all of them"
    else:
        assert depends.float().mean() > 0.35, "a Row LSTM depends on most of them"


@either_color
@pytest.mark.parametrize("name", ["pixel_transformer", "pixel_rnn"])
def test_stepwise_logits_equal_the_logits(name, shape):
    model = perturbed(name, shape)
    q, y = some_levels(model)
    with torch.no_grad():
        steps = model.stepwise_logits(y)
        logits = [next(steps)] + [steps.send(q[:, d]) for d in range(model.dimensions - 1)]
        torch.testing.assert_close(torch.stack(logits, 1), model.logits(q, y), atol=1e-4, rtol=1e-4)


@either_color
def test_the_masks_of_made_respect_each_order(shape):
    model = perturbed("made", shape)
    q, y = some_levels(model)
    for order, rank in enumerate(model.rank):
        depends = dependences(model, q, y, order=order)
        assert not (depends & (rank[:, None] <= rank)).any(), "not on itself, nor on what comes later in the order"
        # A path between numbers passes units of degrees that do not fall; units that are 0 may hide some dependences.
        first, second = model.degree[order]
        path = (rank[:, None] > second).float() @ (second[:, None] >= first).float() @ (first[:, None] >= rank).float() > 0
        assert not (depends & ~path).any() and depends.sum() > 0.8 * path.sum()
    assert torch.equal(model.rank[0], torch.arange(model.dimensions)) and not torch.equal(*model.rank[:2])


@either_color
def test_the_importance_weight_of_made_is_the_mass_of_the_order(shape):
    model = perturbed("made", shape)
    q, y = some_levels(model)
    with torch.no_grad():
        for order in range(model.orders):
            filled, log_weight = model._complete_in_order(order, q, torch.ones_like(q, dtype=torch.bool), y)
            assert torch.equal(filled, q)
            torch.testing.assert_close(log_weight, model._log_mass(q, y, order), atol=1e-4, rtol=1e-4)


def test_each_order_of_made_is_a_distribution_and_the_model_is_their_mean(fit):
    model = fit("made")
    grid = all_binary_images()
    with torch.no_grad():
        q = model.levels_of(grid)
        y = torch.zeros(512, dtype=torch.long)
        masses = torch.stack([model._log_mass(q, y, order).double().exp() for order in range(model.orders)])
        torch.testing.assert_close(masses.sum(1), torch.ones(model.orders).double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(masses.mean(0), model.log_conditional(grid, y).double().exp(), atol=1e-6, rtol=1e-4)
    assert (masses[0] - masses[1]).abs().sum() > 0.01, "the orders have different distributions"


@every_model
def test_the_mass_of_all_images_is_one_and_of_each_class_its_prior(name, fit):
    joint = predict_batched(fit(name), "log_joint", all_binary_images()).double().exp()
    torch.testing.assert_close(joint.sum(0), torch.tensor([0.75, 0.25]).double(), atol=1e-5, rtol=0)


@every_model
def test_samples_are_as_frequent_as_their_mass(name, fit):
    """The mean log-mass of samples equals the negative entropy by enumeration; each pixel's mean equals the exact one."""
    model = fit(name)
    grid = all_binary_images()
    n = 4000
    log_mass = predict_batched(model, "log_prob", grid).double()
    seed_everything(0)
    x = sample_batched(model, n, batch=n)
    sampled = log_mass[(x.flatten(1).long() * 2 ** torch.arange(9).flip(0)).sum(1)]
    exact = (log_mass.exp() * log_mass).sum()
    assert abs(sampled.mean() - exact) < 4 * sampled.std() / n**0.5
    mean = (log_mass.exp()[:, None] * grid.flatten(1)).sum(0)
    assert ((x.flatten(1).mean(0) - mean).abs() < 4 * (mean * (1 - mean) / n).sqrt()).all()


@every_model
def test_completions_of_what_comes_last_follow_the_exact_conditional_distribution(name, fit):
    """The lower two rows given the upper row, by enumeration. For MADE, which weighs the orders by importance, their means."""
    model = fit(name)
    grid = all_binary_images()
    n = 4000
    same = (grid[:, 0, 0] == torch.tensor([1.0, 0.0, 1.0])).all(1)
    mass = predict_batched(model, "log_prob", grid).double().exp() * same
    mass /= mass.sum()
    mask = torch.zeros(n, 1, 3, 3)
    mask[:, :, 0] = 1
    x = torch.where(mask.bool(), torch.tensor([1.0, 0.0, 1.0]), 0.5 * torch.ones(n, 1, 3, 3)).round()
    seed_everything(0)
    filled = predict_batched(model, "inpaint", x, mask, batch=n)
    assert torch.equal(filled[:, :, 0], x[:, :, 0])
    if name == "made":
        mean = (mass[:, None] * grid.flatten(1)).sum(0)
        assert ((filled.flatten(1).mean(0) - mean).abs() < 0.05).all()
        return
    counts = torch.bincount((filled.flatten(1).long() * 2 ** torch.arange(9).flip(0)).sum(1), minlength=512)
    likely = mass * n > 5
    expected = torch.cat([mass[likely], mass[~likely].sum()[None]]) * n
    observed = torch.cat([counts[likely], counts[~likely].sum()[None]])
    statistic = ((observed - expected) ** 2 / expected).sum()
    freedom = len(expected) - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom), "chi-squared"


@pytest.mark.parametrize("name", ["pixel_transformer", "pixel_rnn"])
def test_a_completion_is_chosen_by_the_probability_of_the_known_numbers(name, fit):
    """One unknown number in the middle of known ones: each pair of completions, one per class, by enumeration."""
    model = fit(name)
    n = 4000
    start = torch.tensor([1, 0, 1, 0, 0, 1, 0, 1, 1])
    unknown = 4
    q = start.repeat(2, 1)
    q[:, unknown] = torch.arange(2)
    mass = predict_batched(model, "log_joint", model.images_of(q)).double().exp().T  # p(x, y), (class, value of the number)
    with torch.no_grad():
        logits = model.logits(q[:1].repeat(2, 1), torch.arange(2))[:, unknown] + model.histogram[unknown]
        proposal = logits.double().softmax(1)  # p(number | numbers before it, y), (class, value)
    weight = mass / proposal
    expected = torch.zeros(2, dtype=torch.float64)
    for values in itertools.product(range(2), repeat=2):
        probability = proposal[0, values[0]] * proposal[1, values[1]]
        weights = torch.stack([weight[0, values[0]], weight[1, values[1]]])
        for value, share in zip(values, weights / weights.sum()):
            expected[value] += probability * share
    mask = (torch.arange(9) != unknown).float().view(1, 1, 3, 3).expand(n, -1, -1, -1)
    x = model.images_of(start.repeat(n, 1)) * mask
    seed_everything(0)
    filled = model.levels_of(predict_batched(model, "inpaint", x, mask, batch=n))
    assert torch.equal(filled.sum(0)[[d for d in range(9) if d != unknown]], n * start[[d for d in range(9) if d != unknown]])
    share = float(filled[:, unknown].double().mean())
    assert abs(share - expected[1]) < 4 * math.sqrt(expected[0] * expected[1] / n)


@every_model
def test_the_joint_of_all_classes_equals_that_of_one_class_at_a_time(name):
    model = perturbed(name, (3, 4, 3))
    x = torch.randint(0, 5, (70, 3, 4, 3)) / 4
    one_by_one = BayesRuleConditionalMixin.log_joint(model, x).detach()
    torch.testing.assert_close(predict_batched(model, "log_joint", x), one_by_one, atol=1e-4, rtol=1e-5)


@every_model
def test_double_precision_gives_the_same_masses(name, fit):
    model = fit(name)
    grid = all_binary_images()
    single = predict_batched(model, "log_joint", grid)
    seed_everything(0)
    try:
        double = predict_batched(model.double(), "log_joint", grid.double())
    finally:
        model.float()
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 1, 1), (1, 1, 1), (3, 9, 2)], ids=str)
@every_model
def test_the_smallest_images_have_a_mass_and_samples(name, shape):
    model = perturbed(name, shape, levels=256)
    x = sample_batched(model, 5)
    assert x.shape == (5, *shape) and predict_batched(model, "log_prob", x).isfinite().all()
    mask = torch.rand(x.shape) > 0.5
    filled = predict_batched(model, "inpaint", x, mask)
    assert torch.equal(filled[mask], x[mask])
