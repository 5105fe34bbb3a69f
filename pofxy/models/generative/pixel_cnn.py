"""Gated PixelCNN: each pixel is predicted from those before it, by causal convolutions over the whole image at once.

    log p(x | y) = sum_d log p(x_d | x_1 .. x_d-1, y),        maximized; an exact mass over L-level images

Two stacks of layers see the pixels before (figure 2). The vertical stack sees all rows above, by kernels that reach up and to
both sides. The horizontal stack sees the row so far, and at each layer the features of the vertical stack. Together they have no
blind spot. Every layer is gated, and takes a learned map s of each class over the locations of the image (eq. 5):

    tanh(W_f * x + V_f s_y) sigmoid(W_g * x + V_g s_y)      (up to factors of 2, which the weights absorb)

Kernels are causal by padding rather than by masks, and dilated, so that few layers cover the whole image. The class is an input
of the horizontal stack alone: Bayes' rule then computes the vertical stack once for all classes. Sampling uses cached
activations: a row of the vertical stack at a time, and a pixel of the horizontal one.

References: A. van den Oord et al., "Conditional image generation with PixelCNN decoders", NIPS 2016.
https://arxiv.org/abs/1606.05328
The caches: P. Ramachandran et al., "Fast generation for convolutional autoregressive models", ICLR workshop 2017.
https://arxiv.org/abs/1704.06001
Dilations: S. Reed et al., "Parallel multiscale autoregressive density estimation", ICML 2017. https://arxiv.org/abs/1703.03664
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.pixel_sequence import LevelsHead, PixelSequence

# M, the depth of a class's map, from which each layer computes 2 F numbers per location.
MAPS = 32
# E, learned features of each level: neighboring levels may predict different next pixels.
EMBEDDING = 8


class PixelCNN(PixelSequence):
    """The residual and skip connections are in the horizontal stack.

    Args:
        features: F, of each stack.
        dropout: share of the gated features that are dropped, each in a whole image at once.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True, inpainting_passes=0, passes_per_class=True)

    bfloat16_dimensions = 0  # convolutions are faster in bfloat16 at any size

    def __init__(
        self,
        features: int = 32,
        dropout: float = 0.15,
        optimization: Optimization = Optimization(steps=900, batch=32, learning_rate=1e-2, weight_decay=0.5),
    ):
        super().__init__(optimization)
        self.features = features
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Makes the layers for images of any size. Raises ValueError for a table."""
        self.start(spec)
        channels, height, width = self.shape
        # The first layer must not see the pixel itself. Its inputs are shifted: three rows above, three pixels to the left.
        inputs = channels * (1 + EMBEDDING) + 1
        first = _Layer(inputs, self.features, taps=3, reach=3, dilation=1)
        others = [_Layer(self.features, self.features, taps=2, reach=1, dilation=d) for d in dilations(height, width)]
        self.layers = cast(Sequence[_Layer], nn.ModuleList([first, *others]))
        self.embeddings = nn.ParameterList([0.3 * torch.randn(self.levels, EMBEDDING) for _ in range(channels)])
        self.maps = nn.Parameter(0.1 * torch.randn(self.classes, height, width, MAPS))
        self.skip = nn.Linear(len(others) * self.features, self.features)  # of all layers but the last
        self.head = LevelsHead(self.features, channels, self.levels)
        nn.init.zeros_(self.head.out.weight)  # at first each pixel has the distribution of its histogram

    def logits(self, q: Tensor, y: Tensor) -> Tensor:
        """Logits of every number given the numbers before it, (N, D, L)."""
        return self._horizontal_stack(q, self._inputs_of_gates(q), self.maps[y])

    def logits_by_class(self, q: Tensor) -> Iterator[Tensor]:
        """The same for each class in turn, K of (N, D, L): the vertical stack and the first convolutions serve all of them."""
        inputs = self._inputs_of_gates(q)
        for s in self.maps:
            yield self._horizontal_stack(q, inputs, s)

    def stepwise_logits(self, y: Tensor) -> Generator[Tensor, Any, None]:
        """The same logits number by number, (N, L) each, from cached activations."""
        channels, height, width = self.shape
        blank = self.maps.new_zeros
        # Inputs of the first layer begin one row above and one pixel to the left of the image.
        rows = [layer.cache(blank(len(y), 1, width, layer.inputs)) for layer in self.layers]
        x = blank(len(y), 1, width, self.layers[0].inputs)
        for h in range(height):
            above = []
            v = x
            for layer, cache in zip(self.layers, rows):
                cache.append(v)
                across, v = layer.down(torch.cat(list(cache), 1))  # (N, 1, W, 2 F), (N, 1, W, F)
                above.append(across[:, 0] + layer.place(self.maps[:, h])[y])
            pixels = [layer.cache(blank(len(y), layer.inputs)) for layer in self.layers]
            row = []
            pixel = blank(len(y), self.layers[0].inputs)
            for w in range(width):
                right = pixel
                skips = []
                for layer, cache, across in zip(self.layers, pixels, above):
                    cache.append(right)
                    gated = layer.gate(layer.right(torch.cat(list(cache)[:: layer.dilation], 1)) + across[:, w])
                    right = layer.residual(gated) + (right if skips else 0)
                    skips.append(gated)
                context = right + self.skip(torch.cat(skips[:-1], 1))
                levels = torch.zeros(len(y), 0, dtype=torch.long, device=y.device)
                for c in range(channels):
                    q = yield self.head.channel(context, levels, c)
                    levels = torch.cat([levels, q[:, None]], 1)
                pixel = self._input(levels)
                row.append(pixel)
            x = torch.stack(row, 1)[:, None]  # W of (N, inputs) -> (N, 1, W, inputs)

    def _horizontal_stack(self, q, inputs, s):
        """Logits of levels q (N, D), from `_inputs_of_gates` and a map of the class (N, H, W, M) or (H, W, M)."""
        skips = []
        right = None
        for layer, z in zip(self.layers, inputs):
            z = z if right is None else layer.right(layer.left_of(right)) + z
            gated = self._drop_features(layer.gate(z + layer.place(s)))  # (N, H, W, F)
            right = layer.residual(gated) if right is None else layer.residual(gated) + right
            skips.append(gated)
        context = right + self.skip(torch.cat(skips[:-1], 3))
        q = q.view(-1, *self.shape[1:], self.channels)  # (N, D) -> (N, H, W, C)
        return self.head(context, q).flatten(1, 3)  # (N, H, W, C, L) -> (N, D, L)

    def _inputs_of_gates(self, q):
        """What the class has no part in, of levels q (N, D): inputs of each layer's horizontal gate, (N, H, W, 2 F) each.

        They come from the rows above, and in the first layer from the pixels to the left as well.
        """
        q = q.view(-1, *self.shape[1:], self.channels)  # (N, D) -> (N, H, W, C)
        v = F.pad(self._input(q), (0, 0, 0, 0, 1, -1))  # the row above
        inputs = []
        for layer in self.layers:
            across, v = layer.down(F.pad(v, (0, 0, 0, 0, layer.before, 0)))
            v = self._drop_features(v)
            inputs.append(across)
        first = self.layers[0]
        left = F.pad(self._input(q), (0, 0, 1, -1))  # the pixel to the left
        inputs[0] = first.right(first.left_of(left)) + inputs[0]
        return inputs

    def _input(self, q):
        """Of levels (.., C): values in [-1, 1], embeddings, and a 1 that marks them as inside of the image."""
        values = F.pad(q * (2 / (self.levels - 1)) - 1, (0, 1), value=1.0).to(self.maps.dtype)  # (.., C + 1)
        embedded = [F.embedding(q[..., c], table) for c, table in enumerate(self.embeddings)]  # C of (.., E)
        return torch.cat([values, *embedded], -1)

    def _drop_features(self, features):
        if not self.training:
            return features
        kept = torch.rand(len(features), 1, 1, features.shape[3], device=features.device) > self.dropout
        return features * (kept / (1 - self.dropout)).to(features.dtype)


class _Layer(nn.Module):
    """One layer of both stacks.

    Args:
        inputs: features per location.
        features: F.
        taps: rows and pixels that the kernels see, the last of them the location's own.
        reach: taps of the vertical kernel to either side.
        dilation: distance between taps.
    """

    def __init__(self, inputs, features, taps, reach, dilation):
        super().__init__()
        self.inputs = inputs
        self.dilation = dilation
        self.before = (taps - 1) * dilation
        self.vertical = nn.Conv2d(inputs, 2 * features, (taps, 2 * reach + 1), dilation=dilation, padding=(0, reach * dilation))
        self.right = nn.Linear(taps * inputs, 2 * features)
        self.across = nn.Linear(2 * features, 2 * features, bias=False)
        self.place = nn.Linear(MAPS, 2 * features, bias=False)
        self.residual = nn.Linear(features, features)

    def down(self, rows):
        """Of rows (N, before + H, W, inputs): the horizontal stack's input (N, H, W, 2 F), the next layer's (N, H, W, F)."""
        v = self.vertical(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (N, 2 F, H, W) -> (N, H, W, 2 F)
        return self.across(v), self.gate(v)

    def left_of(self, x):
        """Each pixel's taps side by side: (N, H, W, inputs) -> (N, H, W, taps inputs)."""
        width = x.shape[2]
        padded = F.pad(x, (0, 0, self.before, 0))
        return torch.cat([padded[:, :, start : start + width] for start in range(0, self.before + 1, self.dilation)], 3)

    def gate(self, z):
        """2 tanh(f / 2) sigmoid(g) of (.., 2 F): tanh(f / 2) = 2 sigmoid(f) - 1, as torch's own tanh takes six times as long."""
        f, g = z.sigmoid().chunk(2, -1)
        return (4 * f - 2) * g

    def cache(self, blank):
        """The last rows or pixels that the layer sees at once; at first all of them lie outside of the image."""
        return deque([blank] * (self.before + 1), maxlen=self.before + 1)


def dilations(height: int, width: int) -> list[int]:
    """1, 2, 4, .. up to a quarter of the longer side, twice.

    With the first layer's three, their sum is how far the last layer sees up and to the left.
    """
    cycle = [2**n for n in range(6) if n == 0 or 2**n <= max(height, width) / 4]
    return 2 * cycle
