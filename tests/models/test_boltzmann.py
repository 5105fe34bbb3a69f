"""Boltzmann machines small enough to sum over every state: their distributions, their normalizers, their Markov chains."""

import copy
import itertools
import math

import pytest
import torch

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import inference, predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.evaluation import ais
from pofxy.models.generative.deep_boltzmann import DeepBoltzmann
from pofxy.models.generative.restricted_boltzmann import RestrictedBoltzmann
from pofxy.nets.boltzmann import binarize
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
    """Each class has a white row of its own; one pixel in ten is flipped."""
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
            kept[kind] = build_model(kind, SIZES[kind], steps=1500, batch=50, weight_decay=0.01)
            kept[kind].fit(TrainingData(SPEC, x, y, x[:50], y[:50]), Trainer())
        return kept[kind]

    return get


def states(model):
    """Every state of the Markov chain: units and the label as one of K, (2^U 3, U + 3)."""
    units = all_binary(model.units)
    return torch.cat([model.with_labels(units, torch.full((len(units),), k)) for k in range(3)])


@torch.no_grad()
def exact_log_joint(model):
    """log p(x, y) + log Z of every image by a sum over all hidden units, (512, 3): from the energy as the docstring has it."""
    model = copy.deepcopy(model).double()
    x = IMAGES.flatten(1).double()
    classes = torch.eye(3, dtype=torch.float64)
    if isinstance(model, RestrictedBoltzmann):
        h = all_binary(model.hidden).double()
        bias = model.base_logits + torch.cat([model.pixel_bias, model.label_bias])
        log_joint = []
        for y in classes:
            s = torch.cat([x, y.expand(len(x), -1)], 1)
            hidden_term = (h @ model.hidden_bias) + (s - model.mean) @ model.weight.T @ h.T  # (512, 2^H)
            log_joint.append(s @ bias + hidden_term.logsumexp(1))
        return torch.stack(log_joint, 1)
    h = all_binary(model.hidden).double()
    g = all_binary(model.top).double()
    bias = (model.upward_bias + model.downward_bias + model.hidden_mean.logit()) / 2
    x_term = x @ (model.mean.logit() + model.pixel_bias)
    xh_term = (h @ bias) + (x - model.mean) @ model.weight.T @ h.T  # (512, 2^H)
    log_joint = []
    for y in classes:
        to_top = model.top_bias + (y - model.log_prior.exp()) @ model.label_weight.T
        g_term = g @ to_top + (h - model.hidden_mean) @ model.top_weight.T @ g.T  # (2^H, 2^G)
        label_term = y @ (model.log_prior + model.label_bias)
        log_joint.append(x_term + (xh_term + g_term.logsumexp(1)).logsumexp(1) + label_term)
    return torch.stack(log_joint, 1)


@pytest.mark.slow
@BOTH
def test_the_annealing_path_starts_normalized_and_ends_at_the_model(kind, fitted):
    model = fitted(kind)
    all_states = states(model)
    with inference(model):
        assert float(model.log_annealed(all_states, 0.0).double().logsumexp(0)) == pytest.approx(0, abs=1e-5)
        log_z = float(model.log_annealed(all_states, 1.0).double().logsumexp(0))
    assert log_z == pytest.approx(float(exact_log_joint(model).flatten().logsumexp(0)), abs=1e-4)


