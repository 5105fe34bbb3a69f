"""StyleGAN: noise is first mapped to a style w, which then scales the channels of every layer of the synthesis.

    w = f(z, y),      s = A w,      x' = d_o(s) sum_i W_oi * (s_i x_i) + strength noise,      d_o = (sum_ik (s_i W_oik)^2)^(-1/2)

A learned constant takes the place of the first image. Scaled by s_i going in and by d_o coming out (demodulation), a shared
convolution is what a convolution with weights of its own for each image would be, and its outputs have unit variance in the mean
(second paper, eq. 1 to 3). Each layer adds noise of one number a pixel. Every size gives an image of its own, and these are added
up (skip outputs). Two styles are mixed in training: w of one code in the coarse layers, of another in the fine ones. The
discriminator is residual, sees how much a few images differ (minibatch standard deviation), and the label by projection. The game
is the non-saturating one with lazy R1; an average of the generator's parameters is what samples.

Other than there, at this size: learning rates are equalised in the linear layers alone (demodulation makes the scale of the
others' weights idle), a tanh ends the synthesis, R1 is all the regularisation, and the mean of w is one for each class.

References: T. Karras, S. Laine, T. Aila, "A style-based generator architecture for generative adversarial networks", CVPR 2019;
T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020; minibatch deviation: T. Karras et al., ICLR
2018; projection: T. Miyato, M. Koyama, ICLR 2018.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.adversarial import ConditionalAdversarialNet
from pofxy.nets.style_synthesis import EqualizedLinear, Synthesis

# Of the running mean of w, per step.
MEAN_RATE = 0.01
# Images whose deviation the discriminator sees at a time.
GROUP = 4
PICTURED = 9


class StyleGAN(ConditionalAdversarialNet):
    """Class-conditional, for images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, the dimensions of the noise.
        style: dimensions of w.
        depth: layers of the mapping from noise to w.
        channels: of the layers next to the image, on both sides; each halving of the image doubles them.
        mixing: share of the images in training that are of two styles.
        truncation: of w towards the mean of its class when sampling: 1 leaves it where it is, 0 gives the mean style.
        penalty: gamma of R1.
        ema_decay: decay of the generator's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, for both nets.
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
        steps: int = 1100,
        batch: int = 32,
        learning_rate: float = 4e-3,
    ):
        super().__init__()
        self.latent_dim, self.style, self.depth, self.channels, self.mixing = latent_dim, style, depth, channels, mixing
        self.truncation, self.penalty, self.ema_decay = truncation, penalty, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
            raise ValueError(f"{spec.name}: StyleGAN needs images of 8 x 8 pixels or more, not {spec.shape}")
        # Halved until a side of 4 to 7 is left: once at 8 pixels, twice at 28, four times at 64.
        halvings = (min(spec.shape[1:]) // 4).bit_length() - 1
        widths = [self.channels * 2**i for i in range(halvings + 1)]
        mapping = _Mapping(self.latent_dim, spec.classes, self.style, self.depth)
        generator = _Generator(mapping, Synthesis(self.style, spec.shape, widths[::-1]), self.mixing)
        self.play(spec, generator, _Discriminator(spec.shape, widths, spec.classes, math.gcd(GROUP, self.batch)))

    def picture(self, x, y):
        """Mixtures of styles, in a grid: fine styles from left to right, coarse ones from top to bottom."""
        generator, classes = self.averaged.module, self.classes
        with torch.no_grad():
            labels = torch.arange(2 * PICTURED, device=self.step.device) % classes
            w = self._truncated(generator.mapping(self._inputs(self._noise(2 * PICTURED), labels)), labels)
            fine, coarse = w.chunk(2)  # 2 of (P, W)
            pairs = [coarse.repeat_interleave(PICTURED, 0), fine.repeat(PICTURED, 1)]  # of all pairs, (P P, W)
            # Coarse is all but the largest size, which has the last two layers.
            cross = torch.full((PICTURED**2,), len(generator.synthesis.layers) - 2, device=w.device)
            mixed = generator.synthesis(*pairs, cross)
            own = [_images(generator.synthesis(part, part)) for part in (coarse, fine)]
        rows = [torch.zeros_like(own[1][:1]), own[1]]
        for first, row in zip(own[0], _images(mixed).split(PICTURED), strict=True):
            rows += [first[None], row]
        caption = (
            "Mixed styles: each image has the coarse layers' style of the first in its row, the fine layers' of the topmost."
        )
        return Visualization(torch.cat(rows).cpu(), columns=PICTURED + 1, caption=caption)

    def _drawn(self, z, y):
        generator = self.averaged.module
        w = self._truncated(generator.mapping(self._inputs(z, y)), y)
        return _images(generator.synthesis(w, w))

    def _truncated(self, w, y):
        mean = self.averaged.module.mapping.mean[y]  # (N, W)
        return mean + self.truncation * (w - mean)


def _images(x):
    """[-1, 1] -> [0, 1]."""
    return (x.float() + 1) / 2


class _Mapping(nn.Module):
    """(N, Z + K), noise and label -> w (N, W). Keeps the mean of w of each class, (K, W)."""

    def __init__(self, latent_dim, classes, style, depth):
        super().__init__()
        self.latent_dim, self.classes = latent_dim, classes
        self.embed = nn.Linear(classes, latent_dim, bias=False)
        nn.init.normal_(self.embed.weight)
        layers = []
        for wide in [2 * latent_dim] + [style] * (depth - 1):
            layers += [EqualizedLinear(wide, style, gain=math.sqrt(2)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("mean", torch.zeros(classes, style))

    def forward(self, code):
        z, label = code.split([self.latent_dim, self.classes], 1)
        w = self.layers(torch.cat([_normalised(z), _normalised(self.embed(label))], 1)).float()
        if self.training:
            with torch.no_grad():
                count = label.sum(0)[:, None]  # (K, 1)
                found = label.T.float() @ w.detach() / count.clamp(min=1)
                self.mean += MEAN_RATE * (count > 0) * (found - self.mean)
        return w


def _normalised(x):
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class _Generator(nn.Module):
    """(N, Z + K), noise and label -> (N, C, H, W); in training some images are of two styles."""

    def __init__(self, mapping, synthesis, mixing):
        super().__init__()
        self.mapping, self.synthesis, self.mixing = mapping, synthesis, mixing

    def forward(self, code):
        if not self.training:
            w = self.mapping(code)
            return self.synthesis(w, w)
        other = torch.cat([torch.randn_like(code[:, : self.mapping.codes]), code[:, self.mapping.codes :]], 1)
        w, w_other = self.mapping(torch.cat([code, other])).chunk(2)
        layers = len(self.synthesis.layers)
        cross = torch.randint(1, layers, (len(code),), device=code.device)
        cross = torch.where(torch.rand(len(code), device=code.device) < self.mixing, cross, layers)
        return self.synthesis(w, w_other, cross)


class _Discriminator(nn.Module):
    """x (N, C, H, W), y (N,) -> (N,), positive where it takes the image for a real one of this class."""

    def __init__(self, shape, widths, classes, group):
        super().__init__()
        self.group = group
        self.first = nn.Conv2d(shape[0], widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(_Block(*pair) for pair in itertools.pairwise(widths))
        sides = [side // 2 ** (len(widths) - 1) for side in shape[1:]]
        size = widths[-1] * math.prod(sides) + 1
        self.score, self.embed = nn.Linear(size, 1), nn.Embedding(classes, size)
        nn.init.normal_(self.embed.weight, std=size**-0.5)

    def forward(self, x, y):
        x = F.leaky_relu(self.first(x), 0.2)
        for block in self.blocks:
            x = block(x)
        x = torch.cat([x.flatten(1), self._deviation(x)], 1).float()
        return self.score(x)[:, 0] + (self.embed(y) * x).sum(1)

    def _deviation(self, x):
        """One number for each group of images, the mean of their standard deviations, (N, 1)."""
        groups = x.float().view(-1, math.gcd(self.group, len(x)), x[0].numel())  # (N, ...) -> (N / g, g, size)
        centred = groups - groups.mean(1, keepdim=True)
        deviation = (centred.square().mean(1) + 1e-8).sqrt().mean(1)
        return deviation.repeat_interleave(groups.shape[1])[:, None].to(x.dtype)


class _Block(nn.Module):
    """Two convolutions and half the sides, beside a shortcut: (N, I, H, W) -> (N, O, H / 2, W / 2)."""

    def __init__(self, narrow, wide):
        super().__init__()
        self.down = nn.Conv2d(narrow, wide, 4, stride=2, padding=1)
        self.same = nn.Conv2d(wide, wide, 3, padding=1)
        self.shortcut = nn.Conv2d(narrow, wide, 1, stride=2, bias=False)

    def forward(self, x):
        deep = F.leaky_relu(self.same(F.leaky_relu(self.down(x), 0.2)), 0.2)
        # Of an odd side the last pixel has no part in the half.
        even = x[..., : 2 * deep.shape[2], : 2 * deep.shape[3]]
        return (deep + self.shortcut(even)) / math.sqrt(2)
