"""Diffusion and flow matching: where the data are Gaussian the best net is known, and with it every law on the way."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pofxy.base.data import DataSpec
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative import ddpm, flow_matching
from pofxy.nets.denoiser import ResidualNet, UNet, denoiser

torch.set_num_threads(1)
SHAPES = [(1, 8, 8), (3, 9, 8), (1, 8, 40), (3, 28, 28), (1, 33, 20), (1, 64, 64), (1, 1, 3), (5,)]


def spec_of(shape, levels=None, classes=3):
    return DataSpec("made", shape, classes, levels, tuple("abc"[:classes]))


def built(model, spec):
    """A model without training that knows its class prior."""
    seed_everything(0)
    model.build(spec)
    model.log_prior = torch.full((spec.classes,), -math.log(spec.classes))
    return model.eval()


def stirred(net, amount=0.1):
    """The net with every parameter moved a little: none of its layers gives zero any more."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += amount * torch.randn_like(parameter)
    return net.eval()


class Known(nn.Module):
    """Stands where a net would: a function of x and t; counts what it was asked."""

    null = 3

    def __init__(self, function):
        super().__init__()
        self.function = function

    def guided(self, x, t, y, guidance):
        return self.function(x, t.view(-1, *[1] * (x.ndim - 1)))


def know(model, function):
    model.averaged.module = Known(function)
    return model


# ---------------------------------------------------------------------------------------------------------------- the net


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_net_takes_every_size_and_moves_every_parameter(shape):
    torch.manual_seed(0)
    net = denoiser(spec_of(shape, levels=5 if len(shape) == 3 else None), width=8, dropout=0.1)
    assert isinstance(net, UNet if len(shape) == 3 and min(shape[1:]) >= 8 else ResidualNet)
    x, t, y = torch.randn(3, *shape), torch.rand(3), torch.tensor([0, 2, 3])
    stirred(net)
    found = net(x, t, y)
    assert found.shape == x.shape and found.dtype == torch.float32
    found.square().sum().backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still, still
    # Each pixel hangs on the far end of the image: through attention, or through all layers.
    x.requires_grad_()
    net(x, t, y).flatten(1)[:, 0].sum().backward()
    assert (x.grad.flatten(1)[:, -1] != 0).all()
    with torch.no_grad():
        torch.testing.assert_close(net(x, t[:1], y[:1]), net(x, t[:1].expand(3), y[:1].expand(3)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (4,)], ids=str)
def test_guidance_exaggerates_what_the_label_tells(shape):
    torch.manual_seed(0)
    net = stirred(denoiser(spec_of(shape), 8, 0.0))
    x, t, y, null = torch.randn(4, *shape), torch.rand(4), torch.tensor([0, 1, 2, 1]), torch.full((4,), 3)
    with torch.no_grad():
        told, untold = net(x, t, y), net(x, t, null)
        assert not torch.allclose(told, untold)
        for guidance in (-1.0, 0.0, 0.5, 3.0):
            found = net.guided(x, t, y, guidance)
            torch.testing.assert_close(found, told + guidance * (told - untold), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(net.guided(x, t[:1], y[:1], 1.0)[:1], net.guided(x[:1], t[:1], y[:1], 1.0))


def test_labels_are_dropped_to_the_null_class():
    net = denoiser(spec_of((2,)), 8, 0.0)
    torch.manual_seed(0)
    y = torch.arange(3000) % 3
    assert torch.equal(net.forgetful(y, 0.0), y) and (net.forgetful(y, 1.0) == net.null).all()
    some = net.forgetful(y, 0.2)
    dropped = some == net.null
    assert 500 < int(dropped.sum()) < 700 and torch.equal(some[~dropped], y[~dropped])


# -------------------------------------------------------------------------------------------------------------- diffusion


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_schedule_goes_from_a_part_of_a_level_to_pure_noise(levels):
    width = 2 / (levels - 1)  # of a level, in the range -1 to 1
    abar = built(ddpm.DDPM(timesteps=500), spec_of((1, 1, 3), levels)).abar
    assert len(abar) == 501 and abar[0] == 1 and abar[-1] == 0 and (abar.diff() < 0).all()
    assert float((1 - abar[1]).sqrt()) == pytest.approx(ddpm.FIRST_NOISE * width, rel=1e-2)
    # In between it is Nichol and Dhariwal's curve: the angle whose cosine is a_t grows evenly.
    assert float(abar.sqrt().acos()[1:].diff().std()) < 1e-4


@pytest.mark.parametrize(("t", "s"), [(40, 39), (2, 1), (100, 99), (90, 20), (1, 0)])
def test_the_posterior_is_bayes_rule_by_hand(t, s):
    abar = ddpm.schedule(100, 0.05).double()
    x, x_t = 0.3, -0.7
    # Given x: x_s = a_s x + noise, x_t = (a_t / a_s) x_s + noise; the conditional of two Gaussian numbers.
    shrink = math.sqrt(abar[t] / abar[s])
    mean, variance = np.array([math.sqrt(abar[s]) * x, math.sqrt(abar[t]) * x]), 1 - float(abar[s])
    covariance = np.array([[variance, shrink * variance], [shrink * variance, 1 - float(abar[t])]])
    expected = mean[0] + covariance[0, 1] / covariance[1, 1] * (x_t - mean[1])
    left = covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1]
    found, deviation = ddpm.posterior(torch.tensor(x_t).double(), torch.tensor(x).double(), abar[t], abar[s], 1.0)
    assert float(found) == pytest.approx(expected, abs=1e-6)
    assert float(deviation) ** 2 == pytest.approx(left, abs=1e-9)
    if t - s == 1:  # Ho et al., eq. 7
        ancestral = (1 - abar[s]) / (1 - abar[t]) * (1 - abar[t] / abar[s])
        assert float(deviation) ** 2 == pytest.approx(float(ancestral), abs=1e-12)
    for eta in (0.0, 0.4, 1.0):
        # Whatever eta, x_s has the same law given x: the noise's factor and the deviation make up s_s^2.
        ahead, deviation = ddpm.posterior(torch.tensor([0.0, 1.0]).double(), torch.tensor(0.0).double(), abar[t], abar[s], eta)
        slope = float(ahead[1] - ahead[0])
        assert slope**2 * float(1 - abar[t]) + float(deviation) ** 2 == pytest.approx(variance, abs=1e-9)
        assert eta > 0 or deviation == 0


