"""Each estimator of log p(x) on small laws whose log p(x) is known."""

import importlib
import itertools
import logging
import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.evaluation import likelihood
from pofxy.storage.models import model_class
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
TABLE = DataSpec("table", (6,), 2, None, ("a", "b"))
PIXELS = DataSpec("pixels", (1, 1, 3), 2, 5, ("a", "b"))
GREY = torch.cartesian_prod(*[torch.arange(5) / 4] * 3).view(-1, 1, 1, 3)  # every image of PIXELS
BINARY = DataSpec("binary", (1, 2, 4), 2, 16, ("a", "b"))
ALL_BINARY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8))).view(-1, 1, 2, 4)  # every image of 8 binary pixels
LIKELIHOODS = ("bits_per_dim", "log_density", "nats_binarized_threshold", "nats_binarized_stochastic")


@pytest.fixture(autouse=True)
def seed():
    seed_everything(0)


def by_name(model, x, spec):
    return {estimate.estimator: estimate for estimate in likelihood.estimates(model, x, spec)}


class LinearGaussian(torch.nn.Module):
    """x = W z + noise with z of two dimensions; q is not the posterior but a wider Gaussian beside it."""

    measure = "density"

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
    assert [e.estimator for e in (tight, loose, elbo)] == ["IWAE-512", "IWAE-64", "ELBO"]
    assert all(e.bound and e.n == 300 and e.common_error == 0 for e in (tight, loose, elbo))
    # They share their draws, so the order holds image by image; that with log p(x) in the mean.
    assert (elbo.values <= loose.values + 1e-4).all() and (loose.values <= tight.values + 1e-4).all()
    assert elbo.values.mean() < loose.values.mean() - 0.5
    assert float((tight.values - exact).mean()) == pytest.approx(0, abs=0.02)
    assert float((loose.values - exact).mean()) == pytest.approx(0, abs=0.1) and loose.values.mean() < exact.mean()
    # The gap of the ELBO is the divergence of q from the posterior.
    gap = kl_divergence(model.q(x), model.posterior(x))
    assert float((exact - elbo.values).mean()) == pytest.approx(float(gap.mean()), rel=0.01)
    assert np.corrcoef(exact - elbo.values, gap)[0, 1] > 0.95, "image by image, too"


def test_of_many_images_the_first_thousand_get_all_draws(monkeypatch):
    calls = []

    class Counted(torch.nn.Module):
        def log_weight(self, x):
            calls.append(len(x))
            return -x.flatten(1).sum(1)

    x = torch.randint(0, 5, (1100, 1, 1, 3)) / 4
    found = by_name(Counted(), x, PIXELS)
    assert [found[name].n for name in ("IWAE-512", "IWAE-64", "ELBO")] == [1000, 1100, 1100]
    assert sum(calls) == 512 * 1000 + 64 * 100 and max(calls) <= likelihood.ROWS
    for estimate in found.values():  # a weight without noise comes back, in the order of the images
        torch.testing.assert_close(estimate.values, -x.flatten(1).sum(1)[: estimate.n], atol=1e-5, rtol=0)


class Peaked(torch.nn.Module):
    """Independent Gaussian pixels, narrow beside a bin."""

    measure = "density"
    law = Normal(torch.tensor([0.3, 0.5, 0.6]), 0.15)

    def density(self, x):
        return self.law.log_prob(x.flatten(1)).sum(1)

    def mass(self, x):
        law, x = Normal(self.law.loc.double(), self.law.scale.double()), x.flatten(1).double()
        return (law.cdf(x + 0.125) - law.cdf(x - 0.125)).log().sum(1)


class PeakedDensity(Peaked):
    log_prob = Peaked.density


class PeakedWeight(Peaked):
    log_weight = Peaked.density


def test_the_bounds_of_weights_take_their_draws_within_the_bin():
    """A weight at a point of the bin, times its volume, is the mass in the mean: with many draws nothing is lost."""
    found = by_name(PeakedWeight(), GREY, PIXELS)
    assert set(found) == {f"{name}, uniform-dequantized" for name in ("IWAE-512", "IWAE-64", "ELBO")}
    exact = Peaked().mass(GREY)
    tight, elbo = (found[f"{name}, uniform-dequantized"].values for name in ("IWAE-512", "ELBO"))
    assert float((exact - tight).mean()) == pytest.approx(0, abs=0.02)
    assert (elbo < exact).all() and elbo.mean() < exact.mean() - 1


