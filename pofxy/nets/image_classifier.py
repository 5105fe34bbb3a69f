"""What the convolutional classifiers have in common: how they are trained, and what they look at."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.classifiers import LogitsClassifierMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.augment import augmented
from pofxy.training.trainer import Objective

PICTURED = 10


class ImageClassifier(LogitsClassifierMixin, nn.Module):
    """p(y | x) = softmax(net(x)), by maximum likelihood on images that are augmented as the data set allows.

    A model of this kind gives `layers(spec)`, the net from (B, C, H, W) to (B, K) logits.

    Args:
        translate, degrees, scale: of the augmentation, as in `augmented`.
        label_smoothing: share of the target that is spread over all classes.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a one-cycle schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(images_only=True)

    def __init__(
        self,
        translate: float,
        degrees: float,
        scale: float,
        label_smoothing: float,
        steps: int,
        batch: int,
        learning_rate: float,
        weight_decay: float,
    ):
        super().__init__()
        self.translate, self.degrees, self.scale, self.label_smoothing = translate, degrees, scale, label_smoothing
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def build(self, spec: DataSpec) -> None:
        """Makes the net. Raises ValueError for a table, or where a side is below 8 pixels."""
        if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
            raise ValueError(f"{spec.name}: {type(self).__name__} needs images of 8 x 8 pixels or more, not {spec.shape}")
        self.mirror = spec.mirrors
        self.net = self.layers(spec).to(memory_format=torch.channels_last)

    def fit(self, data: TrainingData, trainer) -> None:
        """Trains on the train split; keeps the parameters of the lowest loss on val."""
        self.build(data.spec)
        objective = Objective(
            self._loss, self.parameters(), self.learning_rate, schedule="one_cycle", weight_decay=self.weight_decay
        )
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def decision_function(self, x: Tensor) -> Tensor:
        """The logits, (N, K)."""
        return self.net(x)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Saliency maps (K. Simonyan, A. Vedaldi, A. Zisserman, ICLR workshop 2014): |d s_k / d x| for the label k it gives."""
        shown = x[:PICTURED].to(next(self.parameters()).device).detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.decision_function(shown).amax(1).sum(), shown)
        slope = slope.abs().amax(1, keepdim=True).expand_as(shown)  # (n, C, H, W), the same for each channel
        slope = slope / slope.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        caption = "Test images, and below them the pixels that its answer depends on most."
        return Visualization(torch.cat([shown.detach(), slope]).cpu(), columns=len(shown), caption=caption)

    def _loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        if self.training:
            x = augmented(x, self.translate, self.degrees, self.scale, self.mirror)
        logits = self.net(x).float()
        loss = F.cross_entropy(logits, y, label_smoothing=self.label_smoothing if self.training else 0.0)
        return {"loss": loss, "accuracy": (logits.argmax(1) == y).float().mean()}
