"""AlexNet: five convolutions, the first with large filters, overlapping pooling, and fully connected layers with dropout.

    p(y | x) = softmax(MLP(pool(conv(conv(conv(pool(conv(pool(conv(x))))))))),      minimize   -sum_n log p(y_n | x_n)

Its win of the 2012 ImageNet challenge started the era of deep learning. ReLU speeds up training; dropout and augmentation reduce
overfitting. Pooling windows are 3 wide with stride 2, so they overlap. The first filters depend on the image's shorter side: they
are 5 wide at 8 pixels, 9 at 28, and the paper's 11 from 42 on; their stride is 1, and 2 from 64 on. The channels are the paper's
times `width`. Its local response normalization is left out: VGG's authors found that it does not help.

Reference: A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional neural networks", NIPS
2012; reprinted in Communications of the ACM 60(6), 2017. https://doi.org/10.1145/3065386
"""

from torch import nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Augmentation, Optimization
from pofxy.nets.image_classifier import ImageClassifier


class AlexNet(ImageClassifier):
    """The paper's five convolutions and three fully connected layers.

    Args:
        width: factor of the paper's 96, 256, 384, 384 and 256 channels and of its 4096 hidden units.
        dropout: share of the inputs of the first two fully connected layers that are dropped in training.
        label_smoothing: share of the target that is spread evenly over all classes.
        optimization: see Optimization; AdamW with a one-cycle schedule.
        augmentation: see Augmentation.
    """

    def __init__(
        self,
        width: float = 0.125,
        dropout: float = 0.5,
        label_smoothing: float = 0.0,
        optimization: Optimization = Optimization(steps=1500, batch=64, learning_rate=2e-3, weight_decay=0.05),
        augmentation: Augmentation = Augmentation(),
    ):
        super().__init__(label_smoothing, optimization, augmentation)
        self.width = width
        self.dropout = dropout

    def layers(self, spec: DataSpec) -> nn.Module:
        """(B, C, H, W) -> (B, K)."""
        channels, height, width = spec.shape
        side = min(height, width)
        kernel = min(11, 5 + 2 * (side // 14))
        stride = 1 + side // 64
        a, b, c, d, e, hidden = (max(1, round(self.width * size)) for size in (96, 256, 384, 384, 256, 4096))
        for step in (stride, 2, 2, 2):  # of the first convolution and of each pooling: they divide the sides, rounded up
            height = -(-height // step)
            width = -(-width // step)
        net = nn.Sequential(
            *(nn.Conv2d(channels, a, kernel, stride, padding=kernel // 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
            *(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
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
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        return net
