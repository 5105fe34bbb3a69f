"""Each estimator of log p(x) on small distributions whose log p(x) is known."""

import importlib
import itertools
import logging
import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import Tags
from pofxy.evaluation import ais, likelihood
from pofxy.storage.models import model_class
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

TABLE = DataSpec("table", (6,), 2, None, ("a", "b"))
PIXELS = DataSpec("pixels", (1, 1, 3), 2, 5, ("a", "b"))
ALL_PIXELS = torch.cartesian_prod(*[torch.arange(5) / 4] * 3).view(-1, 1, 1, 3)  # every image of PIXELS
BINARY = DataSpec("binary", (1, 2, 4), 2, 16, ("a", "b"))
ALL_BINARY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8))).view(-1, 1, 2, 4)  # every image of 8 binary pixels
LIKELIHOODS = ("bits_per_dim", "log_density", "nats_binarized_threshold", "nats_binarized_stochastic")
BOUNDS = ("IWAE-512", "IWAE-64", "ELBO")


@pytest.fixture(autouse=True)
def seed():
    seed_everything(0)


@pytest.fixture
def by_name():
    """The estimates of a model by the name of their estimator."""
    return lambda model, x, spec: {estimate.estimator: estimate for estimate in likelihood.estimates(model, x, spec)}


class LinearGaussian(torch.nn.Module):
    """x = W z + noise with z of two dimensions; q(z | x) is wider than the posterior and has another mean."""

    tags = Tags(likelihood="density")

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("w", torch.randn(6, 2, generator=generator))
        self.noise = 0.7
        self.marginal = MultivariateNormal(torch.zeros(6), self.w @ self.w.T + self.noise**2 * torch.eye(6))

    def posterior(self, x):
        covariance = (torch.eye(2) + self.w.T @ self.w / self.noise**2).inverse()
        return MultivariateNormal(x @ self.w @ covariance / self.noise**2, covariance)

    def q(self, x):
        exact = self.posterior(x)
        return MultivariateNormal(0.8 * exact.mean + 0.1, 2.0 * exact.covariance_matrix)

    def log_weight(self, x):
        q = self.q(x)
        z = q.sample()
        prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
        return prior.log_prob(z) + Normal(z @ self.w.T, self.noise).log_prob(x).sum(1) - q.log_prob(z)


def test_importance_weighted_bounds_rise_from_the_elbo_to_log_p():
    model = LinearGaussian()
    x = model.marginal.sample((300,))
    exact = model.marginal.log_prob(x)
    tight, loose, elbo = likelihood.estimates(model, x, TABLE)
    assert tuple(estimate.estimator for estimate in (tight, loose, elbo)) == BOUNDS
    assert all(estimate.bound and estimate.n == 300 and estimate.common_error == 0 for estimate in (tight, loose, elbo))
    # They share their importance samples, so their order holds for each image; that with log p(x) holds on average.
    assert (elbo.values <= loose.values + 1e-4).all() and (loose.values <= tight.values + 1e-4).all()
    assert elbo.values.mean() < loose.values.mean() - 0.5
    assert float((tight.values - exact).mean()) == pytest.approx(0, abs=0.02)
    assert float((loose.values - exact).mean()) == pytest.approx(0, abs=0.1) and loose.values.mean() < exact.mean()
    # The gap of the ELBO is the KL divergence of q from the posterior.
    gap = kl_divergence(model.q(x), model.posterior(x))
    assert float((exact - elbo.values).mean()) == pytest.approx(float(gap.mean()), rel=0.01)
    assert np.corrcoef(exact - elbo.values, gap)[0, 1] > 0.95, "for each image, too"


