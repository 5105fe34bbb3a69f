"""Boltzmann machines small enough that every state can be summed over: their laws, their normalisers, their chains."""

import copy
import itertools
import math

import pytest
import torch

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import inference, predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.evaluation import ais
from pofxy.models.generative.deep_boltzmann import DeepBoltzmann
from pofxy.models.generative.restricted_boltzmann import RestrictedBoltzmann
from pofxy.nets.boltzmann import binary
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
SPEC = DataSpec("made", (1, 3, 3), 3, 2, tuple("abc"))
SHARES = torch.tensor([0.5, 0.3, 0.2])  # of the classes
SIZES = {RestrictedBoltzmann: {"hidden": 5, "learning_rate": 0.01}, DeepBoltzmann: {"hidden": 5, "top": 4, "learning_rate": 0.01}}
BOTH = pytest.mark.parametrize("kind", SIZES)


def all_binary(n):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


IMAGES = all_binary(9).view(-1, 1, 3, 3)  # (512, 1, 3, 3)


def images(n, seed=0):
    """A row of its own is white in each class, but for one pixel in ten."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(SHARES, n, replacement=True, generator=generator)
    x = torch.nn.functional.one_hot(y, 3).float().view(n, 1, 3, 1).repeat(1, 1, 1, 3)
    flipped = (torch.rand(x.shape, generator=generator) < 0.1).float()
    return (x - flipped).abs(), y


@pytest.fixture(scope="module")
def fitted():
    """Each machine, trained once."""
    kept = {}

    def get(kind):
        if kind not in kept:
            x, y = images(1500)
            seed_everything(0)
            kept[kind] = kind(steps=1500, batch=50, weight_decay=0.01, **SIZES[kind])
            kept[kind].fit(TrainingData(SPEC, x, y, x[:50], y[:50]), Trainer())
        return kept[kind]

    return get


def states(model):
    """Every state of the walk: units and the label as one of K, (2^U 3, U + 3)."""
    units = all_binary(model.units)
    return torch.cat([model.labelled(units, torch.full((len(units),), k)) for k in range(3)])


@torch.no_grad()
def exact_log_joint(model):
    """log p(x, y) + log Z of every image by a sum over all hidden units, (512, 3): from the energy as the docstring has it."""
    model, x, classes = copy.deepcopy(model).double(), IMAGES.flatten(1).double(), torch.eye(3, dtype=torch.float64)
    if isinstance(model, RestrictedBoltzmann):
        h = all_binary(model.hidden).double()
        bias = model.base + torch.cat([model.pixel_bias, model.label_bias])
        found = []
        for y in classes:
            s = torch.cat([x, y.expand(len(x), -1)], 1)
            of_hidden = (h @ model.hidden_bias) + (s - model.mean) @ model.weight.T @ h.T  # (512, 2^H)
            found.append(s @ bias + of_hidden.logsumexp(1))
        return torch.stack(found, 1)
    h, g = all_binary(model.hidden).double(), all_binary(model.top).double()
    bias = (model.upward_bias + model.downward_bias + model.hidden_mean.logit()) / 2
    of_x = x @ (model.mean.logit() + model.pixel_bias)
    of_x_and_h = (h @ bias) + (x - model.mean) @ model.weight.T @ h.T  # (512, 2^H)
    found = []
    for y in classes:
        to_top = model.top_bias + (y - model.log_prior.exp()) @ model.label_weight.T
        of_g = g @ to_top + (h - model.hidden_mean) @ model.top_weight.T @ g.T  # (2^H, 2^G)
        of_label = y @ (model.log_prior + model.label_bias)
        found.append(of_x + (of_x_and_h + of_g.logsumexp(1)).logsumexp(1) + of_label)
    return torch.stack(found, 1)


@BOTH
def test_the_path_of_laws_ends_in_the_model_and_starts_normalised(kind, fitted):
    model = fitted(kind)
    every = states(model)
    with inference(model):
        assert float(model.log_annealed(every, 0.0).double().logsumexp(0)) == pytest.approx(0, abs=1e-5)
        log_z = float(model.log_annealed(every, 1.0).double().logsumexp(0))
    assert log_z == pytest.approx(float(exact_log_joint(model).flatten().logsumexp(0)), abs=1e-4)


def test_the_restricted_machine_knows_its_mass_but_for_the_normaliser(fitted):
    model = fitted(RestrictedBoltzmann)
    exact = exact_log_joint(model)
    torch.testing.assert_close(predict_batched(model, "log_unnormalized", IMAGES).double(), exact.logsumexp(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(predict_batched(model, "predict_proba", IMAGES).double(), exact.softmax(1), atol=1e-4, rtol=0)


def test_the_deep_machine_has_a_bound_below_its_mass_and_near_it(fitted):
    model = fitted(DeepBoltzmann)
    exact, bound = exact_log_joint(model), predict_batched(model, "log_joint_unnormalized", IMAGES).double()
    gap = exact - bound
    assert gap.min() > -1e-4
    mass = (exact.flatten() - exact.logsumexp((0, 1))).exp()
    assert float((mass * gap.flatten()).sum()) < 0.3, "nats, over the model's own images"
    assert float((bound - exact.logsumexp((0, 1))).exp().sum()) <= 1
    posterior = predict_batched(model, "predict_proba", IMAGES).double()
    assert float((mass.view(512, 3).sum(1) * (posterior - exact.softmax(1)).abs().sum(1)).sum()) < 0.1


@BOTH
def test_annealing_finds_the_normaliser(kind, fitted):
    model = fitted(kind)
    exact = float(exact_log_joint(model).flatten().logsumexp(0))
    seed_everything(1)
    found = ais.anneal(model, images(50, seed=3)[0], temperatures=300, burn_in=50)
    assert found.agrees and found.effective_chains > 20
    assert found.log_z == pytest.approx(exact, abs=4 * found.standard_error)


@pytest.mark.parametrize("beta", [0.5, 1.0])
@BOTH
def test_a_gibbs_step_leaves_the_law_as_it_is(kind, beta, fitted):
    model, n = fitted(kind), 100_000
    every = states(model)
    seed_everything(2)
    with inference(model):
        law = model.log_annealed(every, beta).double().softmax(0).float()
        drawn = every[torch.multinomial(law, n, replacement=True)]
        moved = model.gibbs_step(drawn, beta)
        # A unit of the drawn state decides what is looked at: the step has to keep the law of pairs within the state.
        pairs = [(part.T @ part / n) for part in (moved, every * (law * n).sqrt()[:, None])]
    assert not torch.equal(moved, drawn)
    assert float((pairs[0] - pairs[1]).abs().max()) < 5 * 0.5 / math.sqrt(n)


@BOTH
def test_the_model_has_learned_the_law_and_the_prior(kind, fitted):
    model = fitted(kind)
    joint = exact_log_joint(model)
    law = (joint - joint.logsumexp((0, 1))).exp()  # (512, 3)
    torch.testing.assert_close(law.sum(0).float(), SHARES, atol=0.06, rtol=0)
    x, y = images(4000, seed=9)
    index = (x.flatten(1) @ (2.0 ** torch.arange(8, -1, -1))).long()
    true = SHARES[y].log() + 9 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))  # in the mean
    assert float(law[index, y].log().mean()) > float(true.mean()) - 0.25, "nats from the law itself"


@BOTH
def test_samples_have_the_law_of_their_label(kind, fitted):
    model = fitted(kind)
    joint = exact_log_joint(model)
    for label in range(3):
        seed_everything(label)
        drawn = sample_batched(model, 2000, torch.full((2000,), label)).flatten(1)
        expected = joint[:, label].softmax(0) @ IMAGES.flatten(1).double()
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(drawn.double().mean(0), expected, atol=0.08, rtol=0)


@BOTH
def test_completions_are_the_means_given_what_is_known(kind, fitted):
    model = fitted(kind)
    x = images(4, seed=5)[0]
    known = torch.ones_like(x, dtype=torch.bool)
    known[..., 2, :] = False
    seed_everything(0)
    found = model.inpaint(x.repeat(40, 1, 1, 1), known.repeat(40, 1, 1, 1)).detach().view(40, 4, 1, 3, 3).mean(0)
    law = exact_log_joint(model).logsumexp(1)
    for image, filled in zip(x, found):
        fits = (IMAGES[:, 0, :2] == image[0, :2]).all((1, 2))
        expected = law[fits].softmax(0).float() @ IMAGES[fits, 0, 2]
        torch.testing.assert_close(filled[0, 2], expected, atol=0.06, rtol=0)


def test_grey_images_are_thresholded():
    assert binary(torch.tensor([[[[0.0, 0.49], [0.5, 1.0]]]])).tolist() == [[0, 0, 1, 1]]


@BOTH
def test_a_resumed_training_equals_an_undisturbed_one(kind, tmp_path):
    """In the middle of each phase of the schedule."""
    x, y = images(200)
    data = TrainingData(SPEC, x, y, x[:20], y[:20])

    def trained(**options):
        seed_everything(4)
        model = kind(steps=60, batch=20, **SIZES[kind])
        model.fit(data, Trainer(**options))
        return model

    class Ended(Exception):
        pass

    def end(epoch, metrics):
        if epoch == stop:
            raise Ended

    whole = trained().state_dict()
    for stop in (2, 3, 5):
        path = tmp_path / f"{stop}.safetensors"
        with pytest.raises(Ended):
            trained(checkpoint=path, checkpoint_seconds=0, on_epoch=end)
        resumed = trained(checkpoint=path).state_dict()
        assert all(torch.equal(resumed[name], part) for name, part in whole.items()), stop
