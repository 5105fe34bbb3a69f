"""Models with continuous latents, each against enumeration, quadrature or scikit-learn."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import inference, predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.autoencoder import Autoencoder
from pofxy.models.generative.conditional_vae import ConditionalVAE
from pofxy.models.generative.denoising_autoencoder import DenoisingAutoencoder
from pofxy.models.generative.pca import PCA
from pofxy.models.generative.vae import VAE
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)


def table(x):
    y = torch.arange(len(x)) % 2
    return TrainingData(DataSpec("table", (x.shape[1],), 2, None, ("a", "b")), x, y, x[:100], y[:100])


def images(shape=(1, 2, 2), levels=5, n=300, classes=3):
    """Noisy images; the brightness increases with the label."""
    generator = torch.Generator().manual_seed(3)
    y = torch.arange(n) % classes
    x = (torch.rand(n, 1, 1, 1, generator=generator) + 0.3 * torch.rand(n, *shape, generator=generator)) / 2
    x = ((x + y[:, None, None, None] / 4).clamp(0, 1) * (levels - 1)).round() / (levels - 1)
    return TrainingData(DataSpec("made", shape, classes, levels, tuple("abc")), x, y, x[:90], y[:90])


def fitted(model, data):
    seed_everything(0)
    model.fit(data, Trainer())
    return model


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_mass_of_each_level_is_that_of_scipys_logistic_distributions_and_sums_to_one(levels):
    torch.manual_seed(0)
    mixture = DiscretizedLogisticMixture(levels, components=2)
    pixels = 4
    parameters = 2 * torch.randn(1, mixture.size * pixels)
    grid = torch.arange(levels) / (levels - 1)
    # One pixel takes every level. The others stay at 0 and add the same mass each time.
    x = torch.zeros(levels, pixels)
    x[:, 2] = grid
    log_mass = mixture.log_mass(x, parameters.expand(levels, -1)).double()
    log_weight, center, log_scale = parameters.double().view(3, 2, pixels)[..., 2].numpy()
    weight = np.exp(log_weight) / np.exp(log_weight).sum()
    scale = np.exp(np.clip(log_scale - 2, -7, 7))
    edges = np.concatenate([[-np.inf], (np.arange(levels - 1) + 0.5) / (levels - 1), [np.inf]])
    mass = weight @ np.diff(stats.logistic.cdf(edges, (center + np.array([0.25, 0.75]))[:, None], scale[:, None]), axis=1)
    np.testing.assert_allclose(log_mass.softmax(0).numpy(), mass, atol=1e-5)
    others = mixture.log_mass(torch.zeros(1, pixels), parameters).double() - log_mass[0]
    assert float(log_mass.logsumexp(0) + others) == pytest.approx(float(log_mass[0] - math.log(mass[0])), abs=1e-3)


def test_samples_of_a_mixture_have_the_frequencies_of_its_mass_and_its_mean():
    torch.manual_seed(1)
    mixture = DiscretizedLogisticMixture(5)
    n = 20_000
    parameters = torch.randn(1, mixture.size)
    expected = mixture.log_mass(torch.arange(5.0)[:, None] / 4, parameters.expand(5, -1)).double().exp()
    samples = mixture.sample(parameters.expand(n, -1))
    counts = torch.bincount((samples[:, 0] * 4).round().long(), minlength=5)
    assert stats.chisquare(counts.numpy(), (n * expected / expected.sum()).numpy()).pvalue > 1e-3
    # `mean` does not round to levels; rounding moves the mean of a wide distribution by little.
    assert float(mixture.mean(parameters)) == pytest.approx(float(samples.mean()), abs=0.02)


def test_a_level_of_vanishing_mass_has_a_finite_gradient():
    mixture = DiscretizedLogisticMixture(256)
    parameters = torch.tensor([[0.0] * 3 + [-40.0, 40, 90] + [-20.0, -20, 20]]).requires_grad_()
    log_mass = mixture.log_mass(torch.tensor([[0.5]]), parameters)
    log_mass.sum().backward()
    assert log_mass.isfinite().all() and parameters.grad.isfinite().all() and parameters.grad.abs().sum() > 0


@pytest.mark.slow
def test_principal_components_are_scikit_learns():
    from sklearn.decomposition import PCA as SklearnPCA

    x = torch.rand(400, 12, generator=torch.Generator().manual_seed(0)) @ torch.rand(12, 12).tril()
    x = x / x.max()
    ours = fitted(PCA(latent_dim=5), table(x))
    theirs = SklearnPCA(5, whiten=True).fit(x.double().numpy())
    latents = ours.encode(x)
    expected = theirs.transform(x.double().numpy()) * math.sqrt(400 / 399)  # scikit-learn divides by N - 1
    np.testing.assert_allclose(latents.abs().numpy(), np.abs(expected), atol=1e-3)
    restored = theirs.inverse_transform(theirs.transform(x.double().numpy()))
    np.testing.assert_allclose(ours.reconstruct(x).numpy(), restored.clip(0, 1), atol=1e-4)
    torch.testing.assert_close(latents.T @ latents / 400, torch.eye(5), atol=1e-3, rtol=0)


def test_the_latents_of_directions_without_variance_are_zero():
    x = torch.rand(400, 6, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.5
    x[:, 4] = x[:, 0]
    model = fitted(PCA(latent_dim=6), table(x))
    assert (model.encode(torch.rand(10, 6))[:, 4:] == 0).all()
    torch.testing.assert_close(model.reconstruct(x), x, atol=1e-5, rtol=0)
    few = fitted(PCA(latent_dim=6), table(x[:3]))
    torch.testing.assert_close(few.reconstruct(x[:3]), x[:3], atol=1e-5, rtol=0)
    assert few.decode(torch.randn(5, 6)).isfinite().all()


def test_one_latent_of_an_autoencoder_describes_a_curve_and_one_of_pca_does_not():
    angle = torch.rand(600, 1, generator=torch.Generator().manual_seed(0)) * 4
    x = 0.5 + 0.4 * torch.cat([angle.cos(), angle.sin(), (angle / 2).cos()], 1)
    nonlinear = fitted(build_model(Autoencoder, latent_dim=1, hidden=64, steps=800, learning_rate=4e-3), table(x))
    linear = fitted(PCA(latent_dim=1), table(x))
    errors = [float((predict_batched(model, "reconstruct", x) - x).square().sum(1).mean()) for model in (nonlinear, linear)]
    assert errors[0] < 0.1 * errors[1]


def test_a_denoising_autoencoder_moves_noisy_points_to_the_data_and_pca_copies_them():
    generator = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(600, 1, generator=generator)
    x = 0.5 + 0.35 * torch.cat([angle.cos(), angle.sin()], 1)
    noisy = x + 0.05 * torch.randn(x.shape, generator=generator)
    settings = {"latent_dim": 16, "hidden": 64, "noise": 0.2, "masked": 0.0, "steps": 500, "learning_rate": 4e-3}
    model = fitted(build_model(DenoisingAutoencoder, settings), table(x))
    restored = predict_batched(model, "reconstruct", noisy)
    # Squared distance from the circle.
    after, before = (float(((rows - 0.5).norm(dim=1) - 0.35).square().mean()) for rows in (restored, noisy))
    assert after < 0.35 * before
    # With as many latents as columns PCA copies its input.
    copied = predict_batched(fitted(PCA(latent_dim=2), table(x)), "reconstruct", noisy)
    torch.testing.assert_close(copied, noisy, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_kl_term_is_the_mean_of_its_samples_and_more_importance_samples_raise_the_bound():
    data = images()
    model = fitted(build_model(VAE, latent_dim=2, hidden=32, steps=300), data)
    torch.manual_seed(0)
    with inference(model):
        x = data.x[:20].repeat(2000, 1, 1, 1)
        _, log_ratio, rate = model._elbo_terms(x)
        torch.testing.assert_close(-log_ratio.view(2000, 20).mean(0), rate.view(2000, 20)[0], atol=0.1, rtol=0.05)
        losses = []
        for k in (1, 8, 64):
            model.n_importance_samples = k
            losses.append(float(np.mean([model._loss(data.x, data.y)["loss"] for _ in range(20)])))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.slow
def test_training_on_the_iwae_bound_gives_a_better_iwae_bound():
    data = images((1, 3, 3))
    bounds = {}
    for k in (1, 8):
        settings = {"latent_dim": 2, "hidden": 32, "dropout": 0.0, "n_importance_samples": k, "steps": 300, "batch": 64}
        model = fitted(build_model(VAE, settings), data)
        with inference(model):
            model.n_importance_samples = 8
            bounds[k] = -float(np.mean([model._loss(data.x, data.y)["loss"] for _ in range(20)]))
    assert bounds[8] > bounds[1]


@pytest.fixture(scope="module")
def conditional():
    """A model with one latent, its training data, and log p(x | y) of the first images by quadrature."""
    data = images()
    model = fitted(build_model(ConditionalVAE, latent_dim=1, hidden=32, components=2, steps=400, batch=64), data)
    x = data.x[:30]
    grid = torch.linspace(-12, 12, 4001)[:, None]
    exact = []
    with inference(model):
        for k in range(3):
            normal = torch.distributions.Normal(model.prior_mean[k, :, 0], model.prior_log_scale[k, :, 0].exp())
            prior = (model.mixture_logits[k].log_softmax(0) + normal.log_prob(grid)).logsumexp(1)
            decoded = model._decode(grid, torch.full((len(grid),), k))
            mixture = model.pixel_distribution
            log_mass = torch.stack([mixture.log_mass(image.expand(len(grid), 1, 2, 2), decoded) for image in x])
            exact.append((log_mass + prior).double().logsumexp(1) + math.log(24 / 4000))
    return model, data, torch.stack(exact, 1)


@pytest.mark.slow
def test_the_bound_of_a_class_is_a_lower_bound_of_the_quadrature_and_tight_with_many_latents(conditional):
    """On average over the noise, of which the model has one fixed pair; 32 latents stand in their place as well."""
    model, data, exact = conditional
    seed_everything(0)
    y = data.y[:30, None]
    expected = (exact + model.log_prior).gather(1, y)[:, 0]
    bounds = {}
    model = copy.deepcopy(model)
    for k in (2, 32):
        joint = []
        for _ in range(100):
            model.noise = torch.randn(k, 1, 1)
            joint.append(predict_batched(model, "log_joint_bound", data.x[:30]).gather(1, y)[:, 0])
        bounds[k] = torch.stack(joint).double()
    below = expected - bounds[32].mean(0)
    assert below.min() > -0.05 and below.mean() < 0.1
    assert (bounds[2].mean(0) < expected + 0.05).all() and bounds[2].mean() < bounds[32].mean()
    # The mean of the importance weights is p(x, y) itself.
    torch.testing.assert_close(bounds[32].logsumexp(0) - math.log(100), expected, atol=0.05, rtol=0)


def test_the_probabilities_of_the_conditional_vae_are_the_softmax_of_its_bound(conditional):
    model, data, _ = conditional
    seed_everything(0)
    joint = predict_batched(model, "log_joint_bound", data.x[:200], batch=70)
    seed_everything(1)
    assert torch.equal(predict_batched(model, "predict_proba", data.x[:200], batch=70), joint.softmax(1))
    assert torch.equal(predict_batched(model, "predict", data.x[:200], batch=70), joint.argmax(1))


def test_bayes_rule_over_the_bounds_is_close_to_the_exact_one(conditional):
    model, data, exact = conditional
    joint = exact + model.log_prior
    seed_everything(0)
    marginal = torch.stack([predict_batched(model, "log_prob_bound", data.x[:30]) for _ in range(50)]).double()
    below = joint.logsumexp(1) - marginal.mean(0)
    assert below.min() > -0.05 and below.mean() < 0.1
    torch.testing.assert_close(marginal.logsumexp(0) - math.log(50), joint.logsumexp(1), atol=0.05, rtol=0)
    posterior = predict_batched(model, "predict_proba", data.x[:30]).double()
    assert (posterior - joint.softmax(1)).abs().mean() < 0.05
