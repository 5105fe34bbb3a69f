"""The synthesis network of StyleGAN: a learned constant, then convolutions whose channels are scaled by a style.

    x' = d_o(s) sum_i W_oi * (s_i x_i),      d_o = (sum_ik (s_i W_oik)^2)^(-1/2)                              (equations 1 to 3)

Reference: T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020.
https://arxiv.org/abs/1912.04958
"""

import itertools
import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EqualizedLinear(nn.Linear):
    """A linear layer with an equalized learning rate: weights of unit variance, which are scaled when they are used.

    One step of Adam then has the same relative effect on layers of any width.

    Args:
        inputs: features of the input.
        outputs: features of the output.
        gain: of the activation that follows.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__(inputs, outputs)
        self.scale = gain / math.sqrt(inputs)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias)


class Synthesis(nn.Module):
    """Two styles w (N, W) -> (N, C, H, W) in [-1, 1].

    The constant and one convolution at the smallest size, then two convolutions for each doubling. Every size gives an image, and
    the images are upsampled and added (skip outputs).

    Args:
        style: W, dimension of a style.
        shape: (C, H, W) of the images.
        widths: channels at each size, the smallest size first.
    """

    layer: Tensor

    def __init__(self, style: int, shape: tuple[int, ...], widths: list[int]):
        super().__init__()
        self.shape = shape
        self.constant = nn.Parameter(torch.randn(1, widths[0], *(-(-side // 2 ** (len(widths) - 1)) for side in shape[1:])))
        self.layers = nn.ModuleList([ModulatedConvolution(widths[0], widths[0])])
        for inputs, outputs in itertools.pairwise(widths):
            self.layers += [ModulatedConvolution(inputs, outputs, upsample=True), ModulatedConvolution(outputs, outputs)]
        self.to_image = nn.ParameterList(torch.randn(shape[0], width) / math.sqrt(width) for width in widths)
        self.bias = nn.Parameter(torch.zeros(shape[0], 1, 1))
        # One linear map gives all scales: those of the channels of every layer, then those of the image of every size.
        self.sizes = [cast(ModulatedConvolution, layer).inputs for layer in self.layers] + widths
        self.affine = EqualizedLinear(style, sum(self.sizes))
        nn.init.ones_(self.affine.bias)
        # The layer that each scale belongs to. An image belongs to the last layer of its size: 0, 2, 4, ..
        count = len(self.layers)
        layer = torch.tensor([*range(count), *range(0, count, 2)]).repeat_interleave(torch.tensor(self.sizes))
        self.register_buffer("layer", layer, persistent=False)

    def forward(self, coarse: Tensor, fine: Tensor, crossover: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) of the coarse and the fine styles.

        Args:
            coarse: styles (N, W) of the layers before the crossover.
            fine: styles (N, W) of the other layers.
            crossover: (N,), the first layer that takes the fine style; None where both styles are the same.
        """
        styles = self.affine(coarse)
        if crossover is not None:
            styles = torch.where(self.layer < crossover[:, None], styles, self.affine(fine))  # (N, sum of channels)
        styles = styles.split(self.sizes, 1)
        layer_styles = styles[: len(self.layers)]
        image_styles = styles[len(self.layers) :]
        x = self.layers[0](self.constant.expand(len(coarse), -1, -1, -1), layer_styles[0])
        image = _modulated_1x1(x, self.to_image[0], image_styles[0])
        for i in range(1, len(self.to_image)):
            for j in (2 * i - 1, 2 * i):
                x = self.layers[j](x, layer_styles[j])
            upsampled = F.interpolate(image, scale_factor=2, mode="bilinear")
            image = upsampled + _modulated_1x1(x, self.to_image[i], image_styles[i])
        return torch.tanh(image + self.bias)[..., : self.shape[1], : self.shape[2]]


class ModulatedConvolution(nn.Module):
    """x (N, I, H, W), style (N, I) -> (N, O, H, W), or (N, O, 2 H, 2 W) where `upsample` is set.

    The modulated and demodulated convolution, then noise, bias and leaky ReLU.

    Args:
        inputs: I.
        outputs: O.
        upsample: whether a transposed convolution doubles the size.
    """

    def __init__(self, inputs: int, outputs: int, upsample: bool = False):
        super().__init__()
        self.inputs = inputs
        self.upsample = upsample
        # A transposed convolution keeps its weights as (I, O, 4, 4), and 4 of its 16 taps reach one pixel.
        self.taps = 4 if upsample else 9
        shape = (inputs, outputs, 4, 4) if upsample else (outputs, inputs, 3, 3)
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(self.taps * inputs))
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (N, I, H, W), style (N, I) -> (N, O, H, W) or (N, O, 2 H, 2 W)."""
        x = self.modulated_convolution(x, style)
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=x.dtype)
        return F.leaky_relu(x + (self.strength * noise + self.bias), 0.2)

    def modulated_convolution(self, x: Tensor, style: Tensor) -> Tensor:
        """The modulated and demodulated convolution alone, times sqrt(2), which makes up for the leaky ReLU."""
        power = self.weight.square().mean((2, 3)) * self.taps  # (O, I), or (I, O) where upsample
        power = style.square() @ (power if self.upsample else power.T)  # (N, O)
        scale = torch.rsqrt(power / 2 + 1e-8)[:, :, None, None]
        x = x * style[:, :, None, None]
        if self.upsample:
            return F.conv_transpose2d(x, self.weight, stride=2, padding=1) * scale
        return F.conv2d(x, self.weight, padding=1) * scale


def _modulated_1x1(x, weight, style):
    """A modulated 1 x 1 convolution without demodulation: one matrix product (C, I) (I, H W) for each image of the batch."""
    product = (weight * style[:, None]) @ x.flatten(2)  # (N, C, I) (N, I, H W) -> (N, C, H W)
    return product.view(len(x), -1, *x.shape[2:])
