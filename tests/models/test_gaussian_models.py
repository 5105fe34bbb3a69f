"""The models that are Gaussian given the class, against scikit-learn, scipy and formulas written out."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.nets import gaussian
from pofxy.storage.models import model_class
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
NAMES = ("linear_discriminant", "quadratic_discriminant", "gaussian_mixture", "probabilistic_pca")
SETTINGS = {
    "linear_discriminant": {"shrinkage": 0.1},
    "quadratic_discriminant": {"pooling": 0.2, "shrinkage": 0.05},
    "gaussian_mixture": {"components": 2, "images": 10.0, "shrinkage": 0.1},
    "probabilistic_pca": {"codes": 2, "pooling": 0.1},
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
    x, y = torch.from_numpy(images).float().view(-1, 1, 8, 8) / 16, torch.from_numpy(y)
    return TrainingData(spec, x[:1000], y[:1000], x[1000:1200], y[1000:1200]), (x[1200:], y[1200:])


def components_of(model):
    """[(class, log p(y) w, mean, covariance)] in numpy."""
    factor = model.factor.expand(len(model.mean), -1, -1)
    weight = (model.log_share + model.log_prior[:, None]).flatten()
    of_class = torch.arange(len(model.log_prior)).repeat_interleave(model.log_share.shape[1])
    return [(int(k), float(w), m.numpy(), (f @ f.T).numpy()) for k, w, m, f in zip(of_class, weight, model.mean, factor)]


def scipy_log_joint(model, x, seen):
    found = np.full((len(x), len(model.log_prior)), -np.inf)
    for k, weight, mean, covariance in components_of(model):
        law = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)], allow_singular=False)
        found[:, k] = np.logaddexp(found[:, k], weight + law.logpdf(x[:, seen]).reshape(len(x)))
    return found


def test_linear_discriminant_is_scikit_learns():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, y = rows()
    ours = fitted("linear_discriminant", x, y, shrinkage=0.2)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2, store_covariance=True).fit(x.double().numpy(), y.numpy())
    moments = gaussian.Moments(TrainingData(TABLE, x, y, x, y))
    np.testing.assert_allclose(gaussian.shrunk(moments.within, 0.2)[0].numpy(), theirs.covariance_, rtol=1e-10, atol=1e-14)
    log_density = gaussian.log_density(x.double(), moments.mean, torch.linalg.cholesky(torch.tensor(theirs.covariance_)[None]))
    exact = (log_density + torch.tensor(theirs.priors_).log()).softmax(1)
    np.testing.assert_allclose(exact.numpy(), theirs.predict_proba(x.double().numpy()), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(x).numpy(), exact.numpy(), atol=1e-4)


def test_quadratic_discriminant_is_scikit_learns():
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    x, y = rows()
    theirs = QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1, store_covariance=True)
    theirs.fit(x.double().numpy(), y.numpy())
    ours = fitted("quadratic_discriminant", x, y, pooling=0.0, shrinkage=0.1).double()
    covariance = (ours.factor @ ours.factor.mT).numpy()
    np.testing.assert_allclose(covariance, np.stack(theirs.covariance_), rtol=1e-4, atol=1e-6)
    log_density = gaussian.log_density(
        x.double(), torch.tensor(theirs.means_), torch.linalg.cholesky(torch.tensor(np.stack(theirs.covariance_)))
    )
    exact = log_density + torch.tensor(theirs.priors_).log()
    np.testing.assert_allclose(exact.softmax(1).numpy(), theirs.predict_proba(x.double().numpy()), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.log_joint(x.double()).numpy(), exact.numpy(), rtol=1e-5, atol=1e-5)


def test_a_mixture_of_given_parameters_is_scikit_learns():
    from sklearn.mixture import GaussianMixture

    x, y = rows()
    model = fitted("gaussian_mixture", x, y, n_components=3, images=10.0, shrinkage=0.1).double()
    theirs = GaussianMixture(3)
    for k in range(3):
        factor = model.factor[3 * k : 3 * k + 3]
        theirs.weights_, theirs.means_ = model.log_share[k].exp().numpy(), model.mean[3 * k : 3 * k + 3].numpy()
        theirs.precisions_cholesky_ = factor.inverse().mT.numpy()
        found = model.log_joint(x.double())[:, k] - model.log_prior[k]
        np.testing.assert_allclose(found.numpy(), theirs.score_samples(x.double().numpy()), rtol=1e-6, atol=1e-9)


def test_em_without_a_prior_comes_to_scikit_learns_likelihood():
    from sklearn.mixture import GaussianMixture

    from pofxy.models.generative.gaussian_mixture import expectation_maximisation

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 3, generator=generator).double()
    x[:200, 0] += 6
    x[200:300, 1] -= 6
    torch.manual_seed(1)
    share, mean, covariance, _ = expectation_maximisation(x, 3, 1e-9, torch.eye(3).double(), 0.0, least_gain=1e-7)
    found = (share.log() + gaussian.log_density(x, mean, torch.linalg.cholesky(covariance))).logsumexp(1).mean()
    theirs = GaussianMixture(3, reg_covar=0.0, n_init=3, random_state=0, tol=1e-6).fit(x.numpy())
    assert float(found) == pytest.approx(theirs.score(x.numpy()), abs=2e-3)


@pytest.mark.parametrize(("images", "bins"), [(1e-6, 0.0), (20.0, 0.0), (20.0, 0.01)])
def test_em_never_lowers_what_it_raises(images, bins):
    from pofxy.models.generative.gaussian_mixture import MOST_ROUNDS, expectation_maximisation

    x = rows()[0].double()
    for seed in range(3):
        torch.manual_seed(seed)
        found = expectation_maximisation(x, 4, images, 0.02 * torch.eye(5).double(), bins, least_gain=-1.0)[3]
        assert len(found) == MOST_ROUNDS and (found.diff() > -1e-8).all() and found[-1] > found[0] + 1


def test_joint_and_marginals_are_scipys(model):
    x = rows(40, seed=9)[0].double()
    np.testing.assert_allclose(model.log_joint(x).numpy(), scipy_log_joint(model, x.numpy(), np.arange(5)), rtol=1e-6, atol=1e-8)
    for seen in ([0], [1, 3], [0, 2, 3, 4], [0, 1, 2, 3, 4]):
        known = torch.zeros(40, 5, dtype=torch.bool)
        known[:, seen] = True
        found = model.log_joint_known(torch.where(known, x, math.nan), known)
        np.testing.assert_allclose(found.numpy(), scipy_log_joint(model, x.numpy(), np.array(seen)), rtol=1e-6, atol=1e-8)


def test_each_row_may_know_other_pixels(model):
    x = rows(60, seed=9)[0].double()
    known = torch.rand(60, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    known[0] = False
    found = model.log_joint_known(x, known)
    filled = model.inpaint(x, known)
    for i in range(1, 60):
        seen = known[i].nonzero()[:, 0].numpy()
        if len(seen):
            expected = scipy_log_joint(model, x[i : i + 1].numpy(), seen)
            np.testing.assert_allclose(found[i : i + 1].numpy(), expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(filled[i : i + 1], model.inpaint(x[i : i + 1], known[i : i + 1]))
    torch.testing.assert_close(found[0], model.log_prior)
    prior_mean = sum(np.exp(weight) * mean for _, weight, mean, _ in components_of(model))
    np.testing.assert_allclose(filled[0].numpy(), prior_mean.clip(0, 1), atol=1e-9)


def test_filled_in_is_the_conditional_mean(model):
    """By the precision matrix: mu_u - P_uu^-1 P_uo (x_o - mu_o), another road than the model's."""
    x = rows(40, seed=9)[0].double()
    seen, unseen = [0, 2, 4], [1, 3]
    known = torch.zeros(40, 5)
    known[:, seen] = 1
    posterior, means = [], []
    for _, weight, mean, covariance in components_of(model):
        law = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
        posterior.append(weight + law.logpdf(x.numpy()[:, seen]))
        precision = np.linalg.inv(covariance)
        slope = np.linalg.solve(precision[np.ix_(unseen, unseen)], precision[np.ix_(unseen, seen)])
        means.append(mean[unseen] - (x.numpy()[:, seen] - mean[seen]) @ slope.T)
    posterior = torch.tensor(np.stack(posterior)).softmax(0)
    expected = (posterior[..., None] * torch.tensor(np.stack(means))).sum(0).clamp(0, 1)
    found = model.inpaint(x * known, known)
    torch.testing.assert_close(found[:, unseen], expected, atol=1e-9, rtol=1e-6)
    assert torch.equal(found[:, seen], x[:, seen])


