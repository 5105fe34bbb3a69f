"""ResNet: blocks that learn what to add to their input, so that depth costs nothing where it is not needed.

    block(h) = relu(h + bn(conv(relu(bn(conv(h)))))),     p(y | x) = softmax(W mean_ij block_B(.. block_1(relu(bn(conv(x)))))),
    minimise -sum_n log p(y_n | x_n)

The identity carries gradients past every block; batch normalisation keeps each layer's input in range. The design for small
images of the paper's section 4.2: a 3 x 3 stem, three stages with 1, 2 and 4 times the channels, half the resolution from stage
to stage, the mean over all places, one linear layer.

Reference: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
"""

import torch
from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.image_classifier import ImageClassifier


class ResNet(ImageClassifier):
    """6 n + 2 layers, where each of three stages has n blocks.

    Args:
        width: channels of the first stage; the paper's is 16.
        blocks: n.
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
        blocks: int = 1,
        translate: float = 0.08,
        degrees: float = 10.0,
        scale: float = 0.1,
        label_smoothing: float = 0.05,
        steps: int = 1000,
        batch: int = 64,
        learning_rate: float = 5e-3,
        weight_decay: float = 0.02,
    ):
        super().__init__(translate, degrees, scale, label_smoothing, steps, batch, learning_rate, weight_decay)
        self.width, self.blocks = width, blocks

    def layers(self, spec):
        """(B, C, H, W) -> (B, K)."""
        before = self.width
        parts = [nn.Conv2d(spec.shape[0], before, 3, padding=1, bias=False), nn.BatchNorm2d(before), nn.ReLU()]
        for stage in range(3):
            after = self.width * 2**stage
            for block in range(self.blocks):
                parts.append(_Block(before, after, stride=2 if stage and not block else 1))
                before = after
        # (B, 4 width, H / 4, W / 4) -> (B, 4 width) -> (B, K)
        return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, spec.classes))


class _Block(nn.Module):
    """Two convolutions beside the identity; a 1 x 1 convolution takes its place where the shape changes (option B)."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        same = stride == 1 and before == after
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, h):
        return torch.relu(self.shortcut(h) + self.residual(h))
