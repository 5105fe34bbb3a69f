"""Discrete naive Bayes, kernel densities and hidden Markov models, against scikit-learn, hmmlearn, quadrature and enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pofxy.base.data import DataSpec, TrainingData, dequantize
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.bernoulli_naive_bayes import BernoulliNaiveBayes
from pofxy.models.generative.categorical_naive_bayes import CategoricalNaiveBayes
from pofxy.models.generative.hidden_markov_model import HiddenMarkovModel
from pofxy.models.generative.kernel_density import KernelDensity
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
ALL = [BernoulliNaiveBayes, CategoricalNaiveBayes, KernelDensity, HiddenMarkovModel]


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = torch.from_numpy(x).float().view(-1, 1, 8, 8) / 16
    y = torch.from_numpy(y).long()
    spec = DataSpec("digits", (1, 8, 8), 10, 17, tuple("0123456789"))
    return TrainingData(spec, x[:900], y[:900], x[900:1200], y[900:1200])


def images(shape, levels, n=120, classes=3, shares=None, seed=0):
    """Random images of classes that differ, at least one per class; the pixels of an image are correlated. Val is train."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.cat([torch.arange(classes), torch.multinomial(torch.tensor(shares or [1.0] * classes), n - classes, True)])
    x = torch.rand(n, *shape, generator=generator) * 0.6 + 0.2 * torch.rand(n, 1, 1, 1, generator=generator)
    x = (x + 0.2 * (y / (classes - 1))[:, None, None, None] * torch.linspace(0, 1, shape[2])).clamp(0, 1)
    x = (x * (levels - 1)).round() / (levels - 1)
    return TrainingData(DataSpec("made", shape, classes, levels, tuple("abcdef"[:classes])), x, y, x, y)


def fitted(model, data):
    seed_everything(0)
    model.fit(data, Trainer())
    return model


def every_image(shape, levels):
    """All levels^D images, (levels^D, C, H, W)."""
    values = torch.arange(levels) / (levels - 1)
    return torch.cartesian_prod(*[values] * math.prod(shape)).view(-1, *shape)


def test_bernoulli_naive_bayes_equals_scikit_learns(digits):
    from sklearn.naive_bayes import BernoulliNB

    theirs = BernoulliNB(alpha=0.7, binarize=None).fit((digits.x >= 0.5).flatten(1).numpy(), digits.y.numpy())
    expected = torch.from_numpy(theirs._joint_log_likelihood((digits.x_val >= 0.5).flatten(1).numpy().astype(float)))
    log_joint = predict_batched(fitted(BernoulliNaiveBayes(0.7), digits), "log_joint", digits.x_val)
    torch.testing.assert_close(log_joint.double(), expected, rtol=1e-6, atol=0)


def test_categorical_naive_bayes_equals_scikit_learns(digits):
    from sklearn.naive_bayes import CategoricalNB

    train, val = ((x * 16).round().long().flatten(1).numpy() for x in (digits.x, digits.x_val))
    theirs = CategoricalNB(alpha=0.3, min_categories=17).fit(train, digits.y.numpy())
    log_joint = predict_batched(fitted(CategoricalNaiveBayes(0.3, pooling=0.0), digits), "log_joint", digits.x_val)
    torch.testing.assert_close(log_joint.double(), torch.from_numpy(theirs._joint_log_likelihood(val)), rtol=1e-6, atol=0)


def test_pooling_adds_pseudo_images_with_the_histograms_of_all_classes():
    data = images((1, 2, 2), 4)
    model = fitted(CategoricalNaiveBayes(smoothing=0.5, pooling=3.0), data)
    levels = (data.x * 3).round().long().flatten(1)
    own = torch.stack([(levels[data.y == 1] == level).sum(0) for level in range(4)])  # (L, D)
    all_classes = torch.stack([(levels == level).sum(0) for level in range(4)]) / len(levels)
    expected = (own + 0.5 + 3 * all_classes) / (int((data.y == 1).sum()) + 4 * 0.5 + 3)
    torch.testing.assert_close(model.log_mass.exp().view(4, 4, 3)[..., 1].T, expected)