def test_the_first_thousand_of_many_images_get_all_importance_samples(by_name):
    batch_sizes = []

    class Counted(torch.nn.Module):
        def log_weight(self, x):
            batch_sizes.append(len(x))
            return -x.flatten(1).sum(1)

    x = torch.randint(0, 5, (1100, 1, 1, 3)) / 4
    estimates = by_name(Counted(), x, PIXELS)
    assert [estimates[name].n for name in BOUNDS] == [1000, 1100, 1100]
    assert sum(batch_sizes) == 512 * 1000 + 64 * 100 and max(batch_sizes) <= likelihood.ROWS
    for estimate in estimates.values():  # a weight without noise is returned as it is, in the order of the images
        torch.testing.assert_close(estimate.values, -x.flatten(1).sum(1)[: estimate.n], atol=1e-5, rtol=0)


class Narrow(torch.nn.Module):
    """Independent Gaussian pixels that are narrow compared with a bin."""

    tags = Tags(likelihood="density")
    pixel = Normal(torch.tensor([0.3, 0.5, 0.6]), 0.15)

    def density(self, x):
        return self.pixel.log_prob(x.flatten(1)).sum(1)

    def mass(self, x):
        pixel = Normal(self.pixel.loc.double(), self.pixel.scale.double())
        x = x.flatten(1).double()
        return (pixel.cdf(x + 0.125) - pixel.cdf(x - 0.125)).log().sum(1)


class NarrowDensity(Narrow):
    log_prob = Narrow.density


class NarrowWeight(Narrow):
    log_weight = Narrow.density


def test_importance_weighted_bounds_take_their_samples_within_the_bin(by_name):
    """The mean of weights at points of the bin, times its volume, is the mass: with many samples nothing is lost."""
    estimates = by_name(NarrowWeight(), ALL_PIXELS, PIXELS)
    assert set(estimates) == {f"{name}, uniform-dequantized" for name in BOUNDS}
    exact = Narrow().mass(ALL_PIXELS)
    tight, elbo = (estimates[f"{name}, uniform-dequantized"].values for name in ("IWAE-512", "ELBO"))
    assert float((exact - tight).mean()) == pytest.approx(0, abs=0.02)
    assert (elbo < exact).all() and elbo.mean() < exact.mean() - 1


