"""Diffusion and flow matching on Gaussian data, for which the optimal net and all distributions are known."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import inference, predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative import ddpm, flow_matching
from pofxy.nets.denoiser import ResidualNet, UNet, denoiser
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
SHAPES = [(1, 8, 8), (3, 9, 8), (1, 8, 40), (3, 28, 28), (1, 33, 20), (1, 64, 64), (1, 1, 3), (5,)]


def spec_of(shape, levels=None, classes=3):
    return DataSpec("made", shape, classes, levels, tuple("abc"[:classes]))


def built(model, spec):
    """An untrained model with a uniform class prior."""
    seed_everything(0)
    model.build(spec)
    model.log_prior = torch.full((spec.classes,), -math.log(spec.classes))
    return model.eval()


def perturbed(net, amount=0.1):
    """The net with every parameter perturbed, so that no layer gives zero."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += amount * torch.randn_like(parameter)
    return net.eval()


class KnownNet(nn.Module):
    """A function of x and t in place of a net."""

    null = 3

    def __init__(self, function):
        super().__init__()
        self.function = function

    def guided(self, x, t, y, guidance):
        return self.function(x, t.view(-1, *[1] * (x.ndim - 1)))


def with_known_net(model, function):
    """The model with a function of x and t in place of the EMA net."""
    model.ema.module = KnownNet(function)
    return model


# ---------------------------------------------------------------------------------------------------------------- the net


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_net_takes_every_size_and_every_parameter_has_a_gradient(shape):
    torch.manual_seed(0)
    net = denoiser(spec_of(shape, levels=5 if len(shape) == 3 else None), width=8, dropout=0.1)
    assert isinstance(net, UNet if len(shape) == 3 and min(shape[1:]) >= 8 else ResidualNet)
    x = torch.randn(3, *shape)
    t = torch.rand(3)
    y = torch.tensor([0, 2, 3])
    perturbed(net)
    output = net(x, t, y)
    assert output.shape == x.shape and output.dtype == torch.float32
    output.square().sum().backward()
    without_gradient = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without_gradient, without_gradient
    # Each pixel depends on the opposite end of the image: through attention, or through all layers.
    x.requires_grad_()
    net(x, t, y).flatten(1)[:, 0].sum().backward()
    assert (x.grad.flatten(1)[:, -1] != 0).all()
    with torch.no_grad():
        torch.testing.assert_close(net(x, t[:1], y[:1]), net(x, t[:1].expand(3), y[:1].expand(3)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (4,)], ids=str)
