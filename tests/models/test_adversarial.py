"""Adversarial models: penalties, the Wasserstein distance, projection, the EMA of the generator, resuming, and a table."""

import math

import pytest
import torch
from torch import nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.conditional_gan import ConditionalGAN
from pofxy.models.generative.gan import GAN
from pofxy.models.generative.wgan_gp import WGANGP
from pofxy.nets import strided
from pofxy.nets.adversarial import squared_gradient_norm
from pofxy.training.trainer import Objective, Trainer

torch.set_num_threads(1)


def specification(shape=(1, 8, 8), classes=3):
    return DataSpec("made", shape, classes, 17, tuple("abcdefghij"[:classes]))


def made_data(n=96, classes=3):
    """Noise with a bright band for each class."""
    y = torch.arange(n) % classes
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.4
    for k in range(classes):
        x[y == k, ..., 2 * k : 2 * k + 2] += 0.6
    return TrainingData(specification(classes=classes), x, y, x[:20], y[:20])


def built(model, spec=None, seed=0):
    seed_everything(seed)
    model.build(spec or specification())
    return model


class Linear(nn.Module):
    """D(x, y) = w . x for every label: its gradient is w everywhere."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x, y=None):
        return x.flatten(1) @ self.weight


def test_r1_of_a_linear_discriminator_is_the_squared_length_of_its_weights():
    model = built(ConditionalGAN(penalty=0.6))
    data = made_data(32)
    model.discriminator = Linear(torch.randn(64, generator=torch.Generator().manual_seed(1)))
    lazy = model._discriminator_loss(data.x, data.y)
    squared = model.discriminator.weight.square().sum()
    torch.testing.assert_close(lazy["squared_slope"], squared)
    torch.testing.assert_close(lazy["loss"], lazy["game"] + 4 * 0.6 / 2 * squared)
    (gradient,) = torch.autograd.grad(lazy["loss"] - lazy["game"], model.discriminator.weight)
    torch.testing.assert_close(gradient, 4 * 0.6 * model.discriminator.weight, msg="of 4 gamma/2 |w|^2")
    following = [model._discriminator_loss(data.x, data.y) for _ in range(4)]
    assert ["squared_slope" in losses for losses in following] == [False, False, False, True]
    assert all(torch.equal(losses["loss"], losses["game"]) for losses in following[:3])


def test_squared_gradient_norms_are_those_of_finite_differences():
    net = strided.DCGANDiscriminator((1, 8, 8), strided.conv_layers(specification(), 4, "Made"))
    net = nn.Sequential(net, nn.Linear(net.size, 1)).double()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    squared_norm = squared_gradient_norm(net(x).squeeze(1), x)
    step = 1e-6 * torch.eye(64, dtype=torch.float64).view(64, 1, 1, 8, 8)  # (64, 1, C, H, W): one pixel at a time
    with torch.no_grad():
        up, down = (net((x + sign * step).flatten(0, 1)).view(64, 3) for sign in (1, -1))
    torch.testing.assert_close(squared_norm.detach(), ((up - down) / 2e-6).square().sum(0).float(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_the_gradient_penalty_pulls_the_slope_of_a_linear_critic_to_one(length):
    model = built(WGANGP(penalty=10.0))
    data = made_data(32)
    direction = nn.functional.normalize(torch.randn(64, generator=torch.Generator().manual_seed(1)), dim=0)
    model.discriminator = Linear(length * direction)
    losses = model._discriminator_loss(data.x, data.y)
    assert losses["slope"].item() == pytest.approx(length, rel=1e-5)
    assert (losses["loss"] + losses["wasserstein"]).item() == pytest.approx(10 * (length - 1) ** 2, abs=1e-4)


def test_the_critic_estimates_the_wasserstein_distance_of_two_shifted_distributions():
    """The data are the images of the generator, each pixel .2 brighter: in [-1, 1] their distance W is .4 sqrt(64) = 3.2.

    The penalty does not bound the slope strictly: a critic of slope s estimates s W, and s W - lambda (s - 1)^2 has its maximum
    at s = 1 + W / (2 lambda).
    """
    model = built(WGANGP(penalty=10.0, penalized=1.0))
    fixed = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(2)) - 0.9  # within [-.9, .1]
    model.generator = Fixed(fixed)
    x, y = (fixed + 0.4 + 1) / 2, torch.arange(64) % 3
    data = TrainingData(specification(), x, y, x, y)
    trainer = Trainer()
    critic = Objective(model._discriminator_loss, model.discriminator.parameters(), 5e-3, betas=(0.0, 0.99))
    trainer.run(model, data, [critic], steps=80, batch=64)
    last = trainer.history[-1]
    assert last["wasserstein"] / last["slope"] == pytest.approx(3.2, rel=0.03)
    assert last["slope"] == pytest.approx(1 + 3.2 / 20, abs=0.03)


class Fixed(nn.Module):
    """A generator that ignores the noise and always gives the same images."""

    def __init__(self, images):
        super().__init__()
        self.register_buffer("images", images)

    def forward(self, z):
        return self.images[: len(z)]


def test_the_label_enters_as_the_inner_product_of_features_and_embedding():
    model = built(ConditionalGAN())
    data = made_data(12)
    discriminator = model.discriminator
    x = 2 * data.x - 1
    features = discriminator.features(x).detach()
    assert features.shape == (12, discriminator.features.size)
    scores = torch.stack([discriminator(x, torch.full((12,), k)) for k in range(3)], 1)  # (12, 3)
    unconditional = features @ discriminator.linear.weight[0] + discriminator.linear.bias
    expected = unconditional[:, None] + features @ discriminator.embedding.weight.T
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)


def test_samples_come_from_the_exponential_moving_average_of_the_generator():
    model = build_model(ConditionalGAN, steps=12, batch=32, ema_decay=0.8)
    states = []
    update_ema = model._update_ema
    names = ("project.0.weight", "layers.1.running_mean")

    def recorded():
        update_ema()
        states.append({name: model.generator.state_dict()[name].clone() for name in names})

    model._update_ema = recorded
    seed_everything(0)
    model.fit(made_data(), Trainer())
    for name in names:
        expected = states[0][name]
        for state in states[1:]:
            expected = 0.8 * expected + 0.2 * state[name]
        torch.testing.assert_close(model.ema.module.state_dict()[name], expected)
    assert len(states) == 12


@pytest.mark.parametrize("model_class", [ConditionalGAN, WGANGP, GAN])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(model_class, tmp_path, monkeypatch):
    monkeypatch.setattr("pofxy.training.trainer.EPOCH_STEPS", 3)

    def fitted(trainer, seed):
        seed_everything(seed)
        model = build_model(model_class, steps=15, batch=32)
        model.fit(made_data(), trainer)
        return model

    class Interrupted(Exception):
        pass

    def interrupt(epoch, metrics):
        if epoch == 3:
            raise Interrupted

    uninterrupted = Trainer()
    expected = fitted(uninterrupted, 5)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        fitted(Trainer(checkpoint=checkpoint, checkpoint_seconds=0, on_epoch=interrupt, fingerprint="a"), 5)
    resumed = Trainer(checkpoint=checkpoint, fingerprint="a")
    model = fitted(resumed, 999)  # another seed: the checkpoint has the state of the random generators
    curves = [[{k: v for k, v in row.items() if k != "seconds"} for row in each.history] for each in (resumed, uninterrupted)]
    assert curves[0] == curves[1] and len(curves[0]) == 5
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_the_critic_takes_several_steps_for_each_step_of_the_generator():
    model = build_model(WGANGP, steps=9, batch=32, critic_steps=4)
    losses = []
    critic_loss = model._discriminator_loss
    generator_loss = model._generator_loss
    model._discriminator_loss = lambda x, y: losses.append("c") or critic_loss(x, y)
    model._generator_loss = lambda x, y: losses.append("g") or generator_loss(x, y)
    model.fit(made_data(), Trainer())
    assert "".join(losses) == "cgccccgccccg"


def test_weight_decay_shrinks_the_parameters_of_both_nets():
    sizes = []
    for weight_decay in (0.0, 50.0):
        seed_everything(0)
        model = build_model(ConditionalGAN, steps=4, batch=32, weight_decay=weight_decay)
        model.fit(made_data(), Trainer())
        nets = (model.generator, model.discriminator)
        sizes.append([float(sum(p.detach().square().sum() for p in net.parameters())) for net in nets])
    assert sizes[1][0] < 0.9 * sizes[0][0] and sizes[1][1] < 0.9 * sizes[0][1]


def test_labels_that_are_not_given_are_sampled_from_the_class_prior():
    data = made_data(120)
    many = torch.cat([torch.nonzero(data.y == 0)[:, 0], torch.nonzero(data.y > 0)[:10, 0]])  # 40 of class 0, 5 of each other
    data = TrainingData(data.spec, data.x[many], data.y[many], data.x_val, data.y_val)
    seed_everything(0)
    model = build_model(ConditionalGAN, steps=2, batch=20)
    model.fit(data, Trainer())
    torch.testing.assert_close(model.log_prior.exp(), torch.tensor([0.8, 0.1, 0.1]))
    labels = []
    generator_input = model._generator_input
    model._generator_input = lambda z, y: labels.append(y) or generator_input(z, y)
    sample_batched(model, 2000)
    assert float((torch.cat(labels) == 0).float().mean()) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("shape", "halvings"), [((1, 8, 8), 1), ((3, 28, 28), 2), ((1, 33, 20), 2), ((1, 64, 64), 4), ((1, 9, 64), 1)]
)
def test_images_are_halved_until_the_smaller_side_has_four_to_seven_pixels(shape, halvings):
    layers = strided.conv_layers(specification(shape), 4, "Made")
    assert sum(layer.stride == 2 for layer in layers) == halvings
    assert all(layer.stride in (1, 2) for layer in layers) and len(layers) >= 2
    assert 4 <= min(shape[1:]) >> halvings <= 7
    features = strided.DCGANDiscriminator(shape, layers)
    generator = strided.DCGANGenerator(5, shape, layers)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *shape) and images.abs().max() <= 1
    assert features(images).shape == (3, features.size)
    with pytest.raises(ValueError, match=r"made: Made needs images of 8 x 8 pixels or more, not \(1, 7, 9\)"):
        strided.conv_layers(specification((1, 7, 9)), 4, "Made")


@pytest.mark.slow
def test_samples_of_a_table_have_its_mean_and_standard_deviation():
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([0.3, 0.7, 0.5])
    deviation = torch.tensor([0.05, 0.1, 0.02])
    x = (mean + deviation * torch.randn(1000, 3, generator=generator)).clamp(0, 1)
    y = torch.arange(1000) % 2
    spec = DataSpec("table", (3,), 2, None, ("a", "b"))
    seed_everything(0)
    model = build_model(GAN, steps=600, hidden=128)
    model.fit(TrainingData(spec, x, y, x[:100], y[:100]), Trainer())
    samples = sample_batched(model, 1000)
    assert samples.shape == (1000, 3) and samples.min() >= 0 and samples.max() <= 1
    torch.testing.assert_close(samples.mean(0), mean, atol=0.04, rtol=0)
    assert (samples.std(0) / deviation).log().abs().max() < math.log(2.5)