@pytest.mark.parametrize(("model", "levels"), [(BernoulliNaiveBayes(), 2), (CategoricalNaiveBayes(), 3)])
def test_a_mass_sums_to_one_and_a_marginal_is_a_sum_over_the_unknown_pixels(model, levels):
    shape = (1, 3, 3) if levels == 2 else (2, 2, 2)
    fitted(model, images(shape, levels, shares=[0.5, 0.3, 0.2]))
    grid = every_image(shape, levels)
    joint = predict_batched(model, "log_joint", grid).double()
    torch.testing.assert_close(joint.exp().sum(0), model.log_prior.double().exp(), rtol=1e-5, atol=0)
    known = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    for x in grid[::37]:
        same = ((grid == x) | ~known).flatten(1).all(1)
        hidden = torch.where(known, x, math.nan)[None]
        marginal = predict_batched(model, "log_joint_known", hidden, known[None])[0]
        torch.testing.assert_close(marginal.double(), joint[same].logsumexp(0), rtol=1e-5, atol=1e-5)
        # The posterior mean of the unknown pixels, by Bayes' rule over the images that agree with the known ones.
        weight = joint[same].logsumexp(1).softmax(0).float()
        mean = torch.einsum("m,mchw->chw", weight, grid[same])
        torch.testing.assert_close(predict_batched(model, "inpaint", hidden, known[None])[0], torch.where(known, x, mean))


def test_a_gray_image_is_scored_as_its_binary_one(digits):
    model = fitted(BernoulliNaiveBayes(), digits)
    binary = (digits.x_val >= 0.5).float()
    assert torch.equal(model.log_joint(digits.x_val), model.log_joint(binary))
    assert set(model.sample(20).unique().tolist()) == {0.0, 1.0}


def test_a_kernel_density_equals_scikit_learns(digits):
    from sklearn.neighbors import KernelDensity as Theirs

    model = fitted(KernelDensity(), digits)
    log_joint = predict_batched(model, "log_joint", digits.x_val[:60])
    for k in range(10):
        rows = digits.x[digits.y == k].flatten(1).double().numpy()
        # One leaf: with its tree of many, scikit-learn 1.9 is 100 nats off where a point is far from all rows.
        theirs = Theirs(bandwidth=float(model.bandwidth), leaf_size=len(rows)).fit(rows)
        theirs = theirs.score_samples(digits.x_val[:60].flatten(1).double().numpy())
        expected = torch.from_numpy(theirs + math.log(len(rows) / len(digits.x)))
        torch.testing.assert_close(log_joint[:, k].double(), expected, rtol=1e-5, atol=1e-3)


def test_the_bandwidth_maximizes_the_validation_likelihood(digits):
    model = fitted(KernelDensity(), digits)
    points = dequantize(digits.x_val, 17)
    scores = []
    for factor in (0.5, 0.8, 1.0, 1.25, 2.0):
        model.bandwidth = model.bandwidth * factor
        scores.append(float(model.log_joint(points).gather(1, digits.y_val[:, None]).mean()))
        model.bandwidth = model.bandwidth / factor
    assert scores[0] < scores[1] < scores[2] > scores[3] > scores[4]


@pytest.mark.parametrize("known", [(True, False), (False, True)])
def test_the_marginals_and_means_of_a_kernel_density_are_integrals(known):
    data = images((1, 1, 2), 9, n=40, shares=[0.5, 0.3, 0.2])
    model = fitted(KernelDensity(), data)
    known = torch.tensor(known).view(1, 1, 1, 2)
    line = torch.linspace(-2, 3, 4001, dtype=torch.float64)
    step = float(line[1] - line[0])
    for x in data.x[:4].double():
        joint = model.log_joint(torch.where(known, x, line[:, None, None, None]))  # (G, K)
        marginal = model.log_joint_known(torch.where(known, x, math.nan), known)[0]
        torch.testing.assert_close(marginal, joint.logsumexp(0) + math.log(step), rtol=1e-6, atol=1e-6)
        mean = float(joint.logsumexp(1).softmax(0) @ line)
        assert float(model.inpaint(x[None], known)[~known]) == pytest.approx(min(max(mean, 0), 1), abs=1e-6)


def test_a_kernel_density_of_a_table_classifies_and_samples():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(600) % 2
    x = 0.3 + 0.06 * torch.randn(600, 3, generator=generator) + 0.3 * y[:, None]
    data = TrainingData(DataSpec("table", (3,), 2, None, ("a", "b")), x[:400], y[:400], x[400:], y[400:])
    model = fitted(KernelDensity(), data)
    assert (predict_batched(model, "predict", data.x_val) == data.y_val).float().mean() > 0.95
    samples = model.sample(4000, torch.ones(4000, dtype=torch.long))
    rows = data.x[data.y == 1]
    torch.testing.assert_close(samples.mean(0), rows.mean(0), rtol=0, atol=0.006)
    torch.testing.assert_close(samples.var(0), rows.var(0) + model.bandwidth**2, rtol=0.1, atol=0)


