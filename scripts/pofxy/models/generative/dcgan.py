"""DCGAN: a generator of transposed convolutions against a discriminator of strided ones.

    discriminator: minimise  E_x softplus(-D(x)) + E_z softplus(D(G(z))) + gamma/2 E_x |grad_x D(x)|^2
    generator:     minimise  E_z softplus(-D(G(z)))                        (the non-saturating form)

As in the paper: no pooling and no hidden fully connected layer, batch normalisation and ReLU in the generator, leaky ReLU in the
discriminator, tanh at the end. The gradient penalty R1 takes the place of the discriminator's batch normalisation, which makes
the game converge, and an average of the generator's parameters over the last steps is what samples.

References: A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative
adversarial networks", ICLR 2016; R1: L. Mescheder, A. Geiger, S. Nowozin, ICML 2018.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pofxy.training import Player


class DCGAN(nn.Module):
    """Unconditional, for images with sides of 8 to 64 pixels.

    Args:
        codes: Z, the dimensions of the noise.
        channels: of the layer next to the image, on both sides; each halving of the image doubles them.
        penalty: gamma of R1, taken every fourth step with four times its weight.
        average: decay of the generator's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, for both nets.
    """

    images_only = True  # it cannot be fitted to a table

    def __init__(
        self,
        codes: int = 64,
        channels: int = 24,
        penalty: float = 0.1,
        average: float = 0.998,
        steps: int = 2000,
        batch: int = 64,
        learning_rate: float = 3e-3,
    ):
        super().__init__()
        self.codes, self.channels, self.penalty, self.average = codes, channels, penalty, average
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
            raise ValueError(f"{spec.name}: DCGAN needs images of 8 x 8 pixels or more, not {spec.shape}")
        self.shape = spec.shape
        # Halved until a side of 4 to 7 is left: once at 8 pixels, twice at 28, four times at 64.
        halvings = (min(spec.shape[1:]) // 4).bit_length() - 1
        widths = [self.channels * 2**i for i in range(halvings + 1)]
        self.generator = _Generator(self.codes, spec.shape, widths[::-1])
        self.discriminator = _discriminator(spec.shape, widths)
        self.discriminator(torch.zeros(1, *spec.shape))  # tells the last layer its size
        self.averaged = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(self.average), use_buffers=True)
        self.averaged.requires_grad_(False)
        self.register_buffer("step", torch.tensor(0))

    def fit(self, data, trainer):
        """Trains for all its steps: no loss of the game says on val when to stop."""
        self.build(data.spec)
        # No momentum: each player's loss is another one after the other's step.
        game = {"learning_rate": self.learning_rate, "betas": (0.0, 0.99)}
        players = [
            Player(self._discriminator_loss, self.discriminator.parameters(), name="discriminator", **game),
            Player(self._generator_loss, self.generator.parameters(), name="generator", after=self._move_average, **game),
        ]
        trainer.run(self, data, players, steps=self.steps, batch=self.batch, bfloat16=True)

    def sample(self, n, labels=None):
        """n images from the averaged generator. It knows no labels."""
        return (self.averaged(torch.randn(n, self.codes, device=self.step.device)) + 1) / 2

    def _discriminator_loss(self, x, y):
        penalised = self.penalty > 0 and int(self.step) % 4 == 0
        self.step += 1
        real = (2 * x - 1).requires_grad_(penalised)
        with torch.no_grad():
            fake = self.generator(self._noise(x))
        on_real, on_fake = self.discriminator(torch.cat([real, fake])).float().chunk(2)
        game = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        accuracy = ((on_real > 0).float().mean() + (on_fake < 0).float().mean()) / 2
        losses = {"loss": game, "game": game, "accuracy": accuracy}
        if penalised:
            (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            penalty = slope.square().sum((1, 2, 3)).mean()  # (N, C, H, W) -> scalar
            losses |= {"loss": game + 4 * self.penalty / 2 * penalty, "squared_slope": penalty}
        return losses

    def _generator_loss(self, x, y):
        return F.softplus(-self.discriminator(self.generator(self._noise(x))).float()).mean()

    def _noise(self, x):
        return torch.randn(len(x), self.codes, device=x.device)

    def _move_average(self):
        self.averaged.update_parameters(self.generator)


class _Generator(nn.Module):
    """(N, Z) -> (N, C, H, W) in [-1, 1]: a first small image, then doubled; what is too large at the end is cut off."""

    def __init__(self, codes, shape, widths):
        super().__init__()
        halvings = len(widths) - 1
        self.shape, self.first = shape, (widths[0], *(-(-side // 2**halvings) for side in shape[1:]))
        self.project = nn.Sequential(
            nn.Linear(codes, torch.Size(self.first).numel(), bias=False), nn.BatchNorm1d(torch.Size(self.first).numel())
        )
        layers = []
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], shape[0], 3, padding=1), nn.Tanh())

    def forward(self, z):
        x = self.project(z).relu().view(len(z), *self.first)  # (N, Z) -> (N, widths[0], H / 2^k, W / 2^k)
        return self.layers(x)[..., : self.shape[1], : self.shape[2]]


def _discriminator(shape, widths):
    """(N, C, H, W) -> (N, 1), positive where it takes the image for a real one."""
    layers = [nn.Conv2d(shape[0], widths[0], 3, padding=1), nn.LeakyReLU(0.2)]
    for narrow, wide in itertools.pairwise(widths):
        layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1))
