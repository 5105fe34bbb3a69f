"""The models that are Gaussian given the class, against scikit-learn, scipy and formulas written out."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.nets import gaussian as nets
from pofxy.storage.models import model_class
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
NAMES = ("linear_discriminant", "quadratic_discriminant", "gaussian_mixture", "probabilistic_pca")
SETTINGS = {
    "linear_discriminant": {"shrinkage": 0.1},
    "quadratic_discriminant": {"pooling": 0.2, "shrinkage": 0.05},
    "gaussian_mixture": {"n_components": 2, "images": 10.0, "shrinkage": 0.1},
    "probabilistic_pca": {"latent_dim": 2, "pooling": 0.1},
}
TABLE = DataSpec("table", (5,), 3, None, tuple("abc"))


def rows(n=300, seed=0):
    """A table of three classes of different covariance and prior, about within [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), n, replacement=True, generator=generator)
    y[:3] = torch.arange(3)
    mix = torch.randn(3, 5, 5, generator=generator) * 0.1
    x = 0.5 + 0.15 * torch.randn(3, 5, generator=generator)[y]
    return x + torch.einsum("nij,nj->ni", mix[y], torch.randn(n, 5, generator=generator)), y


def fitted(name, x, y, spec=TABLE, **settings):
    seed_everything(3)
    model = model_class("generative", name)(**settings)
    model.fit(TrainingData(spec, x, y, x, y), Trainer())
    return model


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return fitted(request.param, *rows(), **SETTINGS[request.param]).double()


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    spec = DataSpec("digits", (1, 8, 8), 10, 17, tuple("0123456789"))
    x = torch.from_numpy(images).float().view(-1, 1, 8, 8) / 16
    y = torch.from_numpy(y)
    return TrainingData(spec, x[:1000], y[:1000], x[1000:1200], y[1000:1200]), (x[1200:], y[1200:])


def components_of(model):
    """[(class, log p(y) w, mean, covariance)] in numpy."""
    factor = model.factor.expand(len(model.mean), -1, -1)
    weight = (model.log_mixture_weight + model.log_prior[:, None]).flatten()
    of_class = torch.arange(len(model.log_prior)).repeat_interleave(model.log_mixture_weight.shape[1])
    return [(int(k), float(w), m.numpy(), (f @ f.T).numpy()) for k, w, m, f in zip(of_class, weight, model.mean, factor)]


def scipy_log_joint(model, x, seen):
    log_joint = np.full((len(x), len(model.log_prior)), -np.inf)
    for k, weight, mean, covariance in components_of(model):
        gaussian = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)], allow_singular=False)
        log_joint[:, k] = np.logaddexp(log_joint[:, k], weight + gaussian.logpdf(x[:, seen]).reshape(len(x)))
    return log_joint


def test_linear_discriminant_equals_scikit_learns():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, y = rows()
    ours = fitted("linear_discriminant", x, y, shrinkage=0.2)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2, store_covariance=True).fit(x.double().numpy(), y.numpy())
    moments = nets.Moments(TrainingData(TABLE, x, y, x, y))
    np.testing.assert_allclose(nets.shrink_to_sphere(moments.within, 0.2)[0].numpy(), theirs.covariance_, rtol=1e-10, atol=1e-14)
    log_density = nets.log_density(x.double(), moments.mean, torch.linalg.cholesky(torch.tensor(theirs.covariance_)[None]))
    exact = (log_density + torch.tensor(theirs.priors_).log()).softmax(1)
    np.testing.assert_allclose(exact.numpy(), theirs.predict_proba(x.double().numpy()), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(x).numpy(), exact.numpy(), atol=1e-4)