def random_chain(shape=(1, 4, 3), parts=2, variants=2, reach=2, classes=2):
    """A hidden Markov model with random parameters, in float64."""
    model = HiddenMarkovModel(parts=parts, variants=variants, reach=reach)
    model.build(DataSpec("made", shape, classes, 5, tuple("abc"[:classes])))
    model.double()
    generator = torch.Generator().manual_seed(0)
    for name in ("initial", "transition", "mean", "variance"):
        setattr(model, name, torch.rand(getattr(model, name).shape, generator=generator, dtype=torch.float64))
    for part in range(model.transition.shape[1]):
        model.transition[:, part, :, model.transition.shape[1] - part :] = 0  # beyond the last part
    model.variance = 0.02 + 0.1 * model.variance
    model.initial = model.initial / model.initial.sum(-1, keepdim=True)
    model.transition = model.transition / model.transition.sum((-2, -1), keepdim=True)
    model.log_prior = torch.linspace(1, 2, classes, dtype=torch.float64).log_softmax(0)
    return model


def between_states(model):
    """p(state | state before), (K, S, S), which hmmlearn calls transmat_."""
    classes, parts, variants, steps, _ = model.transition.shape
    full = torch.zeros(classes, parts, variants, parts, variants, dtype=model.transition.dtype)
    for part, step in itertools.product(range(parts), range(steps)):
        if part + step < parts:
            full[:, part, :, part + step] = model.transition[:, part, :, step]
    return full.flatten(3).flatten(1, 2)


def enumerated(model, x, known):
    """log p(known pixels, y, path), (N, K, S^T), and the mean image of each path (K, S^T, C, H, W), path by path."""
    channels, height, width = model.shape
    paths = torch.tensor(list(itertools.product(range(model.mean.shape[1]), repeat=height)))  # (P, T)
    start = model.initial[:, paths[:, 0]].log() + model.log_prior[:, None]
    log_path = start + sum(between_states(model)[:, paths[:, t - 1], paths[:, t]].log() for t in range(1, height))  # (K, P)
    mean, variance = (
        part[:, paths].unflatten(3, (channels, width)).transpose(2, 3) for part in (model.mean, model.variance)
    )  # (K, P, T, E) -> (K, P, C, H, W)
    log_pixel = torch.distributions.Normal(mean, variance.sqrt()).log_prob(x[:, None, None])
    return log_path + torch.where(known[:, None, None], log_pixel, 0.0).sum((3, 4, 5)), mean


@pytest.mark.parametrize(
    ("shape", "parts", "variants", "reach"),
    [((1, 4, 3), 2, 2, 2), ((1, 4, 2), 1, 4, 2), ((3, 4, 2), 4, 1, 2), ((1, 4, 3), 3, 2, 1), ((1, 1, 4), 3, 3, 2)],
    ids=str,
)
def test_the_forward_algorithm_sums_over_every_path(shape, parts, variants, reach):
    model = random_chain(shape, parts, variants, reach)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(6, *shape, generator=generator, dtype=torch.float64)
    joint, _ = enumerated(model, x, torch.ones_like(x, dtype=torch.bool))
    torch.testing.assert_close(model.log_joint(x), joint.logsumexp(2), rtol=1e-10, atol=1e-10)
    known = torch.rand(x.shape, generator=generator) < 0.5
    joint, mean = enumerated(model, x, known)
    hidden = torch.where(known, x, math.nan)
    torch.testing.assert_close(model.log_joint_known(hidden, known), joint.logsumexp(2), rtol=1e-10, atol=1e-10)
    expected = torch.einsum("nj,jchw->nchw", joint.flatten(1).softmax(1), mean.flatten(0, 1)).clamp(0, 1)
    torch.testing.assert_close(model.inpaint(hidden, known), torch.where(known, x, expected), rtol=1e-10, atol=1e-10)


