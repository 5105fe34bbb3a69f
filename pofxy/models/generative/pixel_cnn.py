"""Gated PixelCNN: pixels one after the other, each given all before it, by causal convolutions over the whole image at once.

    log p(x | y) = sum_d log p(x_d | x_1 .. x_d-1, y),        maximised; an exact mass over L-level images

Two stacks see the pixels before (figure 2): the vertical one all rows above, by kernels that reach up and to both sides; the
horizontal one the row so far, and at each layer what the vertical one found. Together they have no blind spot. Every layer is
gated, with a learned map s of each class over the locations of the image (eq. 5):

    tanh(W_f * x + V_f s_y) sigmoid(W_g * x + V_g s_y)      (but for factors 2, which the weights take up)

Kernels are causal by padding and not by masks, and dilated, so that few layers see the whole image. The class is told to the
horizontal stack alone: the vertical one is computed once for all classes by which Bayes' rule scores an image. Samples are drawn
from cached activations: a row of the vertical stack at a time, and a pixel of the horizontal one.

References: A. van den Oord et al., "Conditional image generation with PixelCNN decoders", NIPS 2016; the caches: P. Ramachandran
et al., "Fast generation for convolutional autoregressive models", ICLR workshop 2017; dilations: S. Reed et al., "Parallel
multiscale autoregressive density estimation", ICML 2017.
"""

from collections import deque

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.tags import Tags
from pofxy.nets.pixel_sequence import LevelsHead, PixelSequence

# M, the depth of a class's map: what it tells a location is turned into 2 F numbers by each layer.
MAPS = 32
# E, numbers that are learned for each level: two levels next to each other may tell the next pixel different things.
EMBEDDING = 8