DEVIATION = 0.2


def gaussian_denoiser(model):
    """The best v where each pixel, in the range -1 to 1, is normal with mean 0: the image found is the posterior mean."""

    def velocity(x_t, share):
        abar = model.abar[(share * model.timesteps).round().long()]
        found = best_factor(abar) * x_t
        return (abar.sqrt() * x_t - found) / (1 - abar).sqrt()

    return know(model, velocity)


def best_factor(abar):
    return abar.sqrt() * DEVIATION**2 / (abar * DEVIATION**2 + 1 - abar)


def test_the_bound_is_the_sum_of_all_its_terms_and_below_the_exact_mass():
    """Each term by torch's own divergence of two Gaussians, averaged over x_t by quadrature; the sum over every t."""
    model = gaussian_denoiser(built(ddpm.DDPM(timesteps=400), spec_of((1, 1, 2), levels=33)))
    x = torch.tensor([[0.1, -0.3]]).mul(16).round() / 16  # on the grid, in the range -1 to 1
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    abar, expected = model.abar.double(), torch.zeros(1, dtype=torch.float64)
    for pixel in x[0].double():
        for t in range(2, 401):
            x_t = abar[t].sqrt() * pixel + (1 - abar[t]).sqrt() * nodes
            true, deviation = ddpm.posterior(x_t, pixel, abar[t], abar[t - 1], 1.0)
            ours, _ = ddpm.posterior(x_t, best_factor(abar[t]) * x_t, abar[t], abar[t - 1], 1.0)
            normal = torch.distributions.Normal
            expected -= (weights * torch.distributions.kl_divergence(normal(true, deviation), normal(ours, deviation))).sum()
        s, half = float((1 - abar[1]).sqrt()), 1 / 32
        law = stats.norm(best_factor(abar[1]) * (abar[1].sqrt() * pixel + s * nodes), ddpm.DECODER_DEVIATION * s)
        # The tail on the image's side, so that none underflows.
        ends = [abs(pixel.numpy() - law.mean()) + law.mean() + side for side in (-half, half)]
        expected += float((weights * torch.from_numpy(np.log(law.sf(ends[0]) - law.sf(ends[1])))).sum())
    images = ((x + 1) / 2).view(1, 1, 1, 2).repeat(1000, 1, 1, 1)
    seed_everything(1)
    found = predict_batched(model, "log_prob_bound", images).double()
    error = float(found.std() / math.sqrt(len(found)))
    assert error < 0.02 and abs(float(found.mean() - expected)) < 4 * error
    law = stats.norm(0, DEVIATION)
    exact = float(np.log(law.cdf(x + half) - law.cdf(x - half)).sum())
    assert exact - 0.5 < float(found.mean()) < exact, "a quarter of a nat a pixel at most: steps and levels are coarse"