def test_dequantization_bounds_the_mass_of_the_bin():
    x = ALL_PIXELS.repeat(1600, 1, 1, 1)
    (estimate,) = likelihood.estimates(NarrowDensity(), x, PIXELS)
    assert estimate.estimator == "uniform-dequantized bound" and estimate.bound
    bound = estimate.values.view(1600, 125).double().mean(0)  # at least 1,600 dequantizations of each image
    exact = Narrow().mass(ALL_PIXELS)
    assert (bound < exact).all()
    # E_u (x + u - mu)^2 = (x - mu)^2 + h^2 / 12, in closed form.
    spread = 3 * 0.25**2 / 12 / (2 * 0.15**2)
    expected = Narrow().density(ALL_PIXELS) - spread + 3 * math.log(0.25)
    torch.testing.assert_close(bound.float(), expected, atol=0.4, rtol=0)
    assert float((bound.float() - expected).mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_second_point_of_a_bin_is_another_one_whatever_the_seed(seed):
    seen = []

    class Watching(NarrowDensity):
        def log_prob(self, x):
            seen.append(x.clone())
            return self.density(x)

    seed_everything(seed)
    first = likelihood.first_estimate(Watching(), ALL_PIXELS, PIXELS)
    seed_everything(seed)  # as each quantity starts
    likelihood.estimates(Watching(), ALL_PIXELS, PIXELS, first=first)
    offsets = [((x[:100] - ALL_PIXELS[:100]) * 4).flatten() for x in seen[:2]]
    assert abs(np.corrcoef(*offsets)[0, 1]) < 0.2


@pytest.mark.parametrize(("noise", "n"), [(0.0, 1), (0.3, 1), (0.45, 2), (0.7, 4), (2.0, 4)])
def test_a_bound_takes_as_many_dequantizations_as_its_noise_needs(noise, n):
    """Between images the standard deviation is 0.66; the noise may have a third of that variance, or takes 4 points."""
    calls = []

    class Noisy(torch.nn.Module):
        tags = Tags(likelihood="density")

        def log_prob(self, x):
            calls.append(len(x))
            clean = ((x * 4).round() / 4).flatten(1).sum(1)
            return clean + noise * torch.randn(len(x))

    x = ALL_PIXELS.repeat(8, 1, 1, 1)
    first = likelihood.first_estimate(Noisy(), x, PIXELS)
    calls.clear()
    (estimate,) = likelihood.estimates(Noisy(), x, PIXELS, first=first)
    assert sum(calls) == max(likelihood.PILOT, (n - 1) * len(x)), "no estimate is computed again"
    assert estimate.note == f"log p(x) of 1000 images by {n} dequantization{'s' * (n > 1)} of each"
    clean = x.flatten(1).sum(1) + 3 * math.log(0.25)
    assert float((estimate.values - clean).std()) == pytest.approx(noise / math.sqrt(n), rel=0.1, abs=1e-5)
    assert float((estimate.values - clean).mean()) == pytest.approx(0, abs=4 * noise / math.sqrt(1000 * n) + 1e-5)


def test_exact_values_are_those_of_the_model():
    model = model_class("reference", "independent_pixels")()
    x = torch.randint(0, 5, (200, 1, 1, 3)) / 4
    y = torch.arange(200) % 2
    model.fit(TrainingData(PIXELS, x, y, x[:30], y[:30]), None)
    (estimate,) = likelihood.estimates(model, ALL_PIXELS, PIXELS)
    assert estimate.estimator == "exact mass" and not estimate.bound
    assert float(estimate.values.double().exp().sum()) == pytest.approx(1, abs=1e-5)
    rows = torch.rand(50, 3)
    (estimate,) = likelihood.estimates(NarrowDensity(), rows, DataSpec("table", (3,), 2, None, ("a", "b")))
    assert estimate.estimator == "exact density" and torch.equal(estimate.values, Narrow().density(rows))


def test_a_bound_of_the_model_has_the_name_in_its_tags():
    class Diffusion(torch.nn.Module):
        tags = Tags(bound="diffusion bound")

        def log_prob_bound(self, x):
            return -x.flatten(1).sum(1) - 3

    (estimate,) = likelihood.estimates(Diffusion(), ALL_PIXELS, PIXELS)
    assert estimate.estimator == "diffusion bound" and estimate.bound
    torch.testing.assert_close(estimate.values, -ALL_PIXELS.flatten(1).sum(1) - 3)
    assert likelihood.estimates(torch.nn.Linear(1, 1), ALL_PIXELS, PIXELS) == [], "a model without likelihood"


def test_an_impossible_image_stays_so_and_leaves_the_others_as_they_are(by_name):
    class Half(torch.nn.Module):
        def log_prob(self, x):
            return torch.where(x.flatten(1)[:, 0] < 0.5, 0.0, -math.inf)

        log_weight = log_prob

    estimates = by_name(Half(), ALL_PIXELS, PIXELS)
    assert set(estimates) == {"exact mass", *BOUNDS}
    for estimate in estimates.values():
        torch.testing.assert_close(estimate.values, Half().log_prob(ALL_PIXELS), atol=1e-5, rtol=0)


class Boltzmann(torch.nn.Module):
    """A restricted Boltzmann machine of 8 visible and 5 hidden units; at beta 0 the visible units are independent and fair.

    p*(v; beta) = 2^-8 exp(beta a.v) prod_h (1 + exp(beta (W v + b)_h)) / 2: a sum over the hidden units, normalized at beta 0.
    """

    tags = Tags(binarized="threshold")

    def __init__(self, scale=1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("w", scale * torch.randn(5, 8, generator=generator))
        self.register_buffer("a", scale * torch.randn(8, generator=generator))
        self.register_buffer("b", scale * torch.randn(5, generator=generator))

    def log_unnormalized(self, x):
        return self.log_annealed(x, 1.0)

    def log_annealed(self, x, beta):
        v = x.flatten(1)
        hidden = torch.nn.functional.softplus(beta * (v @ self.w.T + self.b)).sum(1)
        return beta * (v @ self.a) + hidden - (8 + 5) * math.log(2)

    def gibbs_step(self, x, beta):
        h = torch.bernoulli((beta * (x.flatten(1) @ self.w.T + self.b)).sigmoid())
        return torch.bernoulli((beta * (h @ self.w + self.a)).sigmoid()).view(x.shape)

    def base_sample(self, n):
        return torch.randint(0, 2, (n, 1, 2, 4)).float()

    def state_of(self, x):
        return x

    def log_z(self, beta=1.0):
        return float(self.log_annealed(ALL_BINARY, beta).double().logsumexp(0))

    def exact_sample(self, n):
        return ALL_BINARY[torch.multinomial(self.log_unnormalized(ALL_BINARY).softmax(0), n, replacement=True)]


def test_the_test_model_is_normalized_at_beta_0_and_its_step_keeps_its_distribution():
    model = Boltzmann()
    assert model.log_z(0.0) == pytest.approx(0, abs=1e-5) and abs(model.log_z()) > 1
    x = model.exact_sample(100_000)
    after_step = model.gibbs_step(x, 1.0).flatten(1).mean(0)
    torch.testing.assert_close(after_step, x.flatten(1).mean(0), atol=0.01, rtol=0)


def test_annealing_finds_the_normalizer():
    model = Boltzmann()
    (estimate,) = likelihood.estimates(model, ALL_BINARY, BINARY)
    assert estimate.estimator == "AIS, reverse check within 1 nat, 0.5-threshold" and not estimate.bound
    exact = model.log_unnormalized(ALL_BINARY) - model.log_z()
    assert 0 < estimate.common_error < 0.05
    difference = (estimate.values - exact).double()
    assert float(difference.abs().max()) < 4 * estimate.common_error
    assert float(difference.std()) < 1e-5, "the error is the same for all images"
    assert float(estimate.values.double().exp().sum()) == pytest.approx(1, abs=4 * estimate.common_error)
    assert "reverse check +0.0" in estimate.note.replace("-0.0", "+0.0") and "log Z = " in estimate.note


@pytest.mark.parametrize(
    ("scale", "temperatures", "taken", "is_precise"),
    [(0.3, (5, 200, 400), 5, True), (3.0, (5, 200, 400), 200, True), (8.0, (1, 2, 4), 4, False)],
)
def test_a_longer_walk_is_taken_until_log_z_is_precise(scale, temperatures, taken, is_precise):
    model = Boltzmann(scale)
    found = ais.anneal(model, model.exact_sample(100), temperatures=temperatures, burn_in=0)
    assert found.temperatures == taken
    assert found.is_precise == is_precise == (found.standard_error <= 0.15 and abs(found.gap) <= 0.3)
    if found.is_precise:
        assert found.log_z == pytest.approx(model.log_z(), abs=4 * 0.15)


def test_a_given_normalizer_is_used_as_it_is():
    model = Boltzmann()
    annealing = ais.anneal(model, ALL_BINARY[:10], chains=10, temperatures=(20,), burn_in=0)
    (estimate,) = likelihood.estimates(model, ALL_BINARY, BINARY, annealing)
    assert estimate.estimator.startswith("AIS, reverse check") and estimate.common_error == annealing.standard_error
    assert estimate.note.endswith(" of 10 chains effective, 20 temperatures")


def test_a_bound_of_the_unnormalized_distribution_gives_a_bound_that_is_named():
    class Below(Boltzmann):
        tags = Tags(binarized="threshold", bound="mean-field bound")

        def log_unnormalized(self, x):
            return super().log_unnormalized(x) - 0.5

    model = Below()
    annealing = ais.anneal(model, ALL_BINARY[:10], chains=10, temperatures=(20,), burn_in=0)
    (estimate,) = likelihood.estimates(model, ALL_BINARY, BINARY, annealing)
    assert estimate.bound and estimate.estimator.startswith("mean-field bound, AIS, ")
    torch.testing.assert_close(estimate.values, model.log_unnormalized(ALL_BINARY) - annealing.log_z)


def test_the_interval_of_the_normalizer_covers_it_in_95_of_100_runs():
    model = Boltzmann()
    truth = model.log_z()
    covered = 0
    errors = []
    for repetition in range(60):
        seed_everything(repetition)
        annealing = ais.anneal(model, ALL_BINARY[:2], temperatures=(30,), burn_in=0)
        low, high = annealing.interval
        covered += low <= truth <= high
        errors.append(annealing.log_z - truth)
        assert annealing.standard_error == pytest.approx(math.sqrt(1 / annealing.effective_chains - 1 / 100), rel=0.01)
    assert 52 <= covered <= 60
    assert np.std(errors) == pytest.approx(annealing.standard_error, rel=0.5)


@pytest.mark.slow
def test_forward_and_reverse_estimates_enclose_the_normalizer_and_converge():
    """From exact samples, the mean forward estimate lies below and the mean reverse one above, closer for longer walks."""
    model = Boltzmann(scale=1.5)
    truth = model.log_z()
    gaps = []
    for temperatures in (3, 10, 100):
        runs = [ais.anneal(model, model.exact_sample(20), 20, (temperatures,), burn_in=0) for _ in range(60)]
        forward = [run.log_z - truth for run in runs]
        reverse = [run.reverse_log_z - truth for run in runs]
        slack = 3 * (np.std(forward) + np.std(reverse)) / math.sqrt(60)
        assert np.mean(forward) < slack and np.mean(reverse) > -slack
        gaps.append(np.mean([run.gap for run in runs]))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] and gaps[2] < 0.1
    assert gaps[0] > 0.3


def test_a_normalizer_that_is_not_to_be_trusted_is_logged_as_a_warning(caplog):
    """One mode is missed by the walk from the base distribution and not by the chains that start in it."""

    class Split(torch.nn.Module):
        """p*(x; beta) on 64 binary pixels: uniform, but for the image of ones, which has nearly all the mass at beta 1."""

        def log_annealed(self, x, beta):
            return torch.where(x.flatten(1).all(1), 60.0 * beta, 0.0) - 64 * math.log(2)

        def gibbs_step(self, x, beta):
            return torch.where(x.flatten(1).all(1)[:, None, None, None], x, self.base_sample(len(x)))

        def base_sample(self, n):
            return torch.randint(0, 2, (n, 1, 8, 8)).float()

        def state_of(self, x):
            return x

    truth = 60 - 64 * math.log(2)
    with caplog.at_level(logging.INFO, "pofxy"):
        split = ais.anneal(Split(), torch.ones(5, 1, 8, 8), chains=50, temperatures=(20,), burn_in=5)
        ais.anneal(Boltzmann(), ALL_BINARY[:50], chains=50, temperatures=(200,), burn_in=20)
        steep = Boltzmann(scale=6.0)
        few_effective = ais.anneal(steep, steep.exact_sample(50), chains=50, temperatures=(1,), burn_in=0)
    assert not split.agrees and split.name.endswith("reverse check failed") and split.log_z < truth < split.reverse_log_z
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING"] and "Split: log Z = " in caplog.text
    assert few_effective.effective_chains < 5


def test_the_schedule_goes_from_0_to_1_with_small_steps_at_both_ends():
    betas = np.array(ais.schedule(100))
    steps = np.diff(betas)
    assert len(betas) == 101 and betas[0] == 0 and betas[-1] == 1 and (steps > 0).all()
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)
    assert steps.argmax() in (49, 50) and steps[0] < steps.max() / 5