def test_quadratic_discriminant_equals_scikit_learns():
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    x, y = rows()
    theirs = QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1, store_covariance=True)
    theirs.fit(x.double().numpy(), y.numpy())
    ours = fitted("quadratic_discriminant", x, y, pooling=0.0, shrinkage=0.1).double()
    covariance = (ours.factor @ ours.factor.mT).numpy()
    np.testing.assert_allclose(covariance, np.stack(theirs.covariance_), rtol=1e-4, atol=1e-6)
    log_density = nets.log_density(
        x.double(), torch.tensor(theirs.means_), torch.linalg.cholesky(torch.tensor(np.stack(theirs.covariance_)))
    )
    exact = log_density + torch.tensor(theirs.priors_).log()
    np.testing.assert_allclose(exact.softmax(1).numpy(), theirs.predict_proba(x.double().numpy()), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.log_joint(x.double()).numpy(), exact.numpy(), rtol=1e-5, atol=1e-5)


def test_the_density_of_a_mixture_equals_scikit_learns():
    from sklearn.mixture import GaussianMixture

    x, y = rows()
    model = fitted("gaussian_mixture", x, y, n_components=3, images=10.0, shrinkage=0.1).double()
    theirs = GaussianMixture(3)
    for k in range(3):
        factor = model.factor[3 * k : 3 * k + 3]
        theirs.weights_ = model.log_mixture_weight[k].exp().numpy()
        theirs.means_ = model.mean[3 * k : 3 * k + 3].numpy()
        theirs.precisions_cholesky_ = factor.inverse().mT.numpy()
        log_likelihood = model.log_joint(x.double())[:, k] - model.log_prior[k]
        np.testing.assert_allclose(log_likelihood.numpy(), theirs.score_samples(x.double().numpy()), rtol=1e-6, atol=1e-9)


def test_em_without_a_prior_reaches_scikit_learns_likelihood():
    from sklearn.mixture import GaussianMixture

    from pofxy.models.generative.gaussian_mixture import expectation_maximization

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 3, generator=generator).double()
    x[:200, 0] += 6
    x[200:300, 1] -= 6
    torch.manual_seed(1)
    weight, mean, covariance, _ = expectation_maximization(x, 3, 1e-9, torch.eye(3).double(), 0.0, min_gain=1e-7)
    likelihood = (weight.log() + nets.log_density(x, mean, torch.linalg.cholesky(covariance))).logsumexp(1).mean()
    theirs = GaussianMixture(3, reg_covar=0.0, n_init=3, random_state=0, tol=1e-6).fit(x.numpy())
    assert float(likelihood) == pytest.approx(theirs.score(x.numpy()), abs=2e-3)


@pytest.mark.parametrize(("images", "bin_variance"), [(1e-6, 0.0), (20.0, 0.0), (20.0, 0.01)])
def test_em_never_lowers_the_log_posterior(images, bin_variance):
    from pofxy.models.generative.gaussian_mixture import MAX_ITERATIONS, expectation_maximization

    x = rows()[0].double()
    for seed in range(3):
        torch.manual_seed(seed)
        target = 0.02 * torch.eye(5).double()
        log_posterior = expectation_maximization(x, 4, images, target, bin_variance, min_gain=-1.0)[3]
        assert len(log_posterior) == MAX_ITERATIONS
        assert (log_posterior.diff() > -1e-8).all() and log_posterior[-1] > log_posterior[0] + 1


def test_joint_and_marginals_equal_scipys(model):
    x = rows(40, seed=9)[0].double()
    np.testing.assert_allclose(model.log_joint(x).numpy(), scipy_log_joint(model, x.numpy(), np.arange(5)), rtol=1e-6, atol=1e-8)
    for seen in ([0], [1, 3], [0, 2, 3, 4], [0, 1, 2, 3, 4]):
        known = torch.zeros(40, 5, dtype=torch.bool)
        known[:, seen] = True
        marginal = model.log_joint_known(torch.where(known, x, math.nan), known)
        np.testing.assert_allclose(marginal.numpy(), scipy_log_joint(model, x.numpy(), np.array(seen)), rtol=1e-6, atol=1e-8)