def test_dequantisation_bounds_the_mass_of_the_bin():
    x = GREY.repeat(400, 1, 1, 1)
    (found,) = likelihood.estimates(PeakedDensity(), x, PIXELS)
    assert found.estimator == "uniform-dequantized bound" and found.bound
    bound = found.values.view(400, 125).double().mean(0)  # 1,600 draws for each image
    exact = Peaked().mass(GREY)
    assert (bound < exact).all()
    # E_u (x + u - mu)^2 = (x - mu)^2 + h^2 / 12, in closed form.
    spread = 3 * 0.25**2 / 12 / (2 * 0.15**2)
    expected = Peaked().density(GREY) - spread + 3 * math.log(0.25)
    torch.testing.assert_close(bound.float(), expected, atol=0.4, rtol=0)
    assert float((bound.float() - expected).mean()) == pytest.approx(0, abs=0.01)


def test_exact_values_are_the_models_own():
    model = model_class("reference", "independent_pixels")()
    x, y = torch.randint(0, 5, (200, 1, 1, 3)) / 4, torch.arange(200) % 2
    model.fit(TrainingData(PIXELS, x, y, x[:30], y[:30]), None)
    (found,) = likelihood.estimates(model, GREY, PIXELS)
    assert found.estimator == "exact mass" and not found.bound
    assert float(found.values.double().exp().sum()) == pytest.approx(1, abs=1e-5)
    rows = torch.rand(50, 3)
    (found,) = likelihood.estimates(PeakedDensity(), rows, DataSpec("table", (3,), 2, None, ("a", "b")))
    assert found.estimator == "exact density" and torch.equal(found.values, Peaked().density(rows))


def test_a_bound_of_the_models_own_goes_by_its_name():
    class Diffusion(torch.nn.Module):
        bound = "diffusion bound"

        def log_prob_bound(self, x):
            return -x.flatten(1).sum(1) - 3

    (found,) = likelihood.estimates(Diffusion(), GREY, PIXELS)
    assert found.estimator == "diffusion bound" and found.bound
    torch.testing.assert_close(found.values, -GREY.flatten(1).sum(1) - 3)
    assert likelihood.estimates(torch.nn.Linear(1, 1), GREY, PIXELS) == [], "a model without density"


def test_what_is_impossible_stays_so_and_takes_nothing_else_with_it():
    class Half(torch.nn.Module):
        def log_prob(self, x):
            return torch.where(x.flatten(1)[:, 0] < 0.5, 0.0, -math.inf)

        log_weight = log_prob

    found = by_name(Half(), GREY, PIXELS)
    assert set(found) == {"exact mass", "IWAE-512", "IWAE-64", "ELBO"}
    for estimate in found.values():
        torch.testing.assert_close(estimate.values, Half().log_prob(GREY), atol=1e-5, rtol=0)


class Boltzmann(torch.nn.Module):
    """A restricted Boltzmann machine of 8 visible and 5 hidden units; at beta 0 the visible ones are fair coins.

    p*(v; beta) = 2^-8 exp(beta a.v) prod_h (1 + exp(beta (W v + b)_h)) / 2: a sum over the hidden units, normalised at beta 0.
    """

    binarized = "threshold"

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

    def exact(self, n):
        return ALL_BINARY[torch.multinomial(self.log_unnormalized(ALL_BINARY).softmax(0), n, replacement=True)]


def test_the_stand_in_starts_normalised_and_its_step_keeps_its_law():
    model = Boltzmann()
    assert model.log_z(0.0) == pytest.approx(0, abs=1e-5) and abs(model.log_z()) > 1
    x = model.exact(100_000)
    moved = model.gibbs_step(x, 1.0).flatten(1).mean(0)
    torch.testing.assert_close(moved, x.flatten(1).mean(0), atol=0.01, rtol=0)


