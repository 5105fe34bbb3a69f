"""ResNet: blocks with skip connections, each of which learns what to add to its input.

    block(h) = relu(h + bn(conv(relu(bn(conv(h)))))),     p(y | x) = softmax(W mean_ij block_B(.. block_1(relu(bn(conv(x)))))),
    minimize -sum_n log p(y_n | x_n)

The skip connection carries gradients past every block, so a deep net trains as easily as a shallow one. Batch normalization (bn)
keeps the inputs of each layer in range. The design is the one for small images in section 4.2 of the paper: a 3 x 3 convolution,
three stages with 1, 2 and 4 times the channels, half the resolution from stage to stage, global average pooling, and one linear
layer.

Reference: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
https://arxiv.org/abs/1512.03385
"""

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Augmentation, Optimization
from pofxy.nets.image_classifier import ImageClassifier


class ResNet(ImageClassifier):
    """A net of 6 n + 2 layers, where each of three stages has n blocks.

    Args:
        width: channels of the first stage (the paper's: 16).
        blocks: blocks of each stage, n.
        label_smoothing: share of the target that is spread evenly over all classes.
        optimization: see Optimization; AdamW with a one-cycle schedule.
        augmentation: see Augmentation.
    """

    def __init__(
        self,
        width: int = 16,
        blocks: int = 1,
        label_smoothing: float = 0.05,
        optimization: Optimization = Optimization(steps=1000, batch=64, learning_rate=5e-3, weight_decay=0.02),
        augmentation: Augmentation = Augmentation(),
    ):
        super().__init__(label_smoothing, optimization, augmentation)
        self.width = width
        self.blocks = blocks

    def layers(self, spec: DataSpec) -> nn.Module:
        """(B, C, H, W) -> (B, K)."""
        channels = self.width
        parts = [nn.Conv2d(spec.shape[0], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        for stage in range(3):
            out_channels = self.width * 2**stage
            for block in range(self.blocks):
                parts.append(_ResidualBlock(channels, out_channels, stride=2 if stage and not block else 1))
                channels = out_channels
        # (B, 4 width, H / 4, W / 4) -> (B, 4 width) -> (B, K)
        return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, spec.classes))


class _ResidualBlock(nn.Module):
    """Two convolutions and a skip connection, which is a 1 x 1 convolution where the shape changes (the paper's option B)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        if stride == 1 and in_channels == out_channels:
            self.shortcut = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, h: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride), sides rounded up."""
        return torch.relu(self.shortcut(h) + self.residual(h))
