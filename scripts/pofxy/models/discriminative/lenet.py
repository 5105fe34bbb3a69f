"""LeNet: two convolutions with pooling, then three fully connected layers.

    p(y | x) = softmax(MLP(pool(conv(pool(conv(x)))))),      minimise   -sum_n log p(y_n | x_n)

What it knows of images: a feature that is useful in one place is useful in another, and where exactly it lies matters less and
less with each layer. ReLU and max pooling stand where the paper has tanh and mean pooling; a pixel of random shift and dropout
take the place of its larger data set.

Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
the IEEE, 1998.
"""

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.protocol import FromProbabilities
from pofxy.training import Player


class LeNet(FromProbabilities, nn.Module):
    """LeNet-5 with `width` times its channels.

    Args:
        width: multiplies the paper's 6 and 16 channels.
        shift: largest random shift in training, in pixels.
        dropout: share of the hidden units that are dropped.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a one-cycle schedule.
        weight_decay: of AdamW.
    """

    def __init__(
        self,
        width: int = 3,
        shift: int = 1,
        dropout: float = 0.3,
        steps: int = 1500,
        batch: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
    ):
        super().__init__()
        self.width, self.shift, self.dropout = width, shift, dropout
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def build(self, spec):
        """Layers for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
            raise ValueError(f"{spec.name}: LeNet needs images of 8 x 8 pixels or more, not {spec.shape}")
        channels, height, width = spec.shape
        a, b = 6 * self.width, 16 * self.width
        self.net = nn.Sequential(
            nn.Conv2d(channels, a, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(a, b, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),  # (N, b, H // 4, W // 4) -> (N, b H W / 16)
            nn.Dropout(self.dropout),
            nn.Linear(b * (height // 4) * (width // 4), 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, spec.classes),
        )

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the lowest loss on val."""
        self.build(data.spec)
        player = Player(self._loss, self.parameters(), self.learning_rate, schedule="one_cycle", weight_decay=self.weight_decay)
        trainer.run(self, data, [player], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def predict_proba(self, x):
        """p(y | x), (N, K)."""
        return self.net(x).softmax(1)

    def _loss(self, x, y):
        if self.training and self.shift:
            x = self._shifted(x)
        logits = self.net(x).float()
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}

    def _shifted(self, x):
        # One shift a batch: as good as one an image over many batches, and a slice instead of a gather.
        down, right = torch.randint(0, 2 * self.shift + 1, (2,)).tolist()
        padded = F.pad(x, [self.shift] * 4)
        return padded[..., down : down + x.shape[2], right : right + x.shape[3]]