def test_guidance_extrapolates_from_the_unconditional_to_the_conditional_output(shape):
    torch.manual_seed(0)
    net = perturbed(denoiser(spec_of(shape), 8, 0.0))
    x = torch.randn(4, *shape)
    t = torch.rand(4)
    y = torch.tensor([0, 1, 2, 1])
    null = torch.full((4,), 3)
    with torch.no_grad():
        conditional = net(x, t, y)
        unconditional = net(x, t, null)
        assert not torch.allclose(conditional, unconditional)
        for guidance in (-1.0, 0.0, 0.5, 3.0):
            expected = conditional + guidance * (conditional - unconditional)
            torch.testing.assert_close(net.guided(x, t, y, guidance), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(net.guided(x, t[:1], y[:1], 1.0)[:1], net.guided(x[:1], t[:1], y[:1], 1.0))


def test_dropped_labels_become_the_null_class():
    net = denoiser(spec_of((2,)), 8, 0.0)
    torch.manual_seed(0)
    y = torch.arange(3000) % 3
    assert torch.equal(net.drop_labels(y, 0.0), y) and (net.drop_labels(y, 1.0) == net.null).all()
    labels = net.drop_labels(y, 0.2)
    dropped = labels == net.null
    assert 500 < int(dropped.sum()) < 700 and torch.equal(labels[~dropped], y[~dropped])


# -------------------------------------------------------------------------------------------------------------- diffusion


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_schedule_goes_from_noise_below_a_level_to_pure_noise(levels):
    width = 2 / (levels - 1)  # of a level, in the range -1 to 1
    abar = built(ddpm.DDPM(timesteps=500), spec_of((1, 1, 3), levels)).alphas_cumprod
    assert len(abar) == 501 and abar[0] == 1 and abar[-1] == 0 and (abar.diff() < 0).all()
    assert float((1 - abar[1]).sqrt()) == pytest.approx(ddpm.FIRST_NOISE * width, rel=1e-2)
    # In between it is the cosine schedule: the angle whose cosine is a_t grows linearly.
    assert float(abar.sqrt().acos()[1:].diff().std()) < 1e-4


@pytest.mark.parametrize(("t", "s"), [(40, 39), (2, 1), (100, 99), (90, 20), (1, 0)])
def test_the_posterior_is_that_of_bayes_rule_for_gaussians(t, s):
    abar = ddpm.cosine_schedule(100, 0.05).double()
    x_0 = 0.3
    x_t = -0.7
    # Given x_0: x_s = a_s x_0 + noise, x_t = (a_t / a_s) x_s + noise. The conditional distribution of two Gaussian variables.
    factor = math.sqrt(abar[t] / abar[s])
    mean = np.array([math.sqrt(abar[s]) * x_0, math.sqrt(abar[t]) * x_0])
    variance = 1 - float(abar[s])
    covariance = np.array([[variance, factor * variance], [factor * variance, 1 - float(abar[t])]])
    expected_mean = mean[0] + covariance[0, 1] / covariance[1, 1] * (x_t - mean[1])
    expected_variance = covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1]
    posterior_mean, deviation = ddpm.q_posterior(torch.tensor(x_0).double(), torch.tensor(x_t).double(), abar[t], abar[s], 1.0)
    assert float(posterior_mean) == pytest.approx(expected_mean, abs=1e-6)
    assert float(deviation) ** 2 == pytest.approx(expected_variance, abs=1e-9)
    if t - s == 1:  # Ho et al., eq. 7
        beta_tilde = (1 - abar[s]) / (1 - abar[t]) * (1 - abar[t] / abar[s])
        assert float(deviation) ** 2 == pytest.approx(float(beta_tilde), abs=1e-12)
    for eta in (0.0, 0.4, 1.0):
        # For every eta, x_s has the same distribution given x_0: the factor of x_t and the added noise give the variance s_s^2.
        x_ts = torch.tensor([0.0, 1.0]).double()
        means, deviation = ddpm.q_posterior(torch.tensor(0.0).double(), x_ts, abar[t], abar[s], eta)
        slope = float(means[1] - means[0])
        assert slope**2 * float(1 - abar[t]) + float(deviation) ** 2 == pytest.approx(variance, abs=1e-9)
        assert eta > 0 or deviation == 0


DEVIATION = 0.2


def gaussian_denoiser(model):
    """The model with the optimal v for independent pixels N(0, DEVIATION^2): it predicts the posterior mean of x_0."""

    def velocity(x_t, share):
        abar = model.alphas_cumprod[(share * model.timesteps).round().long()]
        pred_x0 = optimal_factor(abar) * x_t
        return (abar.sqrt() * x_t - pred_x0) / (1 - abar).sqrt()

    return with_known_net(model, velocity)


def optimal_factor(abar):
    return abar.sqrt() * DEVIATION**2 / (abar * DEVIATION**2 + 1 - abar)


