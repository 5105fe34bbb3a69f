"""JEM's chains against laws that are known, and its classifier against its own energies."""

import pytest
import torch

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.jem import JEM
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
SPEC = DataSpec("made", (1, 8, 8), 3, 17, ("a", "b", "c"))


def untrained(**settings):
    """Its net is zero, so that it is the Gaussian alone."""
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
    model, data = JEM(hidden=64, steps=200, batch=30), made_data()
    model.fit(data, Trainer())
    return model, data


@pytest.mark.parametrize("share", [0.2, 0.7, 1.4])
def test_chains_on_a_quadratic_energy_have_the_variance_that_steps_of_their_size_give(share):
    """x' = (1 - e^2 / 2 s^2) x + e noise is an autoregression: its variance is s^2 / (1 - e^2 / 4 s^2), not s^2 itself."""
    deviation = 0.02  # so small that no drift is clipped
    model = untrained(stride=share * deviation, hidden=8)
    model.mean, model.deviation = torch.full((1, 8, 8), 0.3), torch.full((1, 8, 8), deviation)
    x = model.walked(model.fresh(400), None, 120)
    expected = deviation**2 / (1 - share**2 / 4)
    # 400 x 64 draws: the standard error of a variance is a 113th of it, of the mean a 160th of the deviation.
    assert float((x - 0.3).square().mean()) == pytest.approx(expected, rel=0.04)
    assert float(x.mean()) == pytest.approx(0.3, abs=4 * expected**0.5 / 160)


def test_a_pixel_drifts_by_no_more_than_a_tenth_of_its_range_in_a_step():
    model = untrained(stride=1e-3)
    model.deviation = torch.full((1, 8, 8), 1e-4)
    far = torch.full((1, 1, 8, 8), 1.0)
    assert float((model.walked(far, None, 1) - far).abs().max()) == pytest.approx(0.1, abs=0.01)


def test_slopes_are_those_of_the_energies_by_finite_differences(fitted):
    model, data = fitted
    x, labels = data.x_val[:3], data.y_val[:3]
    for of_labels in (labels, None):
        slope = model.slope(x, of_labels)
        step = torch.zeros_like(x)
        step[:, 0, 3, 4] = 1e-2
        with torch.no_grad():
            ends = [model.decision_function(x + sign * step) for sign in (1, -1)]
        f = [end.logsumexp(1) if of_labels is None else end[range(3), labels] for end in ends]
        torch.testing.assert_close((f[0] - f[1]) / 2e-2, slope[:, 0, 3, 4], rtol=2e-2, atol=2e-2)


def test_the_classifier_is_bayes_rule_over_the_joint_energies(fitted):
    model, data = fitted
    with torch.no_grad():
        f = model.decision_function(data.x_val).double()  # log p(x, y) + log Z
    joint = f.exp()
    found = predict_batched(model, "predict_proba", data.x_val).double()
    torch.testing.assert_close(found, joint / joint.sum(1, keepdim=True), rtol=1e-3, atol=1e-6)
    assert (found.argmax(1) == data.y_val).all()


def test_chains_start_anew_at_their_rate_and_else_go_on_from_the_buffer():
    model = untrained(restart=0.05, chains=2000)
    model.buffer.fill_(7.0)
    indices, anew = [], []
    for _ in range(20):
        index, start = model.next_chains(500)
        assert len(index.unique()) == 500, "no chain is moved twice for a batch"
        kept = (start == 7).flatten(1).all(1)
        assert ((start - model.mean).abs().flatten(1).amax(1)[~kept] < 6).all(), "what is new is a draw from the Gaussian"
        indices.append(index)
        anew.append(~kept)
    rate = float(torch.cat(anew).float().mean())
    assert rate == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 10_000) ** 0.5)
    assert len(torch.cat(indices).unique()) > 1900


def test_a_batch_moves_its_chains_and_leaves_the_others_and_every_label_as_they_were(fitted):
    model, data = fitted
    buffer, labels = model.buffer.clone(), model.labels.clone()
    model._loss(data.x[:30], data.y[:30])
    moved = (model.buffer != buffer).flatten(1).any(1)
    assert int(moved.sum()) == 30 and torch.equal(model.labels, labels) and not model.buffer.requires_grad
    assert set(labels.tolist()) == {0, 1, 2}


def test_samples_leave_the_buffer_as_it_is_and_carry_no_gradient(fitted):
    model, _data = fitted
    buffer = model.buffer.clone()
    found = sample_batched(model, 40, torch.arange(40) % 3)
    assert torch.equal(model.buffer, buffer) and not found.requires_grad
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.net.parameters())


def test_the_noise_is_taken_off_a_gaussian_as_its_conditional_mean_says():
    """Data N(m, v) with noise s^2: given x, the mean of what was there is m + v / (v + s^2) (x - m)."""
    model = untrained(noise=0.1)
    variance = 0.2**2
    model.mean, model.deviation = torch.full((1, 8, 8), 0.5), torch.full((1, 8, 8), (variance + 0.1**2) ** 0.5)
    x = 0.5 + 0.3 * torch.randn(5, 1, 8, 8).clamp(-1, 1)
    torch.testing.assert_close(model._denoised(x), 0.5 + variance / (variance + 0.01) * (x - 0.5))


def test_a_band_that_the_rest_of_the_image_tells_of_is_filled_in(fitted):
    """Where neither of the other classes' columns is bright, those of class c are."""
    model, data = fitted
    x = data.x[data.y == 2][:20]
    mask = torch.ones_like(x)
    mask[..., 4:6] = 0
    torch.manual_seed(0)
    filled = predict_batched(model, "inpaint", x, mask)
    assert (filled[..., 4:6].mean((1, 2, 3)) > 0.5).float().mean() > 0.8
