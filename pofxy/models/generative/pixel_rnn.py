"""Pixel recurrent net, of the Row LSTM kind: row by row, an LSTM's state at a pixel from the states above it.

    (o, f, i, g) = K_ss * h_row-1 + K_is * x_row,    c_row = s(f) c_row-1 + s(i) tanh(g),    h_row = s(o) tanh(c_row)     (eq. 3)

Both convolutions run along the row; the second one is masked, so that a pixel sees nothing of itself or of what comes after it.
A row is computed all at once, and an image takes as many steps as it has rows, where an LSTM over the pixels takes one for each:
of the paper's nets the cheapest without a graphics card. Layers add to what they get, after a masked convolution of the image.
The class has a learned map over the image, which joins there.

Reference: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, "Pixel recurrent neural networks", ICML 2016, sections 3.1, 3.3-3.5.
"""

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.level_features import LevelFeatures
from pofxy.nets.pixel_sequence import LevelsHead, PixelSequence

# Of the masked convolution of the image: rows above, and columns to either side. As wide as the paper's, 7 x 7.
REACH = 3
# Pixels of a row that the input-to-state convolution sees: the pixel's own features and those to the left.
SPAN = 3
# Of the row above, that the state-to-state convolution sees, as in the paper.
STATES = 3


class PixelRNN(PixelSequence):
    """A stack of Row LSTMs.

    Args:
        width: F, features of a pixel between the layers, and of a layer's state.
        depth: layers.
        embedding: E, learned features of a grey level, beside its value.
        dropout: share of the features that are dropped on their way into a layer.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        width: int = 32,
        depth: int = 2,
        embedding: int = 3,
        dropout: float = 0.1,
        steps: int = 600,
        batch: int = 32,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.3,
    ):
        super().__init__(steps, batch, learning_rate, weight_decay)
        self.width, self.depth, self.embedding, self.dropout = width, depth, embedding, dropout

    def build(self, spec):
        """Layers for images of L levels."""
        self.start(spec)
        channels, height, width = spec.shape
        told = channels * (1 + self.embedding)
        self.level = LevelFeatures(self.levels, self.embedding)
        self.above = nn.Conv2d(told, self.width, (REACH, 2 * REACH + 1))
        self.left = nn.Linear(REACH * told, self.width)
        self.place = nn.Parameter(torch.zeros(self.classes, height, width, self.width))
        self.layers = nn.ModuleList([_RowLSTM(self.width, self.dropout) for _ in range(self.depth)])
        self.head = LevelsHead(self.width, channels, self.levels)

    def logits(self, q, y):
        """Of every number from the numbers before it, (N, D, L)."""
        channels, height, width = self.shape
        q = q.view(len(q), height, width, channels)  # (N, D) -> (N, H, W, C)
        told = F.pad(self.level(q).flatten(3), (0, 0, REACH, REACH, REACH, 0))  # (N, R + H, R + W + R, C (1 + E))
        h = self._from_above(told[:, :-1]) + self.left(_windows(told[:, REACH:, : -REACH - 1], REACH)) + self.place[y]
        for layer in self.layers:
            h = h + layer(h)
        return self.head(h, q).flatten(1, 3)  # (N, H, W, C, L) -> (N, D, L)

    def walk(self, y):
        """The same number by number."""
        channels, height, width = self.shape
        told = torch.zeros(len(y), REACH + height, REACH + width + REACH, self.above.in_channels, device=y.device)
        kept = [layer.begin(len(y), width, y.device) for layer in self.layers]
        for row in range(height):
            above = self._from_above(told[:, row : row + REACH])[:, 0] + self.place[y, row]  # (N, W, F)
            for column in range(width):
                h = above[:, column] + self.left(_windows(told[:, REACH + row, column : column + REACH], REACH))[:, 0]
                for layer, state in zip(self.layers, kept):
                    h = h + layer.next(h, state, column)
                q = torch.zeros(len(y), channels, dtype=torch.long, device=y.device)
                for c in range(channels):
                    q[:, c] = yield self.head.channel(h, q, c)
                told[:, REACH + row, REACH + column] = self.level(q).flatten(1)

    def _from_above(self, told):
        """What each pixel is told by the rows above it, (N, R - 1 + rows, R + W + R, ..) -> (N, rows, W, F)."""
        return self.above(told.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _RowLSTM(nn.Module):
    """One layer; rows are (N, W, F)."""

    def __init__(self, width, dropout):
        super().__init__()
        self.width, self.dropped = width, Dropout(dropout)
        self.from_input = nn.Linear(SPAN * width, 4 * width)
        self.from_state = nn.Linear(STATES * width, 4 * width, bias=False)

    def forward(self, x):
        """All rows, (N, H, W, F) -> the same."""
        given = self.from_input(_windows(F.pad(self.dropped(x), (0, 0, SPAN - 1, 0)), SPAN))  # (N, H, W, 4 F)
        h = c = torch.zeros_like(x[:, 0])
        rows = []
        for row in given.unbind(1):
            h, c = _cell(row + self._above(h), c)
            rows.append(h)
        return torch.stack(rows, 1)

    def begin(self, n, width, device):
        """What `next` keeps, before the first row: the state, that of the row above and the one so far, and the row's inputs."""
        h, c = torch.zeros(2, n, width, self.width, device=device)
        return {"h": h, "c": c, "x": torch.zeros(n, SPAN - 1 + width, self.width, device=device)}

    def next(self, x, kept, column):
        """The next pixel of a row, (N, F) -> (N, F)."""
        if column == 0:
            kept["above"] = self._above(kept["h"])  # (N, W, 4 F)
        kept["x"][:, SPAN - 1 + column] = x
        given = self.from_input(_windows(kept["x"][:, column : column + SPAN], SPAN))[:, 0]
        kept["h"][:, column], kept["c"][:, column] = _cell(given + kept["above"][:, column], kept["c"][:, column])
        return kept["h"][:, column].clone()

    def _above(self, h):
        return self.from_state(_windows(F.pad(h, (0, 0, STATES // 2, STATES // 2)), STATES))


def _cell(gates, c):
    """State and cell from gates (.., 4 F) and the cell of the row above (.., F)."""
    o, f, i, g = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _windows(x, size):
    """Each `size` features side by side, as one: (.., W, F) -> (.., W - size + 1, F size)."""
    return x.unfold(-2, size, 1).flatten(-2)