def test_the_bound_is_the_sum_of_all_its_terms_and_below_the_exact_mass():
    """Each term by torch's KL divergence of two Gaussians, averaged over x_t by quadrature, and summed over all t."""
    model = gaussian_denoiser(built(ddpm.DDPM(timesteps=400), spec_of((1, 1, 2), levels=33)))
    x = torch.tensor([[0.1, -0.3]]).mul(16).round() / 16  # on the grid, in the range -1 to 1
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    abar = model.alphas_cumprod.double()
    expected = torch.zeros(1, dtype=torch.float64)
    for pixel in x[0].double():
        for t in range(2, 401):
            x_t = abar[t].sqrt() * pixel + (1 - abar[t]).sqrt() * nodes
            exact_mean, deviation = ddpm.q_posterior(pixel, x_t, abar[t], abar[t - 1], 1.0)
            model_mean, _ = ddpm.q_posterior(optimal_factor(abar[t]) * x_t, x_t, abar[t], abar[t - 1], 1.0)
            normal = torch.distributions.Normal
            exact = normal(exact_mean, deviation)
            approximate = normal(model_mean, deviation)
            expected -= (weights * torch.distributions.kl_divergence(exact, approximate)).sum()
        s = float((1 - abar[1]).sqrt())
        half = 1 / 32
        decoder = stats.norm(optimal_factor(abar[1]) * (abar[1].sqrt() * pixel + s * nodes), ddpm.DECODER_DEVIATION * s)
        # The bin is mirrored into the upper tail, where the survival function does not underflow.
        ends = [abs(pixel.numpy() - decoder.mean()) + decoder.mean() + side for side in (-half, half)]
        expected += float((weights * torch.from_numpy(np.log(decoder.sf(ends[0]) - decoder.sf(ends[1])))).sum())
    images = ((x + 1) / 2).view(1, 1, 1, 2).repeat(1000, 1, 1, 1)
    seed_everything(1)
    bounds = predict_batched(model, "log_prob_bound", images).double()
    error = float(bounds.std() / math.sqrt(len(bounds)))
    assert error < 0.02 and abs(float(bounds.mean() - expected)) < 4 * error
    pixel_distribution = stats.norm(0, DEVIATION)
    log_mass = float(np.log(pixel_distribution.cdf(x + half) - pixel_distribution.cdf(x - half)).sum())
    assert log_mass - 0.5 < float(bounds.mean()) < log_mass, "at most 0.25 nats per pixel: steps and levels are coarse"


