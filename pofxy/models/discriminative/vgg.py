"""VGG: a deep stack of 3 x 3 convolutions, with twice the channels after each pooling.

    p(y | x) = softmax(MLP(block_B(.. block_1(x)))),     block = pool(relu(conv3x3(relu(conv3x3 ..)))),
    minimize -sum_n log p(y_n | x_n)

Two stacked 3 x 3 filters have the receptive field of one of 5 x 5, with fewer parameters and one more nonlinearity. The depth
follows from the image: as many blocks as leave a feature map of at least 2 pixels a side, at most five as in the paper (2 at 8
pixels, 3 at 28, 5 at 64). The first two blocks have two convolutions each and the others three, as in the paper's configuration D
(VGG-16).

Reference: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
https://arxiv.org/abs/1409.1556. The paper trains shallower nets first to initialize deeper ones; this initialization makes that
unnecessary: K. He et al., "Delving deep into rectifiers", ICCV 2015. https://arxiv.org/abs/1502.01852
"""

from torch import nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Augmentation, Optimization
from pofxy.nets.image_classifier import ImageClassifier


class VGG(ImageClassifier):
    """VGG-16 with `width` channels in the first block.

    Args:
        width: channels of the first block (the paper's: 64), doubled from block to block up to eight times as many.
        hidden: units of each of the two hidden fully connected layers (the paper's: 4096).
        dropout: share of the hidden units that are dropped in training.
        label_smoothing: share of the target that is spread evenly over all classes.
        optimization: see Optimization; AdamW with a one-cycle schedule.
        augmentation: see Augmentation.
    """

    def __init__(
        self,
        width: int = 16,
        hidden: int = 128,
        dropout: float = 0.3,
        label_smoothing: float = 0.0,
        optimization: Optimization = Optimization(steps=1000, batch=64, learning_rate=2e-3, weight_decay=0.01),
        augmentation: Augmentation = Augmentation(),
    ):
        super().__init__(label_smoothing, optimization, augmentation)
        self.width = width
        self.hidden = hidden
        self.dropout = dropout

    def layers(self, spec: DataSpec) -> nn.Module:
        """(B, C, H, W) -> (B, K)."""
        channels, height, width = spec.shape
        blocks = []
        for block in range(5):
            if min(height, width) < 4:
                break
            out_channels = self.width * min(2**block, 8)
            for _ in range(2 if block < 2 else 3):
                blocks += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.ReLU()]
                channels = out_channels
            blocks.append(nn.MaxPool2d(2))
            height = height // 2
            width = width // 2
        net = nn.Sequential(
            *blocks,
            nn.Flatten(),  # (B, channels, h, w) -> (B, channels h w)
            nn.Linear(channels * height * width, self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, spec.classes),
        )
        for layer in net:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        return net
