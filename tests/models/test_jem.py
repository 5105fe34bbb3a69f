"""The chains of JEM against known distributions, and its classifier against its own energies."""

import pytest
import torch

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.jem import JEM
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
SPEC = DataSpec("made", (1, 8, 8), 3, 17, ("a", "b", "c"))


def untrained(**settings):
    """A model whose net is zero, so that its distribution is the Gaussian."""
    torch.manual_seed(0)
    model = JEM(**settings)
    model.build(SPEC)
    with torch.no_grad():
        model.net[-1].bias.zero_()
    return model


def made_data(n=120):
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=generator) * 0.4
    for k in range(3):
        x[y == k, ..., 2 * k : 2 * k + 2] += 0.6
    return TrainingData(SPEC, x, y, x[:30], y[:30])


@pytest.fixture(scope="module")
def fitted():
    seed_everything(0)
    model = build_model(JEM, hidden=64, steps=200, batch=30)
    data = made_data()
    model.fit(data, Trainer())
    return model, data


@pytest.mark.parametrize("share", [0.2, 0.7, 1.4])
def test_chains_of_a_quadratic_energy_have_the_variance_of_their_autoregression(share):
    """x' = (1 - e^2 / 2 s^2) x + e noise has the variance s^2 / (1 - e^2 / 4 s^2), not s^2, because the step size is finite."""
    deviation = 0.02  # so small that no drift is clipped
    model = untrained(stride=share * deviation, hidden=8)
    model.mean = torch.full((1, 8, 8), 0.3)
    model.deviation = torch.full((1, 8, 8), deviation)
    x = model.langevin(model.initial_chains(400), None, 120)
    expected = deviation**2 / (1 - share**2 / 4)
    # 400 x 64 samples: the standard error of the variance is 1/113 of it, that of the mean 1/160 of the standard deviation.
    assert float((x - 0.3).square().mean()) == pytest.approx(expected, rel=0.04)
    assert float(x.mean()) == pytest.approx(0.3, abs=4 * expected**0.5 / 160)


def test_a_pixel_drifts_by_no_more_than_a_tenth_of_its_range_in_a_step():
    model = untrained(stride=1e-3)
    model.deviation = torch.full((1, 8, 8), 1e-4)
    far = torch.full((1, 1, 8, 8), 1.0)
    assert float((model.langevin(far, None, 1) - far).abs().max()) == pytest.approx(0.1, abs=0.01)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(fitted):
    model, data = fitted
    x = data.x_val[:3]
    labels = data.y_val[:3]
    for given_labels in (labels, None):
        gradient = model.log_density_gradient(x, given_labels)
        step = torch.zeros_like(x)
        step[:, 0, 3, 4] = 1e-2
        with torch.no_grad():
            ends = [model.decision_function(x + sign * step) for sign in (1, -1)]
        f = [end.logsumexp(1) if given_labels is None else end[range(3), labels] for end in ends]
        torch.testing.assert_close((f[0] - f[1]) / 2e-2, gradient[:, 0, 3, 4], rtol=2e-2, atol=2e-2)


def test_the_classifier_is_bayes_rule_over_the_joint_energies(fitted):
    model, data = fitted
    with torch.no_grad():
        f = model.decision_function(data.x_val).double()  # log p(x, y) + log Z
    joint = f.exp()
    probabilities = predict_batched(model, "predict_proba", data.x_val).double()
    torch.testing.assert_close(probabilities, joint / joint.sum(1, keepdim=True), rtol=1e-3, atol=1e-6)
    assert (probabilities.argmax(1) == data.y_val).all()


def test_chains_restart_at_the_given_rate_and_otherwise_continue_from_the_buffer():
    model = untrained(restart=0.05, chains=2000)
    model.replay_buffer.fill_(7.0)
    indices = []
    restarted = []
    for _ in range(20):
        index, start = model.next_chains(500)
        assert len(index.unique()) == 500, "no chain is moved twice for a batch"
        continued = (start == 7).flatten(1).all(1)
        distance = (start - model.mean).abs().flatten(1).amax(1)
        assert (distance[~continued] < 6).all(), "restarted chains are samples of the Gaussian"
        indices.append(index)
        restarted.append(~continued)
    rate = float(torch.cat(restarted).float().mean())
    assert rate == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 10_000) ** 0.5)
    assert len(torch.cat(indices).unique()) > 1900


def test_a_batch_changes_its_own_chains_alone_and_no_label(fitted):
    model, data = fitted
    buffer = model.replay_buffer.clone()
    labels = model.chain_labels.clone()
    model._loss(data.x[:30], data.y[:30])
    moved = (model.replay_buffer != buffer).flatten(1).any(1)
    assert int(moved.sum()) == 30 and torch.equal(model.chain_labels, labels) and not model.replay_buffer.requires_grad
    assert set(labels.tolist()) == {0, 1, 2}


def test_sampling_does_not_change_the_buffer_and_gives_no_gradient(fitted):
    model, _data = fitted
    buffer = model.replay_buffer.clone()
    samples = sample_batched(model, 40, torch.arange(40) % 3)
    assert torch.equal(model.replay_buffer, buffer) and not samples.requires_grad
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.net.parameters())


def test_denoising_a_gaussian_gives_its_conditional_mean():
    """For data N(m, v) and noise of variance s^2, the mean of the clean value given x is m + v / (v + s^2) (x - m)."""
    model = untrained(noise=0.1)
    variance = 0.2**2
    model.mean = torch.full((1, 8, 8), 0.5)
    model.deviation = torch.full((1, 8, 8), (variance + 0.1**2) ** 0.5)
    x = 0.5 + 0.3 * torch.randn(5, 1, 8, 8).clamp(-1, 1)
    torch.testing.assert_close(model._denoise(x), 0.5 + variance / (variance + 0.01) * (x - 0.5))


def test_a_band_that_follows_from_the_rest_of_the_image_is_inpainted(fitted):
    """If the columns of the two other classes are dark, those of class c are bright."""
    model, data = fitted
    x = data.x[data.y == 2][:20]
    mask = torch.ones_like(x)
    mask[..., 4:6] = 0
    torch.manual_seed(0)
    filled = predict_batched(model, "inpaint", x, mask)
    assert (filled[..., 4:6].mean((1, 2, 3)) > 0.5).float().mean() > 0.8