def test_each_row_may_have_other_known_pixels(model):
    x = rows(60, seed=9)[0].double()
    known = torch.rand(60, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    known[0] = False
    marginal = model.log_joint_known(x, known)
    filled = model.inpaint(x, known)
    for i in range(1, 60):
        seen = known[i].nonzero()[:, 0].numpy()
        if len(seen):
            expected = scipy_log_joint(model, x[i : i + 1].numpy(), seen)
            np.testing.assert_allclose(marginal[i : i + 1].numpy(), expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(filled[i : i + 1], model.inpaint(x[i : i + 1], known[i : i + 1]))
    torch.testing.assert_close(marginal[0], model.log_prior)
    prior_mean = sum(np.exp(weight) * mean for _, weight, mean, _ in components_of(model))
    np.testing.assert_allclose(filled[0].numpy(), prior_mean.clip(0, 1), atol=1e-9)


def test_inpainting_gives_the_conditional_mean(model):
    """By the precision matrix, mu_u - P_uu^-1 P_uo (x_o - mu_o), which is not the formula that the model uses."""
    x = rows(40, seed=9)[0].double()
    seen = [0, 2, 4]
    unseen = [1, 3]
    known = torch.zeros(40, 5)
    known[:, seen] = 1
    posterior = []
    means = []
    for _, weight, mean, covariance in components_of(model):
        gaussian = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
        posterior.append(weight + gaussian.logpdf(x.numpy()[:, seen]))
        precision = np.linalg.inv(covariance)
        slope = np.linalg.solve(precision[np.ix_(unseen, unseen)], precision[np.ix_(unseen, seen)])
        means.append(mean[unseen] - (x.numpy()[:, seen] - mean[seen]) @ slope.T)
    posterior = torch.tensor(np.stack(posterior)).softmax(0)
    expected = (posterior[..., None] * torch.tensor(np.stack(means))).sum(0).clamp(0, 1)
    filled = model.inpaint(x * known, known)
    torch.testing.assert_close(filled[:, unseen], expected, atol=1e-9, rtol=1e-6)
    assert torch.equal(filled[:, seen], x[:, seen])


def test_samples_have_the_moments_of_the_distribution(model):
    seed_everything(0)
    for k in range(3):
        x = model.sample_unclipped(torch.full((40_000,), k))
        parts = [
            (np.exp(weight - float(model.log_prior[k])), mean, cov) for j, weight, mean, cov in components_of(model) if j == k
        ]
        mean = sum(weight * mu for weight, mu, _ in parts)
        covariance = sum(weight * (cov + np.outer(mu - mean, mu - mean)) for weight, mu, cov in parts)
        scale = np.sqrt(np.diag(covariance))
        assert (np.abs(x.mean(0).numpy() - mean) < 5 * scale / 200).all()
        assert (np.abs(torch.cov(x.T).numpy() - covariance) < 8 * np.outer(scale, scale) / 200).all()


def test_mean_log_density_of_samples_is_minus_the_entropy():
    model = fitted("linear_discriminant", *rows(), shrinkage=0.1).double()
    seed_everything(0)
    x = model.sample_unclipped(torch.zeros(50_000, dtype=torch.long))
    gaussian = multivariate_normal(model.mean[0].numpy(), (model.factor[0] @ model.factor[0].T).numpy())
    log_density = (model.log_joint(x)[:, 0] - model.log_prior[0]).mean()
    assert float(log_density) == pytest.approx(-gaussian.entropy(), abs=5 * math.sqrt(5 / 2 / 50_000))


def test_the_subspace_without_labels_equals_scikit_learns_pca():
    from sklearn.decomposition import PCA

    from pofxy.models.generative.probabilistic_pca import principal_subspace

    x, y = rows()
    for latent_dim in (1, 2, 4):
        center, weight, noise = principal_subspace(nets.Moments(TrainingData(TABLE, x, y, x, y)), latent_dim)
        theirs = PCA(latent_dim, svd_solver="full").fit(x.double().numpy())
        ours = (weight @ weight.T + noise * torch.eye(5)).numpy()
        # scikit-learn divides by n - 1, maximum likelihood by n.
        np.testing.assert_allclose(ours, theirs.get_covariance() * (len(x) - 1) / len(x), rtol=1e-5, atol=1e-6)
        factor = torch.linalg.cholesky(torch.tensor(theirs.get_covariance())[None])
        log_density = nets.log_density(x.double(), center[None], factor)
        assert float(log_density.mean()) == pytest.approx(theirs.score(x.double().numpy()), abs=1e-6)


def test_latents_and_pixels_of_pca_have_one_joint_distribution():
    x, y = rows()
    model = fitted("probabilistic_pca", x, y, latent_dim=3, pooling=0.1).double()
    x = x[:20].double()
    eye = torch.eye(5).double()
    latents = 0
    for k, posterior in enumerate(model.predict_proba(x).T):
        mean = model.center + model.weight @ model.latent_mean[k]
        cross_covariance = model.weight @ model.latent_covariance[k]  # of pixels and latents
        covariance = cross_covariance @ model.weight.T + model.noise * eye
        torch.testing.assert_close(model.mean[k], mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.factor[k] @ model.factor[k].T, covariance, rtol=1e-4, atol=1e-6)
        # E[z | x, y] = m + S W^T (W S W^T + s^2 I)^-1 (x - mu - W m), over pixels
        of_class = model.latent_mean[k] + (x - mean) @ torch.linalg.solve(covariance, cross_covariance)
        latents = latents + posterior[:, None] * of_class
    torch.testing.assert_close(model.encode(x), latents, rtol=1e-6, atol=1e-8)
    expected = (model.center + latents @ model.weight.T).clamp(0, 1)
    torch.testing.assert_close(model.reconstruct(x), expected, rtol=1e-6, atol=1e-8)


def test_pca_has_fewer_latents_than_pixels():
    x, y = rows()
    spec = DataSpec("points", (2,), 3, None, tuple("abc"))
    model = fitted("probabilistic_pca", x[:, :2], y, spec)
    assert predict_batched(model, "encode", x[:, :2]).shape == (300, 1)


@pytest.mark.parametrize("name", NAMES)
def test_float32_agrees_with_float64(name, digits):
    data, (x, _) = digits
    seed_everything(0)
    model = model_class("generative", name)()
    model.fit(data, Trainer())
    log_prob = predict_batched(model, "log_prob", x)
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    of_some = predict_batched(model, "log_joint_known", x[:20], known[:20])
    of_all = predict_batched(model, "log_joint_known", x[:20], known[:20] | True)
    torch.testing.assert_close(of_all, predict_batched(model, "log_joint", x[:20]), rtol=1e-4, atol=1e-2)
    model.double()
    torch.testing.assert_close(log_prob.double(), predict_batched(model, "log_prob", x.double()), rtol=1e-4, atol=1e-3)
    expected = predict_batched(model, "log_joint_known", x[:20].double(), known[:20])
    torch.testing.assert_close(of_some.double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("name", "accuracy"), [*zip(NAMES, (0.89, 0.92, 0.92, 0.92), strict=True)])
def test_models_with_selected_hyperparameters_classify_digits(name, accuracy, digits):
    data, (x, y) = digits
    model = fitted_with_defaults(name, data)
    assert (predict_batched(model, "predict", x) == y).float().mean() > accuracy


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_few_images_of_each_class_are_far_better_than_chance(name, images, digits):
    data, (x, y) = digits
    index = torch.cat([torch.nonzero(data.y == k)[:images, 0] for k in range(10)])
    few = TrainingData(data.spec, *[data.x[index], data.y[index]] * 2)
    model = fitted_with_defaults(name, few)
    joint = predict_batched(model, "log_joint", x)
    assert joint.isfinite().all() and (joint.argmax(1) == y).float().mean() > 0.45


@pytest.mark.parametrize("name", NAMES)
def test_data_without_variance_have_finite_densities(name):
    x = torch.full((6, 5), 0.3)
    y = torch.arange(6) % 3
    model = fitted_with_defaults(name, TrainingData(TABLE, x, y, x, y))
    assert predict_batched(model, "log_joint", rows(10)[0]).isfinite().all() and sample_batched(model, 5).isfinite().all()


def fitted_with_defaults(name, data):
    seed_everything(0)
    model = model_class("generative", name)()
    model.fit(data, Trainer())
    return model