def hmmlearns(model, k, iterations=0):
    """hmmlearn's model of class k with our parameters, and so many iterations of EM without priors."""
    hmm = pytest.importorskip("hmmlearn.hmm")
    theirs = hmm.GaussianHMM(
        model.mean.shape[1],
        "diag",
        init_params="",
        n_iter=iterations,
        tol=-math.inf,
        min_covar=0,
        covars_prior=0,
        covars_weight=1,
    )
    theirs.n_features = model.mean.shape[2]
    theirs.startprob_, theirs.transmat_, theirs.means_, theirs.covars_ = (
        part[k].double().numpy() for part in (model.initial, between_states(model), model.mean, model.variance)
    )
    return theirs


def test_the_log_likelihood_equals_hmmlearns():
    model = random_chain((3, 8, 5), parts=4, variants=3)
    x = torch.rand(5, 3, 8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_likelihood = model.log_joint(x) - model.log_prior
    for k in range(2):
        theirs = hmmlearns(model, k)
        expected = [theirs.score(image.transpose(0, 1).flatten(1).numpy()) for image in x]
        np.testing.assert_allclose(log_likelihood[:, k].numpy(), expected, rtol=1e-6)


def unregularized(iterations):
    return HiddenMarkovModel(
        parts=2, variants=2, iterations=iterations, transition_rows=0.0, mean_rows=0.0, variance_rows=0.0, smoothing=0.0
    )


def test_em_takes_the_same_steps_as_hmmlearns():
    data = images((1, 5, 3), 2**16, n=80, classes=2)  # so many levels that the bins have no width
    first, third = (fitted(unregularized(iterations), data) for iterations in (1, 4))
    for k in range(2):
        theirs = hmmlearns(first, k, iterations=3)
        rows = data.x[data.y == k, 0].double()
        theirs.fit(rows.flatten(0, 1).numpy(), [5] * len(rows))
        ours = third.initial, between_states(third), third.mean, third.variance
        expected = theirs.startprob_, theirs.transmat_, theirs.means_, theirs.covars_.diagonal(axis1=1, axis2=2)
        for our, their in zip(ours, expected, strict=True):
            np.testing.assert_allclose(our[k].numpy(), their, atol=2e-4)


def test_em_never_lowers_the_likelihood():
    data = images((1, 5, 3), 2**16, n=80, classes=2)
    likelihoods = []
    for iterations in range(9):
        model = fitted(unregularized(iterations), data)
        likelihoods.append(float(predict_batched(model, "log_joint", data.x).gather(1, data.y[:, None]).mean()))
    assert np.all(np.diff(likelihoods) > -1e-5) and likelihoods[-1] > likelihoods[0] + 1


def test_em_never_lowers_the_posterior_with_priors():
    """Mean log p(noisy images, parameters): Dirichlet priors of transitions, normal inverse-gamma ones of means and variances."""
    data = images((1, 5, 3), 9, n=60, classes=2)
    noise = 1 / 8**2 / 12 + 0.1 * float(data.x.var(0, correction=0).max())
    settings = {"parts": 2, "variants": 2, "transition_rows": 0.2, "mean_rows": 0.7, "variance_rows": 2.0, "smoothing": 0.1}
    averages = torch.stack([data.x[data.y == k, 0].mean(0) for k in range(2)])  # (K, T, E)
    variance_within = ((data.x[:, 0] - averages[data.y]) ** 2).mean(0)
    halves = [slice(0, 3), slice(2, 5)]  # the parts of five rows
    prior_mean = torch.stack([averages[:, half].mean(1) for half in halves], 1).repeat_interleave(2, 1)  # (K, S, E)
    prior_variance = (torch.stack([variance_within[half].mean(0) for half in halves]) + noise).repeat_interleave(2, 0)  # (S, E)
    log_posteriors = []
    for iterations in range(8):
        model = fitted(HiddenMarkovModel(iterations=iterations, **settings), data)
        # The mean over the noise of log N(x + noise; m, v) is log N(x; m, v) - noise / (2 v) for each number.
        rows = model._rows(data.x)
        emissions = model._emissions(rows**2 + noise, rows, torch.ones(1, 1, 3))
        log_posterior = model._forward(emissions)[-1].logsumexp((1, 2))[data.y, torch.arange(60)].sum()
        log_posterior += 0.2 * (model.initial.log().sum() + model.transition[model.transition > 0].log().sum())
        square = 2.0 * (model.variance.log() + prior_variance / model.variance)
        square += 0.7 * (model.mean - prior_mean) ** 2 / model.variance
        log_posteriors.append(float(log_posterior - 0.5 * square.sum()))
    assert np.all(np.diff(log_posteriors) > -1e-3) and log_posteriors[-1] > log_posteriors[0] + 1


@pytest.mark.parametrize("model_class", ALL)
def test_the_class_prior_is_that_of_the_train_split(model_class):
    data = images((1, 4, 4), 5, n=200, shares=[0.7, 0.2, 0.1])
    model = fitted(model_class(), data)
    shares = torch.bincount(data.y) / 200
    torch.testing.assert_close(model.log_prior.exp(), shares)
    nothing = predict_batched(model, "log_joint_known", data.x[:2], torch.zeros_like(data.x[:2], dtype=torch.bool))
    torch.testing.assert_close(nothing.exp(), shares.expand(2, 3), rtol=1e-4, atol=0)
    seed_everything(1)
    counts = torch.bincount(model.drawn_labels(3000), minlength=3) / 3000
    assert (counts - shares).abs().max() < 0.04


@pytest.mark.parametrize("model_class", ALL)
def test_samples_have_the_mean_of_the_model_and_use_the_labels(model_class):
    """Inpainting where nothing is known gives the mean of the model."""
    data = images((1, 4, 4), 9, n=300, shares=[0.6, 0.2, 0.2])
    if model_class in (KernelDensity, HiddenMarkovModel):  # far from the ends of the range, where samples are clipped
        data = TrainingData(data.spec, *[0.3 + 0.4 * data.x, data.y] * 2)
    model = fitted(model_class(), data)
    nothing = torch.zeros(1, 1, 4, 4)
    seed_everything(2)
    samples = sample_batched(model, 6000)
    torch.testing.assert_close(samples.mean(0), predict_batched(model, "inpaint", nothing, nothing)[0], rtol=0, atol=0.03)
    samples = sample_batched(model, 6000, torch.full((6000,), 2))
    model.log_prior = torch.tensor([1e-30, 1e-30, 1.0]).log()
    torch.testing.assert_close(samples.mean(0), predict_batched(model, "inpaint", nothing, nothing)[0], rtol=0, atol=0.03)


def test_samples_of_a_chain_have_its_covariance():
    model = random_chain((1, 3, 2), parts=1, variants=2)
    model.mean = 0.35 + 0.3 * model.mean
    model.variance = 0.05 * model.variance
    model.transition[:] = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).view(2, 1, 2)  # [from, 0 parts on, to]
    nothing = torch.zeros(1, 1, 3, 2, dtype=torch.float64)
    joint, mean = enumerated(model, nothing, nothing.bool())
    weight = joint[0, 1].softmax(0)  # (P,)
    mean = mean[1].flatten(1)  # (P, D)
    paths = torch.tensor(list(itertools.product(range(2), repeat=3)))
    residual = mean - weight @ mean
    expected = (residual.T * weight) @ residual + torch.diag(weight @ model.variance[1][paths].flatten(1))
    seed_everything(0)
    samples = sample_batched(model, 40_000, torch.ones(40_000, dtype=torch.long))
    torch.testing.assert_close(samples.flatten(1).T.cov(), expected, rtol=0, atol=4e-4)
    assert expected[0, 2:].abs().max() > 2e-3, "rows depend on one another"