def test_annealing_finds_the_normaliser():
    model = Boltzmann()
    (found,) = likelihood.estimates(model, ALL_BINARY, BINARY)
    assert found.estimator == "AIS-1000 x 100, reverse check within 1 nat, 0.5-threshold" and not found.bound
    exact = model.log_unnormalized(ALL_BINARY) - model.log_z()
    assert 0 < found.common_error < 0.05
    difference = (found.values - exact).double()
    assert float(difference.abs().max()) < 4 * found.common_error
    assert float(difference.std()) < 1e-5, "the error is the same for all images"
    assert float(found.values.double().exp().sum()) == pytest.approx(1, abs=4 * found.common_error)
    walks = likelihood.anneal(model, ALL_BINARY[:10], chains=10, temperatures=20, burn_in=0)
    (other,) = likelihood.estimates(model, ALL_BINARY, BINARY, walks)
    assert other.estimator.startswith("AIS-20 x 10, ") and other.common_error == walks.error
    assert "reverse check +0.0" in found.note.replace("-0.0", "+0.0") and "log Z = " in found.note


def test_what_lies_below_the_unnormalised_law_gives_a_bound_that_is_named():
    class Below(Boltzmann):
        bound = "mean-field bound"

        def log_unnormalized(self, x):
            return super().log_unnormalized(x) - 0.5

    model = Below()
    walks = likelihood.anneal(model, ALL_BINARY[:10], chains=10, temperatures=20, burn_in=0)
    (found,) = likelihood.estimates(model, ALL_BINARY, BINARY, walks)
    assert found.bound and found.estimator.startswith("mean-field bound, AIS-20 x 10, ")
    torch.testing.assert_close(found.values, model.log_unnormalized(ALL_BINARY) - walks.log_z)


def test_the_interval_of_the_normaliser_holds_in_95_of_100():
    model, held, errors = Boltzmann(), 0, []
    truth = model.log_z()
    for repetition in range(60):
        seed_everything(repetition)
        found = likelihood.anneal(model, ALL_BINARY[:2], temperatures=30, burn_in=0)
        low, high = found.interval
        held += low <= truth <= high
        errors.append(found.log_z - truth)
        assert found.error == pytest.approx(math.sqrt(1 / found.effective - 1 / 100), rel=0.01)
    assert 52 <= held <= 60
    assert np.std(errors) == pytest.approx(found.error, rel=0.5)


def test_the_two_walks_close_in_on_the_normaliser():
    """From exact samples: E of the forward log Z lies below, of the reverse one above, the closer the longer they walk."""
    model = Boltzmann(scale=1.5)
    truth, gaps = model.log_z(), []
    for temperatures in (3, 10, 100):
        found = [likelihood.anneal(model, model.exact(20), 20, temperatures, burn_in=0) for _ in range(60)]
        forward = [one.log_z - truth for one in found]
        reverse = [one.reverse - truth for one in found]
        slack = 3 * (np.std(forward) + np.std(reverse)) / math.sqrt(60)
        assert np.mean(forward) < slack and np.mean(reverse) > -slack
        gaps.append(np.mean([one.gap for one in found]))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] and gaps[2] < 0.1
    assert gaps[0] > 0.3


def test_a_normaliser_not_to_be_trusted_is_told(caplog):
    """A mode that the walk from the base law misses, and the chain that starts there does not."""

    class Split(torch.nn.Module):
        """p*(x; beta) on 64 binary pixels: fair coins, but for the image of ones, which has nearly all the mass at beta 1."""

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
        found = likelihood.anneal(Split(), torch.ones(5, 1, 8, 8), chains=50, temperatures=20, burn_in=5)
        assert not found.agrees and found.name.endswith("reverse check failed") and found.log_z < truth < found.reverse
        likelihood.anneal(Boltzmann(), ALL_BINARY[:50], chains=50, temperatures=200, burn_in=20)
        few = likelihood.anneal(Boltzmann(scale=6.0), Boltzmann(scale=6.0).exact(50), chains=50, temperatures=1, burn_in=0)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING"] and "Split: log Z = " in caplog.text
    assert few.effective < 5


def test_the_schedule_goes_from_0_to_1_with_small_steps_at_both_ends():
    betas = np.array(likelihood.schedule(100))
    steps = np.diff(betas)
    assert len(betas) == 101 and betas[0] == 0 and betas[-1] == 1 and (steps > 0).all()
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)
    assert steps.argmax() in (49, 50) and steps[0] < steps.max() / 5


