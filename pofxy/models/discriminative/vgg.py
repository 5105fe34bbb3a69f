"""VGG: depth from nothing but stacks of 3 x 3 convolutions, with twice the channels after each pooling.

    p(y | x) = softmax(MLP(block_B(.. block_1(x)))),     block = pool(relu(conv3x3(relu(conv3x3 ..)))),
    minimise -sum_n log p(y_n | x_n)

Two 3 x 3 filters in a row see as far as one of 5 x 5, with fewer parameters and one more bend. Scaled by rule: as many blocks
as leave a map of at least 2 pixels a side, five at most as in the paper (2 at 8 pixels, 3 at 28, 5 at 64); two convolutions in
each of the first two blocks and three in the others, as in its configuration D (VGG-16).

Reference: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015; with the
initialisation of K. He et al., ICCV 2015, which spares its training in stages.
"""

from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.image_classifier import ImageClassifier


class VGG(ImageClassifier):
    """VGG-16 with `width` channels in the first block.

    Args:
        width: channels of the first block, doubled from block to block up to eight times as many; the paper's is 64.
        hidden: units of the two fully connected layers; the paper's is 4096.
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
        width: int = 16,
        hidden: int = 128,
        dropout: float = 0.3,
        translate: float = 0.08,
        degrees: float = 10.0,
        scale: float = 0.1,
        label_smoothing: float = 0.0,
        steps: int = 1000,
        batch: int = 64,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
    ):
        super().__init__(translate, degrees, scale, label_smoothing, steps, batch, learning_rate, weight_decay)
        self.width, self.hidden, self.dropout = width, hidden, dropout

    def layers(self, spec):
        """(B, C, H, W) -> (B, K)."""
        before, height, width = spec.shape
        parts = []
        for block in range(5):
            if min(height, width) < 4:
                break
            after = self.width * min(2**block, 8)
            for _ in range(2 if block < 2 else 3):
                parts += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
                before = after
            parts.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        net = nn.Sequential(
            *parts,
            nn.Flatten(),  # (B, channels, h, w) -> (B, channels h w)
            nn.Linear(before * height * width, self.hidden),
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
                nn.init.zeros_(layer.bias)
        return net