def test_binary_images_by_a_threshold_and_by_sampling():
    x = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0]).repeat(20_000, 1)
    assert likelihood.binarize(x, "threshold")[0].tolist() == [0, 0, 1, 1, 1]
    sampled = likelihood.binarize(x, "stochastic", torch.Generator().manual_seed(1))
    assert set(sampled.unique().tolist()) == {0, 1}
    torch.testing.assert_close(sampled.mean(0), x[0], atol=0.02, rtol=0)
    assert torch.equal(sampled, likelihood.binarize(x, "stochastic", torch.Generator().manual_seed(1)))
    with pytest.raises(ValueError, match="none of threshold, stochastic"):
        likelihood.binarize(x, "dithered")


@pytest.mark.parametrize(("method", "name"), [("threshold", "0.5-threshold"), ("stochastic", "stochastic binarization")])
def test_binarized_models_have_their_own_unit(by_name, method, name):
    class Independent(torch.nn.Module):
        """Independent pixels, white with probability 0.8."""

        tags = Tags(binarized=method, bound="mean-field bound")

        def log_prob(self, x):
            return torch.where(x > 0.5, math.log(0.8), math.log(0.2)).flatten(1).sum(1)

        log_weight = log_prob_bound = log_prob

    model = Independent()
    estimates = by_name(model, ALL_BINARY, BINARY)
    assert list(estimates) == [f"{estimator}, {name}" for estimator in ("exact mass", *BOUNDS, "mean-field bound")]
    for estimate in estimates.values():
        assert float(estimate.values.double().exp().sum()) == pytest.approx(1, abs=1e-4), "a mass of binary images"
    assert likelihood.kind(model, BINARY) == f"log_mass_{method}"
    with pytest.raises(ValueError, match="Independent: a binarized model is scored on binary images"):
        likelihood.estimates(model, ALL_BINARY * 0.5, BINARY)
    with pytest.raises(ValueError, match="Independent: a binarized model gives masses of images"):
        likelihood.estimates(model, ALL_BINARY.flatten(1), DataSpec("table", (8,), 2, None, ("a", "b")))


