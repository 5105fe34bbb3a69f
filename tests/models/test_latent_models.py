"""Models with a code: each held against enumeration, quadrature or scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pofxy.base.data import DataSpec, TrainingData
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
    """Noisy images, each class brighter by as much again."""
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
def test_the_bins_of_a_pixel_are_those_of_scipys_logistic_laws_and_sum_to_one(levels):
    torch.manual_seed(0)
    law, pixels = DiscretizedLogisticMixture(levels, components=2), 4
    parameters = 2 * torch.randn(1, law.size * pixels)
    grid = torch.arange(levels) / (levels - 1)
    # One pixel takes every level, the others stay at 0: what they add is the same for all.
    x = torch.zeros(levels, pixels)
    x[:, 2] = grid
    log_mass = law.log_mass(x, parameters.expand(levels, -1)).double()
    log_weight, centre, log_scale = parameters.double().view(3, 2, pixels)[..., 2].numpy()
    weight, scale = np.exp(log_weight) / np.exp(log_weight).sum(), np.exp(np.clip(log_scale - 2, -7, 7))
    edges = np.concatenate([[-np.inf], (np.arange(levels - 1) + 0.5) / (levels - 1), [np.inf]])
    mass = weight @ np.diff(stats.logistic.cdf(edges, (centre + np.array([0.25, 0.75]))[:, None], scale[:, None]), axis=1)
    np.testing.assert_allclose(log_mass.softmax(0).numpy(), mass, atol=1e-5)
    others = law.log_mass(torch.zeros(1, pixels), parameters).double() - log_mass[0]
    assert float(log_mass.logsumexp(0) + others) == pytest.approx(float(log_mass[0] - math.log(mass[0])), abs=1e-3)


def test_draws_of_a_law_come_as_often_as_their_mass_and_their_mean_is_the_mean():
    torch.manual_seed(1)
    law, n = DiscretizedLogisticMixture(5), 20_000
    parameters = torch.randn(1, law.size)
    expected = law.log_mass(torch.arange(5.0)[:, None] / 4, parameters.expand(5, -1)).double().exp()
    drawn = law.sample(parameters.expand(n, -1))
    counts = torch.bincount((drawn[:, 0] * 4).round().long(), minlength=5)
    assert stats.chisquare(counts.numpy(), (n * expected / expected.sum()).numpy()).pvalue > 1e-3
    # Before the cut into levels; the cut moves the mean of a wide law by little.
    assert float(law.mean(parameters)) == pytest.approx(float(drawn.mean()), abs=0.02)


def test_what_a_law_holds_for_all_but_impossible_still_has_a_finite_gradient():
    law = DiscretizedLogisticMixture(256)
    parameters = torch.tensor([[0.0] * 3 + [-40.0, 40, 90] + [-20.0, -20, 20]]).requires_grad_()
    log_mass = law.log_mass(torch.tensor([[0.5]]), parameters)
    log_mass.sum().backward()
    assert log_mass.isfinite().all() and parameters.grad.isfinite().all() and parameters.grad.abs().sum() > 0


def test_principal_components_are_scikit_learns():
    from sklearn.decomposition import PCA as Theirs

    x = torch.rand(400, 12, generator=torch.Generator().manual_seed(0)) @ torch.rand(12, 12).tril()
    x = x / x.max()
    ours, theirs = fitted(PCA(latent_dim=5), table(x)), Theirs(5, whiten=True).fit(x.double().numpy())
    codes, expected = ours.encode(x), theirs.transform(x.double().numpy()) * math.sqrt(400 / 399)  # it divides by N - 1
    np.testing.assert_allclose(codes.abs().numpy(), np.abs(expected), atol=1e-3)
    restored = theirs.inverse_transform(theirs.transform(x.double().numpy()))
    np.testing.assert_allclose(ours.reconstruct(x).numpy(), restored.clip(0, 1), atol=1e-4)
    torch.testing.assert_close(codes.T @ codes / 400, torch.eye(5), atol=1e-3, rtol=0)


def test_directions_in_which_nothing_varies_have_the_code_zero():
    x = torch.rand(400, 6, generator=torch.Generator().manual_seed(0))
    x[:, 1], x[:, 4] = 0.5, x[:, 0]
    model = fitted(PCA(latent_dim=6), table(x))
    assert (model.encode(torch.rand(10, 6))[:, 4:] == 0).all()
    torch.testing.assert_close(model.reconstruct(x), x, atol=1e-5, rtol=0)
    few = fitted(PCA(latent_dim=6), table(x[:3]))
    torch.testing.assert_close(few.reconstruct(x[:3]), x[:3], atol=1e-5, rtol=0)
    assert few.decode(torch.randn(5, 6)).isfinite().all()


def test_a_curve_takes_one_number_of_an_autoencoder_and_more_of_a_linear_one():
    turn = torch.rand(600, 1, generator=torch.Generator().manual_seed(0)) * 4
    x = 0.5 + 0.4 * torch.cat([turn.cos(), turn.sin(), (turn / 2).cos()], 1)
    curved = fitted(Autoencoder(latent_dim=1, hidden=64, steps=800, learning_rate=4e-3), table(x))
    straight = fitted(PCA(latent_dim=1), table(x))
    errors = [float((predict_batched(model, "reconstruct", x) - x).square().sum(1).mean()) for model in (curved, straight)]
    assert errors[0] < 0.1 * errors[1]


def test_a_denoising_autoencoder_pulls_noise_to_the_data_where_components_copy_it():
    generator = torch.Generator().manual_seed(0)
    turn = 2 * math.pi * torch.rand(600, 1, generator=generator)
    x = 0.5 + 0.35 * torch.cat([turn.cos(), turn.sin()], 1)
    noisy = x + 0.05 * torch.randn(x.shape, generator=generator)
    model = fitted(DenoisingAutoencoder(latent_dim=16, hidden=64, noise=0.2, masked=0.0, steps=500, learning_rate=4e-3), table(x))
    restored = predict_batched(model, "reconstruct", noisy)
    off, spoilt = (float(((rows - 0.5).norm(dim=1) - 0.35).square().mean()) for rows in (restored, noisy))
    assert off < 0.35 * spoilt
    # A code of as many numbers as there are copies whatever it is given.
    copied = predict_batched(fitted(PCA(latent_dim=2), table(x)), "reconstruct", noisy)
    torch.testing.assert_close(copied, noisy, atol=1e-5, rtol=0)


def test_the_kl_term_is_the_mean_of_what_is_drawn_and_more_draws_raise_the_bound():
    data = images()
    model = fitted(VAE(latent_dim=2, hidden=32, steps=300), data)
    torch.manual_seed(0)
    with inference(model):
        x = data.x[:20].repeat(2000, 1, 1, 1)
        _, log_ratio, rate = model._drawn(x)
        torch.testing.assert_close(-log_ratio.view(2000, 20).mean(0), rate.view(2000, 20)[0], atol=0.1, rtol=0.05)
        losses = []
        for draws in (1, 8, 64):
            model.draws = draws
            losses.append(float(np.mean([model._loss(data.x, data.y)["loss"] for _ in range(20)])))
    assert losses[0] > losses[1] > losses[2]


def test_training_on_several_draws_gives_the_better_bound_of_as_many():
    data, bounds = images((1, 3, 3)), {}
    for draws in (1, 8):
        model = fitted(VAE(latent_dim=2, hidden=32, dropout=0.0, n_importance_samples=draws, steps=300, batch=64), data)
        with inference(model):
            model.draws = 8
            bounds[draws] = -float(np.mean([model._loss(data.x, data.y)["loss"] for _ in range(20)]))
    assert bounds[8] > bounds[1]


@pytest.fixture(scope="module")
def conditional():
    """A model with a code of one number, what it was fitted to, and log p(x | y) of its first images by quadrature."""
    data = images()
    model = fitted(ConditionalVAE(latent_dim=1, hidden=32, components=2, steps=400, batch=64), data)
    x, grid = data.x[:30], torch.linspace(-12, 12, 4001)[:, None]
    exact = []
    with inference(model):
        for k in range(3):
            normal = torch.distributions.Normal(model.mean[k, :, 0], model.log_scale[k, :, 0].exp())
            prior = (model.share[k].log_softmax(0) + normal.log_prob(grid)).logsumexp(1)
            law = model._decoded(grid, torch.full((len(grid),), k))
            log_mass = torch.stack([model.law.log_mass(image.expand(len(grid), 1, 2, 2), law) for image in x])
            exact.append((log_mass + prior).double().logsumexp(1) + math.log(24 / 4000))
    return model, data, torch.stack(exact, 1)


def test_the_bound_of_a_class_is_what_quadrature_gives_from_below(conditional):
    model, data, exact = conditional
    seed_everything(0)
    y = data.y[:30]
    of_class = exact.gather(1, y[:, None])[:, 0]
    found = torch.stack([predict_batched(model, "log_conditional_bound", data.x[:30], y) for _ in range(50)]).double()
    below = of_class - found.mean(0)
    assert below.min() > -0.05 and below.mean() < 0.1
    # The mean weight is p(x | y) itself.
    torch.testing.assert_close(found.logsumexp(0) - math.log(50), of_class, atol=0.05, rtol=0)


def test_bayes_rule_over_the_bounds_is_the_one_over_what_they_bound(conditional):
    model, data, exact = conditional
    joint = exact + model.log_prior
    seed_everything(0)
    marginal = torch.stack([predict_batched(model, "log_prob_bound", data.x[:30]) for _ in range(50)]).double()
    below = joint.logsumexp(1) - marginal.mean(0)
    assert below.min() > -0.05 and below.mean() < 0.1
    torch.testing.assert_close(marginal.logsumexp(0) - math.log(50), joint.logsumexp(1), atol=0.05, rtol=0)
    posterior = predict_batched(model, "predict_proba", data.x[:30]).double()
    assert (posterior - joint.softmax(1)).abs().mean() < 0.05