def test_all_classes_share_the_noise_of_the_bound():
    model = gaussian_denoiser(built(ddpm.DDPM(timesteps=100), spec_of((1, 1, 3), levels=5)))
    model.log_prior = torch.tensor([0.5, 0.3, 0.2]).log()
    joint = predict_batched(model, "log_joint_bound", torch.rand(7, 1, 1, 3).mul(4).round() / 4)
    assert joint.shape == (7, 3)
    torch.testing.assert_close(joint - joint[:, :1], (model.log_prior - model.log_prior[0]).expand(7, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_samples_of_the_optimal_denoiser_have_the_distribution_of_the_data(eta):
    model = gaussian_denoiser(built(ddpm.DDPM(timesteps=400, sampling_steps=400, eta=eta), spec_of((1, 1, 2), levels=256)))
    seed_everything(0)
    x = 2 * sample_batched(model, 1000).flatten().double().numpy() - 1
    assert stats.kstest(x, stats.norm(0, DEVIATION).cdf).pvalue > 0.001


# ---------------------------------------------------------------------------------------------------------- flow matching


def gaussian_flow(dimensions, steps):
    """A model with the optimal velocity field from N(0, I) to a Gaussian of rows (N, D), and that Gaussian."""
    model = built(flow_matching.FlowMatching(sampling_steps=steps, density_steps=steps), spec_of((dimensions,)))
    model.center = torch.linspace(0.3, 0.6, dimensions)
    model.scale = torch.full((dimensions,), 0.1)
    torch.manual_seed(3)
    mixing = torch.randn(dimensions, dimensions) / math.sqrt(dimensions) * 0.5 + 0.5 * torch.eye(dimensions)
    mean = 0.3 * torch.randn(dimensions)
    covariance = mixing @ mixing.T
    unit = torch.eye(dimensions)

    def velocity(x, t):
        t = float(t)
        slope = (t * covariance - (1 - t) * unit) @ torch.linalg.inv(t**2 * covariance + (1 - t) ** 2 * unit)
        return mean + (x - t * mean) @ slope.T

    distribution = torch.distributions.MultivariateNormal(model.center + 0.1 * mean, 0.01 * covariance)
    return with_known_net(model, velocity), distribution


def test_the_solver_of_the_density_is_of_second_order():
    model, distribution = gaussian_flow(3, 20)
    x = distribution.sample((200,))
    with inference(model):
        errors = [float((model._log_density(x, steps) - distribution.log_prob(x)).abs().max()) for steps in (20, 40)]
    assert errors[1] < 0.05 and errors[1] < errors[0] / 2.5


@pytest.mark.parametrize("dimensions", [2, 8, flow_matching.EXACT_TRACE])
def test_log_prob_of_the_optimal_velocity_field_is_that_of_the_gaussian(dimensions):
    """For few dimensions the trace is exact and the steps are doubled until they suffice; where they begin has no influence."""
    model, distribution = gaussian_flow(dimensions, 1)
    assert model.tags.log_prob_estimator == "ODE with the exact trace"
    x = distribution.sample((200,))
    error = predict_batched(model, "log_prob", x) - distribution.log_prob(x)
    assert abs(float(error.mean())) < 0.002 and float(error.abs().max()) < 0.01
    torch.testing.assert_close(
        predict_batched(model, "log_prob", x, batch=7) - distribution.log_prob(x), error, atol=1e-3, rtol=0
    )


@pytest.mark.slow
def test_log_prob_of_a_trained_model_of_a_table_is_that_of_a_much_finer_solver():
    """A trained velocity field is rougher in t than an optimal one."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(600) % 3
    mixing = torch.randn(3, 8, 8, generator=generator) / 3
    x = (torch.randn(600, 1, 8, generator=generator) @ mixing[y])[:, 0] + torch.randn(3, 8, generator=generator)[y]
    x = (x - x.amin(0)) / (x.amax(0) - x.amin(0))
    seed_everything(0)
    model = build_model(flow_matching.FlowMatching, steps=300)
    model.fit(TrainingData(spec_of((8,)), x[:400], y[:400], x[400:500], y[400:500]), Trainer())
    with inference(model):
        fine = model._log_density(x[500:], 1024)
        sixteen = model._log_density(x[500:], 16)
    error = predict_batched(model, "log_prob", x[500:]) - fine
    assert abs(float(error.mean())) < 0.002 and float(error.abs().max()) < 0.02
    assert float((sixteen - fine).abs().max()) > 0.05, "a fixed number of 16 steps is not enough"


def test_hutchinsons_estimate_is_unbiased(monkeypatch):
    dimensions = flow_matching.EXACT_TRACE + 4
    model, distribution = gaussian_flow(dimensions, 20)
    assert model.tags.log_prob_estimator == "ODE with Hutchinson's trace"
    x = distribution.sample((1,))
    seed_everything(0)
    estimates = predict_batched(model, "log_prob", x.expand(1000, -1)).double()
    monkeypatch.setattr(flow_matching, "EXACT_TRACE", dimensions)
    with inference(model):
        exact = model._log_density(x.expand(2, -1), 20)
    assert exact[0] == exact[1] and estimates.std() > 0.1
    assert abs(float(estimates.mean() - exact[0])) < 4 * float(estimates.std()) / math.sqrt(1000)


def test_latents_are_standard_normal_and_are_transported_back_to_the_data():
    model, distribution = gaussian_flow(3, 80)
    seed_everything(0)
    x = distribution.sample((2000,)).clamp(0, 1)
    z = predict_batched(model, "encode", x)
    assert all(stats.kstest(column.numpy(), "norm").pvalue > 0.001 for column in z.T)
    *_, transported = model._solve(z, model._null())
    torch.testing.assert_close(model._to_data(transported), x, atol=2e-3, rtol=0)
    samples = sample_batched(model, 4000)
    torch.testing.assert_close(samples.mean(0), distribution.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(samples.T.cov(), distribution.covariance_matrix, atol=1e-3, rtol=0.1)


def test_the_time_grid_covers_the_unit_interval_with_shorter_steps_near_the_data():
    forward, backward = (list(flow_matching._time_grid(8, 2, backward)) for backward in (False, True))
    assert forward[0][0] == 0 and sum(forward[-1]) == pytest.approx(1)
    assert backward[0][0] == 1 and sum(backward[-1]) == pytest.approx(0)
    assert all(later[1] < earlier[1] for earlier, later in pairwise(forward))
    torch.testing.assert_close(torch.tensor(forward)[:, 1].flip(0), -torch.tensor(backward)[:, 1])