@pytest.mark.parametrize("model_class", [KernelDensity, HiddenMarkovModel])
def test_float32_agrees_with_float64(model_class, digits):
    model = fitted(model_class(), digits)
    single = predict_batched(model, "log_joint", digits.x_val)
    expected = predict_batched(model.double(), "log_joint", digits.x_val.double())
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("model_class", [KernelDensity, HiddenMarkovModel])
def test_scores_can_be_differentiated_with_respect_to_the_image(model_class):
    data = images((1, 4, 4), 5)
    model = fitted(model_class(), data).double()
    x = data.x[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(model.decision_function, x, atol=1e-4)


@pytest.mark.parametrize(("model_class", "least"), list(zip(ALL, (0.85, 0.87, 0.95, 0.88), strict=True)))
def test_bayes_rule_classifies_digits(model_class, least, digits):
    model = fitted(model_class(), digits)
    assert (predict_batched(model, "predict", digits.x_val) == digits.y_val).float().mean() > least


@pytest.mark.parametrize("model_class", [BernoulliNaiveBayes, CategoricalNaiveBayes, HiddenMarkovModel])
def test_a_table_is_rejected_by_name(model_class):
    with pytest.raises(ValueError, match=r"table: .* a table has no"):
        model_class().build(DataSpec("table", (6,), 3, None, tuple("abc")))