def test_every_class_is_asked_to_take_the_same_noise_away():
    model = gaussian_denoiser(built(ddpm.DDPM(timesteps=100), spec_of((1, 1, 3), levels=5)))
    model.log_prior = torch.tensor([0.5, 0.3, 0.2]).log()
    joint = predict_batched(model, "log_joint_bound", torch.rand(7, 1, 1, 3).mul(4).round() / 4)
    assert joint.shape == (7, 3)
    torch.testing.assert_close(joint - joint[:, :1], (model.log_prior - model.log_prior[0]).expand(7, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_samples_of_the_best_denoiser_have_the_law_of_the_data(eta):
    model = gaussian_denoiser(built(ddpm.DDPM(timesteps=400, sampling_steps=400, eta=eta), spec_of((1, 1, 2), levels=256)))
    seed_everything(0)
    x = 2 * sample_batched(model, 1000).flatten().double().numpy() - 1
    assert stats.kstest(x, stats.norm(0, DEVIATION).cdf).pvalue > 0.001


# ---------------------------------------------------------------------------------------------------------- flow matching


def gaussian_flow(dimensions, steps):
    """The best field from N(0, I) to a Gaussian of any covariance, as a mean of lines; and that Gaussian, for rows (N, D)."""
    model = built(flow_matching.FlowMatching(sampling_steps=steps, density_steps=steps), spec_of((dimensions,)))
    model.centre, model.scale = torch.linspace(0.3, 0.6, dimensions), torch.full((dimensions,), 0.1)
    torch.manual_seed(3)
    mixing = torch.randn(dimensions, dimensions) / math.sqrt(dimensions) * 0.5 + 0.5 * torch.eye(dimensions)
    mean, covariance, unit = 0.3 * torch.randn(dimensions), mixing @ mixing.T, torch.eye(dimensions)

    def velocity(x, t):
        t = float(t)
        slope = (t * covariance - (1 - t) * unit) @ torch.linalg.inv(t**2 * covariance + (1 - t) ** 2 * unit)
        return mean + (x - t * mean) @ slope.T

    law = torch.distributions.MultivariateNormal(model.centre + 0.1 * mean, 0.01 * covariance)
    return know(model, velocity), law


def test_log_prob_of_a_known_field_is_the_gaussians():
    errors = []
    for steps in (20, 40):
        model, law = gaussian_flow(3, steps)
        x = law.sample((200,))
        errors.append(float((predict_batched(model, "log_prob", x) - law.log_prob(x)).abs().max()))
    assert errors[1] < 0.05 and errors[1] < errors[0] / 2.5, "the midpoint method is of second order"


def test_hutchinsons_trace_is_exact_in_the_mean(monkeypatch):
    dimensions = flow_matching.EXACT_TRACE + 4
    model, law = gaussian_flow(dimensions, 20)
    x = law.sample((1,))
    seed_everything(0)
    found = predict_batched(model, "log_prob", x.expand(1000, -1)).double()
    monkeypatch.setattr(flow_matching, "EXACT_TRACE", dimensions)
    exact = predict_batched(model, "log_prob", x.expand(2, -1))
    assert exact[0] == exact[1] and found.std() > 0.1
    assert abs(float(found.mean() - exact[0])) < 4 * float(found.std()) / math.sqrt(1000)


def test_codes_are_noise_that_is_carried_to_what_they_are_of():
    model, law = gaussian_flow(3, 80)
    seed_everything(0)
    x = law.sample((2000,)).clamp(0, 1)
    z = predict_batched(model, "encode", x)
    assert all(stats.kstest(column.numpy(), "norm").pvalue > 0.001 for column in z.T)
    *_, again = model._way(z, model._null())
    torch.testing.assert_close(model._shown(again), x, atol=2e-3, rtol=0)
    drawn = sample_batched(model, 4000)
    torch.testing.assert_close(drawn.mean(0), law.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), law.covariance_matrix, atol=1e-3, rtol=0.1)


def test_the_solver_ends_at_both_ends_of_time_and_slows_down_near_the_data():
    forward, backward = (list(flow_matching._grid(8, 2, backward)) for backward in (False, True))
    assert forward[0][0] == 0 and sum(forward[-1]) == pytest.approx(1)
    assert backward[0][0] == 1 and sum(backward[-1]) == pytest.approx(0)
    assert all(later[1] < earlier[1] for earlier, later in pairwise(forward))
    torch.testing.assert_close(torch.tensor(forward)[:, 1].flip(0), -torch.tensor(backward)[:, 1])
