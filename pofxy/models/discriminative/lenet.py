"""LeNet: two convolutions with pooling, then three fully connected layers.

    p(y | x) = softmax(MLP(pool(conv(pool(conv(x)))))),      minimize   -sum_n log p(y_n | x_n)

Convolutions share their weights: a feature that is useful in one place is useful in another. Pooling makes its exact position
matter less with each layer. ReLU and max pooling replace the paper's tanh and mean pooling. Small random affine transformations
and dropout make up for training sets smaller than the paper's.

Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
the IEEE 86(11), 1998. https://doi.org/10.1109/5.726791
"""

from torch import nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Augmentation, Optimization
from pofxy.nets.image_classifier import ImageClassifier


class LeNet(ImageClassifier):
    """LeNet-5 with `width` times its channels.

    Args:
        width: factor of the paper's 6 and 16 channels.
        dropout: share of the inputs of the first fully connected layer that are dropped in training.
        label_smoothing: share of the target that is spread evenly over all classes.
        optimization: see Optimization; AdamW with a one-cycle schedule.
        augmentation: see Augmentation.
    """

    def __init__(
        self,
        width: int = 3,
        dropout: float = 0.3,
        label_smoothing: float = 0.0,
        optimization: Optimization = Optimization(steps=1500, batch=64, learning_rate=3e-3, weight_decay=0.01),
        augmentation: Augmentation = Augmentation(),
    ):
        super().__init__(label_smoothing, optimization, augmentation)
        self.width = width
        self.dropout = dropout

    def layers(self, spec: DataSpec) -> nn.Module:
        """(B, C, H, W) -> (B, K)."""
        channels, height, width = spec.shape
        first = 6 * self.width
        second = 16 * self.width
        return nn.Sequential(
            nn.Conv2d(channels, first, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),  # (B, second, H // 4, W // 4) -> (B, second (H // 4) (W // 4))
            nn.Dropout(self.dropout),
            nn.Linear(second * (height // 4) * (width // 4), 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, spec.classes),
        )