def test_the_restricted_machine_has_an_exact_unnormalized_mass(fitted):
    model = fitted(RestrictedBoltzmann)
    exact = exact_log_joint(model)
    torch.testing.assert_close(predict_batched(model, "log_unnormalized", IMAGES).double(), exact.logsumexp(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(predict_batched(model, "predict_proba", IMAGES).double(), exact.softmax(1), atol=1e-4, rtol=0)


def test_the_deep_machine_has_a_tight_lower_bound_of_its_mass(fitted):
    model = fitted(DeepBoltzmann)
    exact = exact_log_joint(model)
    bound = predict_batched(model, "log_joint_unnormalized", IMAGES).double()
    gap = exact - bound
    assert gap.min() > -1e-4
    mass = (exact.flatten() - exact.logsumexp((0, 1))).exp()
    assert float((mass * gap.flatten()).sum()) < 0.3, "nats, over the model's own images"
    assert float((bound - exact.logsumexp((0, 1))).exp().sum()) <= 1
    posterior = predict_batched(model, "predict_proba", IMAGES).double()
    assert float((mass.view(512, 3).sum(1) * (posterior - exact.softmax(1)).abs().sum(1)).sum()) < 0.1


@BOTH
def test_annealed_importance_sampling_estimates_the_normalizer(kind, fitted):
    model = fitted(kind)
    exact = float(exact_log_joint(model).flatten().logsumexp(0))
    seed_everything(1)
    estimate = ais.anneal(model, images(50, seed=3)[0], temperatures=(300,), burn_in=50)
    assert estimate.agrees and estimate.effective_chains > 20
    assert estimate.log_z == pytest.approx(exact, abs=4 * estimate.standard_error)


@pytest.mark.parametrize("beta", [0.5, 1.0])
@BOTH
def test_a_gibbs_step_leaves_the_distribution_invariant(kind, beta, fitted):
    model = fitted(kind)
    n = 100_000
    all_states = states(model)
    seed_everything(2)
    with inference(model):
        probability = model.log_annealed(all_states, beta).double().softmax(0).float()
        before = all_states[torch.multinomial(probability, n, replacement=True)]
        after = model.gibbs_step(before, beta)
        # The joint probabilities of pairs of units must stay the same, not only those of single units.
        pairs = [(part.T @ part / n) for part in (after, all_states * (probability * n).sqrt()[:, None])]
    assert not torch.equal(after, before)
    assert float((pairs[0] - pairs[1]).abs().max()) < 5 * 0.5 / math.sqrt(n)


@BOTH
def test_the_model_has_learned_the_distribution_and_the_prior(kind, fitted):
    model = fitted(kind)
    joint = exact_log_joint(model)
    mass = (joint - joint.logsumexp((0, 1))).exp()  # (512, 3)
    torch.testing.assert_close(mass.sum(0).float(), SHARES, atol=0.06, rtol=0)
    x, y = images(4000, seed=9)
    index = (x.flatten(1) @ (2.0 ** torch.arange(8, -1, -1))).long()
    true = SHARES[y].log() + 9 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))  # in expectation
    assert float(mass[index, y].log().mean()) > float(true.mean()) - 0.25, "nats from the true distribution"


@pytest.mark.slow
@BOTH
def test_samples_have_the_distribution_of_their_label(kind, fitted):
    model = fitted(kind)
    joint = exact_log_joint(model)
    for label in range(3):
        seed_everything(label)
        samples = sample_batched(model, 2000, torch.full((2000,), label)).flatten(1)
        expected = joint[:, label].softmax(0) @ IMAGES.flatten(1).double()
        assert set(samples.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(samples.double().mean(0), expected, atol=0.08, rtol=0)


@BOTH
def test_inpainting_gives_the_conditional_means(kind, fitted):
    model = fitted(kind)
    x = images(4, seed=5)[0]
    known = torch.ones_like(x, dtype=torch.bool)
    known[..., 2, :] = False
    seed_everything(0)
    inpainted = model.inpaint(x.repeat(40, 1, 1, 1), known.repeat(40, 1, 1, 1)).detach().view(40, 4, 1, 3, 3).mean(0)
    log_mass = exact_log_joint(model).logsumexp(1)
    for image, filled in zip(x, inpainted):
        compatible = (IMAGES[:, 0, :2] == image[0, :2]).all((1, 2))
        expected = log_mass[compatible].softmax(0).float() @ IMAGES[compatible, 0, 2]
        torch.testing.assert_close(filled[0, 2], expected, atol=0.06, rtol=0)


def test_gray_images_are_thresholded():
    assert binarize(torch.tensor([[[[0.0, 0.49], [0.5, 1.0]]]])).tolist() == [[0, 0, 1, 1]]


@BOTH
def test_a_resumed_training_equals_an_uninterrupted_one(kind, tmp_path):
    """Interrupted in the middle of each stage of the schedule."""
    x, y = images(200)
    data = TrainingData(SPEC, x, y, x[:20], y[:20])

    def trained(**options):
        seed_everything(4)
        model = build_model(kind, SIZES[kind], steps=60, batch=20)
        model.fit(data, Trainer(**options))
        return model

    class Interrupted(Exception):
        pass

    def interrupt(epoch, metrics):
        if epoch == stop:
            raise Interrupted

    whole = trained().state_dict()
    for stop in (2, 3, 5):
        path = tmp_path / f"{stop}.safetensors"
        with pytest.raises(Interrupted):
            trained(checkpoint=path, checkpoint_seconds=0, on_epoch=interrupt)
        resumed = trained(checkpoint=path).state_dict()
        assert all(torch.equal(resumed[name], part) for name, part in whole.items()), stop