def test_binary_images_by_a_threshold_and_by_draws():
    x = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0]).repeat(20_000, 1)
    assert likelihood.binarize(x, "threshold")[0].tolist() == [0, 0, 1, 1, 1]
    drawn = likelihood.binarize(x, "stochastic", torch.Generator().manual_seed(1))
    assert set(drawn.unique().tolist()) == {0, 1}
    torch.testing.assert_close(drawn.mean(0), x[0], atol=0.02, rtol=0)
    assert torch.equal(drawn, likelihood.binarize(x, "stochastic", torch.Generator().manual_seed(1)))
    with pytest.raises(ValueError, match="none of threshold, stochastic"):
        likelihood.binarize(x, "dithered")


@pytest.mark.parametrize(("how", "name"), [("threshold", "0.5-threshold"), ("stochastic", "stochastic binarisation")])
def test_binarised_models_have_a_unit_of_their_own(how, name):
    class Coins(torch.nn.Module):
        """Independent pixels, white with probability 0.8."""

        binarized = how
        bound = "mean-field bound"

        def log_prob(self, x):
            return torch.where(x > 0.5, math.log(0.8), math.log(0.2)).flatten(1).sum(1)

        log_weight = log_prob_bound = log_prob

    model = Coins()
    found = by_name(model, ALL_BINARY, BINARY)
    assert list(found) == [f"{e}, {name}" for e in ("exact mass", "IWAE-512", "IWAE-64", "ELBO", "mean-field bound")]
    for estimate in found.values():
        assert float(estimate.values.double().exp().sum()) == pytest.approx(1, abs=1e-4), "a mass of binary images"
    assert likelihood.kind(model, BINARY) == f"log_mass_{how}"
    with pytest.raises(ValueError, match="Coins: a binarized model is scored on binary images"):
        likelihood.estimates(model, ALL_BINARY * 0.5, BINARY)
    with pytest.raises(ValueError, match="Coins: a binarized model gives masses of images"):
        likelihood.estimates(model, ALL_BINARY.flatten(1), DataSpec("table", (8,), 2, None, ("a", "b")))


def test_no_two_units_meet_in_one_metric():
    metrics = catalog.metrics()
    units = [metrics[name].constants["UNIT"] for name in LIKELIHOODS]
    assert len(set(units)) == len(units)
    asked = [set(metrics[name].parameters) & set(likelihood.KINDS) for name in LIKELIHOODS]
    assert sorted(kind for kinds in asked for kind in kinds) == sorted(likelihood.KINDS), "one metric for each kind"
    kinds = {likelihood.kind(Peaked(), PIXELS), likelihood.kind(Peaked(), TABLE), likelihood.kind(Boltzmann(), BINARY)}
    assert kinds == {"log_mass", "log_density", "log_mass_threshold"}

    class Massive(torch.nn.Module):
        def log_prob(self, x):
            return x.sum(1)

    with pytest.raises(ValueError, match=r"Massive: table is a table, whose rows have a density"):
        likelihood.estimates(Massive(), torch.rand(5, 6), TABLE)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_metrics_of_likelihood_give_a_value_for_each_image(name):
    entry = catalog.metrics()[name]
    function = getattr(importlib.import_module(f"pofxy.evaluation.metrics.{name}"), name)
    nats = np.array([-1.0, -3.0])
    found = function(nats, 2) if name == "bits_per_dim" else function(nats)
    expected = {"bits_per_dim": [0.5 / math.log(2), 1.5 / math.log(2)], "log_density": nats}.get(name, -nats)
    np.testing.assert_allclose(found, expected)
    assert entry.constants["HIGHER_IS_BETTER"] == (found[0] > found[1]), "the likelier image is the better one"


def test_the_variational_autoencoder_is_bounded_ever_tighter():
    spec = DataSpec("made", (1, 4, 4), 2, 5, ("a", "b"))
    x = (torch.rand(200, 1, 1, 1) * torch.rand(1, 1, 4, 4) * 4).round() / 4
    model = model_class("generative", "vae")(steps=60, hidden=32, latent_dim=4)
    model.fit(TrainingData(spec, x, torch.arange(200) % 2, x[:30], torch.arange(30) % 2), Trainer())
    found = by_name(model.train(), x[:40], spec)
    assert list(found) == ["IWAE-512", "IWAE-64", "ELBO"]
    tight, loose, elbo = (estimate.values for estimate in found.values())
    assert elbo.mean() < loose.mean() < tight.mean() < 0
    assert model.training and not tight.requires_grad
