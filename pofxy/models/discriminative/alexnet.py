"""AlexNet: large first filters, five convolutions with overlapping pooling, and dropout in the fully connected layers.

    p(y | x) = softmax(MLP(pool(conv(conv(conv(pool(conv(pool(conv(x))))))))),      minimise   -sum_n log p(y_n | x_n)

The net that made deep learning win: ReLU to train fast, dropout and augmentation not to learn by heart. Windows of pooling are 3
wide and 2 apart, so they overlap. Scaled by rule: the first filters take about a third of a small image (5 pixels of 8, 9 of 28)
and the paper's 11 from 64 on, where they are 2 apart; channels are the paper's times `width`. Its response normalisation, which
later work found to bring nothing (Simonyan, Zisserman, 2015), is left out.

Reference: A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional neural networks", NIPS
2012.
"""

from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.image_classifier import ImageClassifier


class AlexNet(ImageClassifier):
    """The paper's five convolutions and three fully connected layers.

    Args:
        width: multiplies the paper's 96, 256, 384, 384 and 256 channels and its 4096 hidden units.
        dropout: share of the hidden units that are dropped.
        translate: largest random move in training, as a share of the side.
        degrees: largest random turn, in degrees.
        scale: largest random change of scale, as a share.
        label_smoothing: share of the target that is spread over all classes.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a one-cycle schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(images_only=True, trained_in_steps=True)

    def __init__(
        self,
        width: float = 0.125,
        dropout: float = 0.5,
        translate: float = 0.08,
        degrees: float = 10.0,
        scale: float = 0.1,
        label_smoothing: float = 0.0,
        steps: int = 1500,
        batch: int = 64,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
    ):
        super().__init__(translate, degrees, scale, label_smoothing, steps, batch, learning_rate, weight_decay)
        self.width, self.dropout = width, dropout

    def layers(self, spec):
        """(B, C, H, W) -> (B, K)."""
        channels, height, width = spec.shape
        side = min(height, width)
        first, stride = min(11, 5 + 2 * (side // 14)), 1 + side // 64
        a, b, c, d, e, hidden = (max(1, round(self.width * size)) for size in (96, 256, 384, 384, 256, 4096))
        parts = [
            *(nn.Conv2d(channels, a, first, stride, padding=first // 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
            *(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
        ]
        for _ in range(2 + stride):
            height, width = -(-height // 2), -(-width // 2)  # each halves the sides, rounding up
        net = nn.Sequential(
            *parts,
            nn.Flatten(),  # (B, e, h, w) -> (B, e h w)
            nn.Dropout(self.dropout),
            nn.Linear(e * height * width, hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, spec.classes),
        )
        for layer in net:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        return net