def test_no_metric_mixes_two_units():
    metrics = catalog.metrics()
    units = [metrics[name].unit for name in LIKELIHOODS]
    assert len(set(units)) == len(units)
    kinds = [{dependency.name for dependency in metrics[name].dependencies} & set(likelihood.KINDS) for name in LIKELIHOODS]
    assert sorted(itertools.chain(*kinds)) == sorted(likelihood.KINDS), "one metric for each kind"
    assert likelihood.kind(Narrow(), PIXELS) == "log_mass"
    assert likelihood.kind(Narrow(), TABLE) == "log_density"
    assert likelihood.kind(Boltzmann(), BINARY) == "log_mass_threshold"

    class Mass(torch.nn.Module):
        def log_prob(self, x):
            return x.sum(1)

    with pytest.raises(ValueError, match=r"Mass: table is a table, whose rows have a density"):
        likelihood.estimates(Mass(), torch.rand(5, 6), TABLE)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_metrics_of_likelihood_give_a_value_for_each_image(name):
    entry = catalog.metrics()[name]
    metric = getattr(importlib.import_module(f"pofxy.evaluation.metrics.{name}"), name)
    nats = np.array([-1.0, -3.0])
    values = metric(nats, 2) if name == "bits_per_dim" else metric(nats)
    expected = {"bits_per_dim": [0.5 / math.log(2), 1.5 / math.log(2)], "log_density": nats}.get(name, -nats)
    np.testing.assert_allclose(values, expected)
    assert entry.higher_is_better == (values[0] > values[1]), "the more likely image has the better score"


def test_the_bounds_of_the_variational_autoencoder_are_ordered(by_name):
    spec = DataSpec("made", (1, 4, 4), 2, 5, ("a", "b"))
    x = (torch.rand(200, 1, 1, 1) * torch.rand(1, 1, 4, 4) * 4).round() / 4
    model = build_model(model_class("generative", "vae"), steps=60, hidden=32, latent_dim=4)
    model.fit(TrainingData(spec, x, torch.arange(200) % 2, x[:30], torch.arange(30) % 2), Trainer())
    estimates = by_name(model.train(), x[:40], spec)
    assert tuple(estimates) == BOUNDS
    tight, loose, elbo = (estimate.values for estimate in estimates.values())
    assert elbo.mean() < loose.mean() < tight.mean() < 0
    assert model.training and not tight.requires_grad
