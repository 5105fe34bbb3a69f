"""StyleGAN: a generative adversarial network (GAN) whose noise is mapped to a style w that scales the channels of every layer.

    w = f(z, y),      s = A w,      x' = d_o(s) sum_i W_oi * (s_i x_i) + strength noise,      d_o = (sum_ik (s_i W_oik)^2)^(-1/2)

The input of the synthesis is a learned constant. Scaling by s_i before and by d_o after a shared convolution (modulation and
demodulation) is the same as a convolution with separate weights for each image, and its outputs have unit variance on average
(StyleGAN2, eq. 1 to 3). Each layer adds noise, one number per pixel. Every resolution gives an image, and the images are added
(skip outputs). In training two styles are mixed: the coarse layers have the w of one z, the fine layers that of another. The
discriminator is residual, sees the standard deviation over a few images (minibatch standard deviation), and gets the label by
projection. The losses are the non-saturating ones with lazy R1. Samples come from an exponential moving average (EMA) of the
generator's parameters.

Differences at this size: only linear layers have an equalized learning rate (with demodulation the scale of the other weights has
no effect), a tanh ends the synthesis, R1 is the only regularization, and the mean of w is kept per class.

References:
    T. Karras, S. Laine, T. Aila, "A style-based generator architecture for generative adversarial networks", CVPR 2019.
    https://arxiv.org/abs/1812.04948
    StyleGAN2: T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020.
    https://arxiv.org/abs/1912.04958
    Minibatch standard deviation: T. Karras et al., "Progressive growing of GANs for improved quality, stability, and variation",
    ICLR 2018. https://arxiv.org/abs/1710.10196
    Projection: T. Miyato, M. Koyama, "cGANs with projection discriminator", ICLR 2018. https://arxiv.org/abs/1802.05637
"""

import itertools
import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.adversarial import ConditionalAdversarialNet
from pofxy.nets.style_synthesis import EqualizedLinear, Synthesis

# Rate of the running mean of w, per step.
MEAN_RATE = 0.01
# Images over which the discriminator computes a standard deviation.
GROUP = 4
# Rows and columns of the picture.
PICTURED = 9


class StyleGAN(ConditionalAdversarialNet):
    """Class-conditional, for images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, dimension of the noise.
        style: dimension of w.
        depth: layers of the mapping from noise to w.
        channels: of the layers next to the image, in both nets; each halving of the image doubles them.
        mixing: share of the images in training that have two styles.
        truncation: in sampling, w is moved towards the mean of its class: 1 leaves it where it is, 0 gives the mean style.
        penalty: gamma of R1.
        ema_decay: decay of the EMA of the generator's parameters, per step.
        optimization: steps, batch, learning rate and weight decay, for both nets; the schedule is a cosine.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 32,
        style: int = 64,
        depth: int = 2,
        channels: int = 16,
        mixing: float = 0.2,
        truncation: float = 1.0,
        penalty: float = 0.3,
        ema_decay: float = 0.998,
        optimization: Optimization = Optimization(steps=1100, batch=32, learning_rate=4e-3),
    ):
        super().__init__(latent_dim, penalty, ema_decay, optimization)
        self.style = style
        self.depth = depth
        self.channels = channels
        self.mixing = mixing
        self.truncation = truncation

    def build(self, spec: DataSpec) -> None:
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
            raise ValueError(f"{spec.name}: StyleGAN needs images of 8 x 8 pixels or more, not {spec.shape}")
        # Halved until the smaller side has 4 to 7 pixels: once at 8 pixels, twice at 28, four times at 64.
        halvings = (min(spec.shape[1:]) // 4).bit_length() - 1
        widths = [self.channels * 2**i for i in range(halvings + 1)]
        mapping = _Mapping(self.latent_dim, spec.classes, self.style, self.depth)
        generator = _Generator(mapping, Synthesis(self.style, spec.shape, widths[::-1]), self.mixing)
        group = math.gcd(GROUP, self.optimization.batch)
        self.register_nets(spec, generator, _Discriminator(spec.shape, widths, spec.classes, group))

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Mixtures of styles in a grid: the fine style varies from left to right, the coarse style from top to bottom."""
        generator = cast(_Generator, self.ema.module)
        with torch.no_grad():
            labels = torch.arange(2 * PICTURED, device=self.step.device) % self.classes
            z = self._sample_noise(2 * PICTURED)
            w = self._truncate(generator.mapping(self._generator_input(z, labels)), labels)
            fine, coarse = w.chunk(2)  # (P, W) each
            pairs = [coarse.repeat_interleave(PICTURED, 0), fine.repeat(PICTURED, 1)]  # all pairs, (P P, W) each
            # Every resolution but the highest is coarse; the highest has the last two layers.
            crossover = torch.full((PICTURED**2,), len(generator.synthesis.layers) - 2, device=w.device)
            mixed = _to_unit_range(generator.synthesis(*pairs, crossover))
            coarse_images = _to_unit_range(generator.synthesis(coarse, coarse))
            fine_images = _to_unit_range(generator.synthesis(fine, fine))
        rows = [torch.zeros_like(fine_images[:1]), fine_images]
        for first, row in zip(coarse_images, mixed.split(PICTURED), strict=True):
            rows += [first[None], row]
        caption = (
            "Style mixing: each image has the coarse style of the first image in its row and the fine style of the topmost image "
            "in its column."
        )
        return Visualization(torch.cat(rows).cpu(), columns=PICTURED + 1, caption=caption)

    def _generate(self, z, y):
        generator = cast(_Generator, self.ema.module)
        w = self._truncate(generator.mapping(self._generator_input(z, y)), y)
        return _to_unit_range(generator.synthesis(w, w))

    def _truncate(self, w, y):
        mean = cast(_Generator, self.ema.module).mapping.mean[y]  # (N, W)
        return mean + self.truncation * (w - mean)


