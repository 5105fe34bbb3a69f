"""LeNet: two convolutions with pooling, then three fully connected layers.

    p(y | x) = softmax(MLP(pool(conv(pool(conv(x)))))),      minimise   -sum_n log p(y_n | x_n)

What it knows of images: a feature that is useful in one place is useful in another, and where exactly it lies matters less and
less with each layer. ReLU and max pooling stand where the paper has tanh and mean pooling; small random moves and dropout take
the place of its larger data set.

Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
the IEEE, 1998.
"""

from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.image_classifier import ImageClassifier


class LeNet(ImageClassifier):
    """LeNet-5 with `width` times its channels.

    Args:
        width: multiplies the paper's 6 and 16 channels.
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
        width: int = 3,
        dropout: float = 0.3,
        translate: float = 0.08,
        degrees: float = 10.0,
        scale: float = 0.1,
        label_smoothing: float = 0.0,
        steps: int = 1500,
        batch: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
    ):
        super().__init__(translate, degrees, scale, label_smoothing, steps, batch, learning_rate, weight_decay)
        self.width, self.dropout = width, dropout

    def layers(self, spec):
        """(B, C, H, W) -> (B, K)."""
        channels, height, width = spec.shape
        a, b = 6 * self.width, 16 * self.width
        return nn.Sequential(
            nn.Conv2d(channels, a, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(a, b, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),  # (B, b, H // 4, W // 4) -> (B, b H W / 16)
            nn.Dropout(self.dropout),
            nn.Linear(b * (height // 4) * (width // 4), 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, spec.classes),
        )
