"""The synthesis of StyleGAN: a learned constant, and convolutions whose channels a style scales.

Reference: T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, equations 1 to 3.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F


class EqualizedLinear(nn.Linear):
    """Weights of unit variance, scaled when they are used: a step of Adam then changes wide and narrow layers alike."""

    def __init__(self, wide, narrow, gain=1.0):
        super().__init__(wide, narrow)
        self.scale = gain / math.sqrt(wide)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias)


class Synthesis(nn.Module):
    """Two styles w (N, W) -> (N, C, H, W): the constant and a convolution, then two for each doubling; an image of every size."""

    def __init__(self, style, shape, widths):
        super().__init__()
        self.shape = shape
        self.constant = nn.Parameter(torch.randn(1, widths[0], *(-(-side // 2 ** (len(widths) - 1)) for side in shape[1:])))
        self.layers = nn.ModuleList([ModulatedConvolution(widths[0], widths[0])])
        for wide, narrow in itertools.pairwise(widths):
            self.layers += [ModulatedConvolution(wide, narrow, doubling=True), ModulatedConvolution(narrow, narrow)]
        self.images = nn.ParameterList(torch.randn(shape[0], width) / math.sqrt(width) for width in widths)
        self.bias = nn.Parameter(torch.zeros(shape[0], 1, 1))
        # All scales by one linear map: of every layer's channels, then of those that make the image of every size.
        self.sizes = [layer.weight.shape[layer.incoming] for layer in self.layers] + widths
        self.affine = EqualizedLinear(style, sum(self.sizes))
        nn.init.ones_(self.affine.bias)
        # An image belongs to the last layer of its size: 0, 2, 4, ..
        count = len(self.layers)
        layer = torch.tensor([*range(count), *range(0, count, 2)]).repeat_interleave(torch.tensor(self.sizes))
        self.register_buffer("layer", layer, persistent=False)

    def forward(self, coarse, fine, cross=None):
        """cross (N,): the first layer that takes the fine style; None where both are the same."""
        styles = self.affine(coarse)
        if cross is not None:
            styles = torch.where(self.layer < cross[:, None], styles, self.affine(fine))  # (N, sum of channels)
        styles = styles.split(self.sizes, 1)
        of_layers, of_images = styles[: len(self.layers)], styles[len(self.layers) :]
        x = self.layers[0](self.constant.expand(len(coarse), -1, -1, -1), of_layers[0])
        image = _weighted(x, self.images[0], of_images[0])
        for i in range(1, len(self.images)):
            for j in (2 * i - 1, 2 * i):
                x = self.layers[j](x, of_layers[j])
            image = F.interpolate(image, scale_factor=2, mode="bilinear") + _weighted(x, self.images[i], of_images[i])
        return torch.tanh(image + self.bias)[..., : self.shape[1], : self.shape[2]]


def _weighted(x, weight, style):
    """A modulated 1 x 1 convolution, without demodulation: a matrix product (C, I) (I, H W) for each image of the batch."""
    product = (weight * style[:, None]) @ x.flatten(2)  # (N, C, I) (N, I, H W) -> (N, C, H W)
    return product.view(len(x), -1, *x.shape[2:])


class ModulatedConvolution(nn.Module):
    """x (N, I, H, W), style (N, I) -> (N, O, H, W), or (N, O, 2 H, 2 W) where `doubling`; then noise, bias and leaky ReLU."""

    def __init__(self, wide, narrow, doubling=False):
        super().__init__()
        self.doubling = doubling
        # A transposed convolution keeps its weights as (I, O, 4, 4). Of its 16 taps 4 meet in a pixel.
        self.incoming, self.taps, shape = (0, 4, (wide, narrow, 4, 4)) if doubling else (1, 9, (narrow, wide, 3, 3))
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(self.taps * wide))
        self.bias = nn.Parameter(torch.zeros(narrow, 1, 1))
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x, style):
        x = self.convolved(x, style)
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=x.dtype)
        return F.leaky_relu(x + (self.strength * noise + self.bias), 0.2)

    def convolved(self, x, style):
        """The modulated and demodulated convolution alone, times sqrt(2): what the leaky ReLU takes away."""
        power = self.weight.square().mean((2, 3)) * self.taps  # (O, I), or (I, O)
        power = style.square() @ (power if self.doubling else power.T)  # (N, O)
        scale = torch.rsqrt(power / 2 + 1e-8)[:, :, None, None]
        x = x * style[:, :, None, None]
        if self.doubling:
            return F.conv_transpose2d(x, self.weight, stride=2, padding=1) * scale
        return F.conv2d(x, self.weight, padding=1) * scale