class PixelCNN(PixelSequence):
    """Residuals and skip connections run along the horizontal stack.

    Args:
        features: F, of each stack.
        dropout: share of the gated features that are dropped, each in a whole image at once.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        features: int = 32,
        dropout: float = 0.15,
        steps: int = 900,
        batch: int = 32,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.5,
    ):
        super().__init__(steps, batch, learning_rate, weight_decay)
        self.features, self.dropout = features, dropout

    def build(self, spec):
        """Layers for images of any size. Raises ValueError for a table."""
        self.start(spec)
        channels, height, width = spec.shape
        # The pixel itself is hidden from the first layer, which sees it shifted: three rows above, three pixels to the left.
        inputs = channels * (1 + EMBEDDING) + 1
        first = _Layer(inputs, self.features, taps=3, reach=3, dilation=1)
        others = [_Layer(self.features, self.features, taps=2, reach=1, dilation=d) for d in dilations(height, width)]
        self.layers = nn.ModuleList([first, *others])
        self.embeddings = nn.ParameterList([0.3 * torch.randn(spec.levels, EMBEDDING) for _ in range(channels)])
        self.maps = nn.Parameter(0.1 * torch.randn(spec.classes, height, width, MAPS))
        self.skip = nn.Linear(len(others) * self.features, self.features)  # of all layers but the last
        self.head = LevelsHead(self.features, channels, spec.levels)
        nn.init.zeros_(self.head.out.weight)  # at first each pixel has the law of its histogram

    def logits(self, q, y):
        """Of levels q (N, D) and labels y (N,): (N, D, L)."""
        return self._logits(q, self._found_above(q), self.maps[y])

    def log_joint(self, x):
        """log p(x, y) in nats, (N, K): what the vertical stack finds is the same for every class."""
        found = []
        for q in self.levels_of(x).split(self.rows):
            above = self._found_above(q)
            found.append(torch.stack([self.log_mass(self._logits(q, above, s), q) for s in self.maps], 1))
        return self.log_prior + torch.cat(found)

    def walk(self, y):
        """Yields logits (N, L) of each number and is sent its levels (N,): the same as `logits`, from cached activations."""
        channels, height, width = self.shape
        blank = self.maps.new_zeros
        # What the first layer sees: one more row and one more pixel, those outside of the image, before the first.
        rows = [layer.cache(blank(len(y), 1, width, layer.inputs)) for layer in self.layers]
        x = blank(len(y), 1, width, self.layers[0].inputs)
        for h in range(height):
            above, v = [], x
            for layer, cache in zip(self.layers, rows):
                cache.append(v)
                found, v = layer.down(torch.cat(list(cache), 1))  # (N, 1, W, 2 F), (N, 1, W, F)
                above.append(found[:, 0] + layer.place(self.maps[y, h]))
            pixels = [layer.cache(blank(len(y), layer.inputs)) for layer in self.layers]
            row, pixel = [], blank(len(y), self.layers[0].inputs)
            for w in range(width):
                right, skips = pixel, []
                for layer, cache, found in zip(self.layers, pixels, above):
                    cache.append(right)
                    gated = layer.gate(layer.right(torch.cat(list(cache)[:: layer.dilation], 1)) + found[:, w])
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

    def _logits(self, q, above, s):
        """Of levels q (N, D), what the vertical stack found of them, and a map of the class (N, H, W, M) or (H, W, M)."""
        q = q.view(-1, *self.shape[1:], self.channels)  # (N, D) -> (N, H, W, C)
        right, skips = F.pad(self._input(q), (0, 0, 1, -1)), []  # the pixel to the left
        for layer, found in zip(self.layers, above):
            gated = self._dropped(layer.gate(layer.right(layer.left_of(right)) + found + layer.place(s)))  # (N, H, W, F)
            right = layer.residual(gated) + (right if skips else 0)
            skips.append(gated)
        context = right + self.skip(torch.cat(skips[:-1], 3))
        return self.head(context, q).flatten(1, 3)  # (N, H, W, C, L) -> (N, D, L)

    def _found_above(self, q):
        """What each layer of the vertical stack tells the horizontal one, (N, H, W, 2 F) each, of levels q (N, D)."""
        q = q.view(-1, *self.shape[1:], self.channels)
        v, above = F.pad(self._input(q), (0, 0, 0, 0, 1, -1)), []  # the row above
        for layer in self.layers:
            found, v = layer.down(F.pad(v, (0, 0, 0, 0, layer.before, 0)))
            v = self._dropped(v)
            above.append(found)
        return above

    def _input(self, q):
        """Of levels (.., C): numbers in [-1, 1], embeddings, and a 1 that tells them from the zeros outside of the image."""
        numbers = F.pad(q * (2 / (self.levels - 1)) - 1, (0, 1), value=1.0).to(self.maps.dtype)  # (.., C + 1)
        embedded = [F.embedding(q[..., c], table) for c, table in enumerate(self.embeddings)]  # C of (.., E)
        return torch.cat([numbers, *embedded], -1)

    def _dropped(self, features):
        if not self.training:
            return features
        kept = torch.rand(len(features), 1, 1, features.shape[3], device=features.device) > self.dropout
        return features * (kept / (1 - self.dropout)).to(features.dtype)


class _Layer(nn.Module):
    """One layer of both stacks: `taps` rows and pixels `dilation` apart, the last of them its own; `reach` taps to both sides."""

    def __init__(self, inputs, features, taps, reach, dilation):
        super().__init__()
        self.inputs, self.dilation, self.before = inputs, dilation, (taps - 1) * dilation
        self.vertical = nn.Conv2d(inputs, 2 * features, (taps, 2 * reach + 1), dilation=dilation, padding=(0, reach * dilation))
        self.right = nn.Linear(taps * inputs, 2 * features)
        self.across = nn.Linear(2 * features, 2 * features, bias=False)
        self.place = nn.Linear(MAPS, 2 * features, bias=False)
        self.residual = nn.Linear(features, features)

    def down(self, rows):
        """Of rows (N, before + H, W, inputs): what the other stack is told, (N, H, W, 2 F), and the next layer, (N, H, W, F)."""
        v = self.vertical(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (N, F, H, W) and back
        return self.across(v), self.gate(v)

    def left_of(self, x):
        """Each pixel's taps side by side: (N, H, W, inputs) -> (N, H, W, taps inputs)."""
        width, padded = x.shape[2], F.pad(x, (0, 0, self.before, 0))
        return torch.cat([padded[:, :, start : start + width] for start in range(0, self.before + 1, self.dilation)], 3)

    def gate(self, z):
        """2 tanh(f / 2) sigmoid(g) of (.., 2 F): tanh(f / 2) = 2 sigmoid(f) - 1, as torch's own tanh takes six times as long."""
        f, g = z.sigmoid().chunk(2, -1)
        return (4 * f - 2) * g

    def cache(self, blank):
        """The last rows or pixels that it sees at once, all of them outside of the image at first."""
        return deque([blank] * (self.before + 1), maxlen=self.before + 1)


def dilations(height, width):
    """1, 2, 4, .. up to a quarter of the longer side, and again from 1: the last layer sees that far up, and to the left."""
    cycle = [2**n for n in range(6) if n == 0 or 2**n <= max(height, width) / 4]
    return 2 * cycle