def _to_unit_range(x):
    """[-1, 1] -> [0, 1]."""
    return (x.float() + 1) / 2


class _Mapping(nn.Module):
    """(N, Z + K), noise and one-hot label -> w (N, W). Keeps the running mean of w for each class, (K, W)."""

    mean: Tensor

    def __init__(self, latent_dim, classes, style, depth):
        super().__init__()
        self.latent_dim = latent_dim
        self.classes = classes
        self.embed = nn.Linear(classes, latent_dim, bias=False)
        nn.init.normal_(self.embed.weight)
        layers = []
        for inputs in [2 * latent_dim] + [style] * (depth - 1):
            layers += [EqualizedLinear(inputs, style, gain=math.sqrt(2)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("mean", torch.zeros(classes, style))

    def forward(self, inputs):
        z, label = inputs.split([self.latent_dim, self.classes], 1)
        w = self.layers(torch.cat([_normalize(z), _normalize(self.embed(label))], 1)).float()
        if self.training:
            with torch.no_grad():
                count = label.sum(0)[:, None]  # (K, 1)
                batch_mean = label.T.float() @ w.detach() / count.clamp(min=1)  # (K, W)
                self.mean += MEAN_RATE * (count > 0) * (batch_mean - self.mean)
        return w


def _normalize(x):
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class _Generator(nn.Module):
    """(N, Z + K), noise and one-hot label -> (N, C, H, W) in [-1, 1]; in training some images have two styles."""

    def __init__(self, mapping: _Mapping, synthesis: Synthesis, mixing: float):
        super().__init__()
        self.mapping = mapping
        self.synthesis = synthesis
        self.mixing = mixing

    def forward(self, inputs):
        if not self.training:
            w = self.mapping(inputs)
            return self.synthesis(w, w)
        latent_dim = self.mapping.latent_dim
        other = torch.cat([torch.randn_like(inputs[:, :latent_dim]), inputs[:, latent_dim:]], 1)  # other noise, same labels
        w, w_other = self.mapping(torch.cat([inputs, other])).chunk(2)  # (2 N, W) -> 2 of (N, W)
        layers = len(self.synthesis.layers)
        crossover = torch.randint(1, layers, (len(inputs),), device=inputs.device)
        mixed = torch.rand(len(inputs), device=inputs.device) < self.mixing
        return self.synthesis(w, w_other, torch.where(mixed, crossover, layers))


class _Discriminator(nn.Module):
    """x (N, C, H, W), y (N,) -> (N,), positive where it classifies the image as a real one of this class."""

    def __init__(self, shape, widths, classes, group):
        super().__init__()
        self.group = group
        self.first = nn.Conv2d(shape[0], widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(_ResidualBlock(*pair) for pair in itertools.pairwise(widths))
        sides = [side // 2 ** (len(widths) - 1) for side in shape[1:]]
        size = widths[-1] * math.prod(sides) + 1
        self.score = nn.Linear(size, 1)
        self.embed = nn.Embedding(classes, size)
        nn.init.normal_(self.embed.weight, std=size**-0.5)

    def forward(self, x, y):
        x = F.leaky_relu(self.first(x), 0.2)
        for block in self.blocks:
            x = block(x)
        features = torch.cat([x.flatten(1), self._minibatch_deviation(x)], 1).float()  # (N, size)
        return self.score(features)[:, 0] + (self.embed(y) * features).sum(1)

    def _minibatch_deviation(self, x):
        """For each group of images the mean of the standard deviations of their features, (N, 1)."""
        groups = x.float().view(-1, math.gcd(self.group, len(x)), x[0].numel())  # (N, ...) -> (N / g, g, size)
        centered = groups - groups.mean(1, keepdim=True)
        deviation = (centered.square().mean(1) + 1e-8).sqrt().mean(1)  # (N / g,)
        return deviation.repeat_interleave(groups.shape[1])[:, None].to(x.dtype)


class _ResidualBlock(nn.Module):
    """Two convolutions that halve the sides, and a skip connection: (N, I, H, W) -> (N, O, H / 2, W / 2)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        self.same = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x):
        deep = F.leaky_relu(self.same(F.leaky_relu(self.down(x), 0.2)), 0.2)
        # The last row or column of an odd side has no counterpart in the output.
        even = x[..., : 2 * deep.shape[2], : 2 * deep.shape[3]]
        return (deep + self.skip(even)) / math.sqrt(2)