def test_samples_have_the_moments_of_the_law(model):
    seed_everything(0)
    for k in range(3):
        x = model.unclipped(torch.full((40_000,), k))
        parts = [
            (np.exp(weight - float(model.log_prior[k])), mean, cov) for j, weight, mean, cov in components_of(model) if j == k
        ]
        mean = sum(share * mu for share, mu, _ in parts)
        covariance = sum(share * (cov + np.outer(mu - mean, mu - mean)) for share, mu, cov in parts)
        scale = np.sqrt(np.diag(covariance))
        assert (np.abs(x.mean(0).numpy() - mean) < 5 * scale / 200).all()
        assert (np.abs(torch.cov(x.T).numpy() - covariance) < 8 * np.outer(scale, scale) / 200).all()


def test_mean_log_density_of_own_samples_is_minus_the_entropy():
    model = fitted("linear_discriminant", *rows(), shrinkage=0.1).double()
    seed_everything(0)
    x = model.unclipped(torch.zeros(50_000, dtype=torch.long))
    law = multivariate_normal(model.mean[0].numpy(), (model.factor[0] @ model.factor[0].T).numpy())
    found = (model.log_joint(x)[:, 0] - model.log_prior[0]).mean()
    assert float(found) == pytest.approx(-law.entropy(), abs=5 * math.sqrt(5 / 2 / 50_000))


