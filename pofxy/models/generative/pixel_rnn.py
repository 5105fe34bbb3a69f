"""PixelRNN with Row LSTM layers: an LSTM runs down the image row by row; the state of a pixel depends on the states above it.

    (o, f, i, g) = K_ss * h_row-1 + K_is * x_row,    c_row = s(f) c_row-1 + s(i) tanh(g),    h_row = s(o) tanh(c_row)     (eq. 3)

Both convolutions run along the row. The input-to-state convolution K_is is masked, so that a pixel sees neither itself nor what
comes after it. A row is computed at once, so an image takes as many steps as it has rows, where an LSTM over the pixels takes one
for each pixel. This makes it the cheapest of the paper's nets without a graphics card. The layers have residual connections and
follow a masked convolution of the image. The class enters there, as a learned map over the image.

Reference: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, "Pixel recurrent neural networks", ICML 2016, sections 3.1, 3.3-3.5.
https://arxiv.org/abs/1601.06759
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.level_features import LevelFeatures
from pofxy.nets.pixel_sequence import LevelsHead, PixelSequence

# R, rows above and columns to either side that the masked convolution of the image sees: a 7 x 7 kernel, as in the paper.
REACH = 3
# Pixels of a row that the input-to-state convolution sees: the pixel's own features and those to the left.
INPUT_SPAN = 3
# Pixels of the row above that the state-to-state convolution sees, as in the paper.
STATE_SPAN = 3


class PixelRNN(PixelSequence):
    """A stack of Row LSTM layers.

    Args:
        width: F, features of a pixel between the layers, and of a layer's state.
        depth: layers.
        embedding: E, learned features of a gray level, beside its value.
        dropout: share of a layer's input features that are dropped.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True, inpainting_passes=0, passes_per_class=True)

    def __init__(
        self,
        width: int = 32,
        depth: int = 2,
        embedding: int = 3,
        dropout: float = 0.1,
        optimization: Optimization = Optimization(steps=600, batch=32, learning_rate=1e-2, weight_decay=0.3),
    ):
        super().__init__(optimization)
        self.width = width
        self.depth = depth
        self.embedding = embedding
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Makes the layers for images of L levels."""
        self.start(spec)
        channels, height, width = spec.shape
        inputs = channels * (1 + self.embedding)
        self.level = LevelFeatures(self.levels, self.embedding)
        self.above = nn.Conv2d(inputs, self.width, (REACH, 2 * REACH + 1))
        self.left = nn.Linear(REACH * inputs, self.width)
        self.place = nn.Parameter(torch.zeros(self.classes, height, width, self.width))
        layers = nn.ModuleList([_RowLSTM(self.width, self.dropout) for _ in range(self.depth)])
        self.layers = cast(Sequence[_RowLSTM], layers)
        self.head = LevelsHead(self.width, channels, self.levels)

    def logits(self, q: Tensor, y: Tensor) -> Tensor:
        """Logits of every number given the numbers before it, (N, D, L)."""
        return self._rows(q, self._masked_convolution(q), self.place[y])

    def logits_by_class(self, q: Tensor) -> Iterator[Tensor]:
        """The same for each class in turn, K of (N, D, L): the masked convolution of the image serves all of them."""
        h = self._masked_convolution(q)
        for place in self.place:
            yield self._rows(q, h, place)

    def stepwise_logits(self, y: Tensor) -> Generator[Tensor, Any, None]:
        """The same logits number by number, (N, L) each."""
        channels, height, width = self.shape
        inputs = torch.zeros(len(y), REACH + height, REACH + width + REACH, self.above.in_channels, device=y.device)
        caches = [layer.cache(len(y), width, y.device) for layer in self.layers]
        for row in range(height):
            above = self._from_above(inputs[:, row : row + REACH])[:, 0] + self.place[y, row]  # (N, W, F)
            for column in range(width):
                h = above[:, column] + self.left(_windows(inputs[:, REACH + row, column : column + REACH], REACH))[:, 0]
                for layer, cache in zip(self.layers, caches):
                    h = h + layer.next(h, cache, column)
                q = torch.zeros(len(y), channels, dtype=torch.long, device=y.device)
                for c in range(channels):
                    q[:, c] = yield self.head.channel(h, q, c)
                inputs[:, REACH + row, REACH + column] = self.level(q).flatten(1)

    def _masked_convolution(self, q):
        """Features of each pixel of levels q (N, D) from the pixels above it and to its left, (N, H, W, F)."""
        q = q.view(len(q), *self.shape[1:], self.channels)  # (N, D) -> (N, H, W, C)
        inputs = F.pad(self.level(q).flatten(3), (0, 0, REACH, REACH, REACH, 0))  # (N, R + H, R + W + R, C (1 + E))
        return self._from_above(inputs[:, :-1]) + self.left(_windows(inputs[:, REACH:, : -REACH - 1], REACH))

    def _rows(self, q, h, place):
        """Logits of levels q (N, D), from the convolution's features (N, H, W, F) and of the class, (N, H, W, F) or (H, W, F)."""
        h = h + place
        for layer in self.layers:
            h = h + layer(h)
        q = q.view(len(q), *self.shape[1:], self.channels)  # (N, D) -> (N, H, W, C)
        return self.head(h, q).flatten(1, 3)  # (N, H, W, C, L) -> (N, D, L)

    def _from_above(self, inputs):
        """Features of each pixel from the rows above it, (N, R - 1 + rows, R + W + R, ..) -> (N, rows, W, F)."""
        return self.above(inputs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _RowLSTM(nn.Module):
    """One layer; rows are (N, W, F)."""

    def __init__(self, width, dropout):
        super().__init__()
        self.width = width
        self.dropout = Dropout(dropout)
        self.from_input = nn.Linear(INPUT_SPAN * width, 4 * width)
        self.from_state = nn.Linear(STATE_SPAN * width, 4 * width, bias=False)

    def forward(self, x):
        """All rows, (N, H, W, F) -> the same shape."""
        gates = self.from_input(_windows(F.pad(self.dropout(x), (0, 0, INPUT_SPAN - 1, 0)), INPUT_SPAN))  # (N, H, W, 4 F)
        h = torch.zeros_like(x[:, 0])
        c = h
        rows = []
        for row in gates.unbind(1):
            h, c = _cell(row + self._from_row_above(h), c)
            rows.append(h)
        return torch.stack(rows, 1)  # H of (N, W, F) -> (N, H, W, F)

    def cache(self, n, width, device):
        """What `next` keeps, before the first row: states h and c, which it overwrites pixel by pixel, and the row's inputs x."""
        h, c = torch.zeros(2, n, width, self.width, device=device)
        return {"h": h, "c": c, "x": torch.zeros(n, INPUT_SPAN - 1 + width, self.width, device=device)}

    def next(self, x, cache, column):
        """The next pixel of a row, (N, F) -> (N, F)."""
        if column == 0:
            cache["above"] = self._from_row_above(cache["h"])  # (N, W, 4 F)
        cache["x"][:, INPUT_SPAN - 1 + column] = x
        gates = self.from_input(_windows(cache["x"][:, column : column + INPUT_SPAN], INPUT_SPAN))[:, 0]
        h, c = _cell(gates + cache["above"][:, column], cache["c"][:, column])
        cache["h"][:, column] = h
        cache["c"][:, column] = c
        return h

    def _from_row_above(self, h):
        return self.from_state(_windows(F.pad(h, (0, 0, STATE_SPAN // 2, STATE_SPAN // 2)), STATE_SPAN))


def _cell(gates, c):
    """State and cell from gates (.., 4 F) and the cell of the row above (.., F)."""
    o, f, i, g = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _windows(x, size):
    """The features of each `size` neighbors as one vector: (.., W, F) -> (.., W - size + 1, F size)."""
    return x.unfold(-2, size, 1).flatten(-2)