def test_forgetting_the_labels_pca_is_the_papers():
    from sklearn.decomposition import PCA

    from pofxy.models.generative.probabilistic_pca import principal_plane

    x, y = rows()
    for codes in (1, 2, 4):
        centre, weight, noise = principal_plane(gaussian.Moments(TrainingData(TABLE, x, y, x, y)), codes)
        theirs = PCA(codes, svd_solver="full").fit(x.double().numpy())
        ours = (weight @ weight.T + noise * torch.eye(5)).numpy()
        # It divides by n - 1, maximum likelihood by n.
        np.testing.assert_allclose(ours, theirs.get_covariance() * (len(x) - 1) / len(x), rtol=1e-5, atol=1e-6)
        found = gaussian.log_density(x.double(), centre[None], torch.linalg.cholesky(torch.tensor(theirs.get_covariance())[None]))
        assert float(found.mean()) == pytest.approx(theirs.score(x.double().numpy()), abs=1e-6)


def test_codes_and_pixels_of_pca_are_one_law():
    x, y = rows()
    model = fitted("probabilistic_pca", x, y, latent_dim=3, pooling=0.1).double()
    x, eye = x[:20].double(), torch.eye(5).double()
    codes = 0
    for k, posterior in enumerate(model.predict_proba(x).T):
        mean, spread = model.centre + model.weight @ model.code_mean[k], model.weight @ model.code_covariance[k]
        covariance = spread @ model.weight.T + model.noise * eye
        torch.testing.assert_close(model.mean[k], mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.factor[k] @ model.factor[k].T, covariance, rtol=1e-4, atol=1e-6)
        # E[z | x, y] = m + S W^T (W S W^T + s^2 I)^-1 (x - mu - W m), over pixels
        code = model.code_mean[k] + (x - mean) @ torch.linalg.solve(covariance, spread)
        codes = codes + posterior[:, None] * code
    torch.testing.assert_close(model.encode(x), codes, rtol=1e-6, atol=1e-8)
    expected = (model.centre + codes @ model.weight.T).clamp(0, 1)
    torch.testing.assert_close(model.reconstruct(x), expected, rtol=1e-6, atol=1e-8)


def test_pca_takes_no_more_codes_than_pixels_but_one():
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
    found, known = predict_batched(model, "log_prob", x), torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    some = (
        predict_batched(model, "log_joint_known", x[:20], known[:20]),
        predict_batched(model, "log_joint_known", x[:20], known[:20] | True),
    )
    torch.testing.assert_close(some[1], predict_batched(model, "log_joint", x[:20]), rtol=1e-4, atol=1e-2)
    model.double()
    torch.testing.assert_close(found.double(), predict_batched(model, "log_prob", x.double()), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        some[0].double(), predict_batched(model, "log_joint_known", x[:20].double(), known[:20]), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(("name", "accuracy"), [*zip(NAMES, (0.89, 0.92, 0.92, 0.92), strict=True)])
def test_settings_are_chosen_and_read_the_digits(name, accuracy, digits):
    data, (x, y) = digits
    model = fitted_as_is(name, data)
    assert (predict_batched(model, "predict", x) == y).float().mean() > accuracy


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_few_images_of_each_class_beat_chance_well(name, images, digits):
    data, (x, y) = digits
    index = torch.cat([torch.nonzero(data.y == k)[:images, 0] for k in range(10)])
    few = TrainingData(data.spec, *[data.x[index], data.y[index]] * 2)
    model = fitted_as_is(name, few)
    joint = predict_batched(model, "log_joint", x)
    assert joint.isfinite().all() and (joint.argmax(1) == y).float().mean() > 0.45


@pytest.mark.parametrize("name", NAMES)
def test_data_without_variance_have_finite_densities(name):
    x, y = torch.full((6, 5), 0.3), torch.arange(6) % 3
    model = fitted_as_is(name, TrainingData(TABLE, x, y, x, y))
    assert predict_batched(model, "log_joint", rows(10)[0]).isfinite().all() and sample_batched(model, 5).isfinite().all()


def fitted_as_is(name, data):
    seed_everything(0)
    model = model_class("generative", name)()
    model.fit(data, Trainer())
    return model
