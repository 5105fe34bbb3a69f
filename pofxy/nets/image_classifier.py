"""The base of the convolutional classifiers: training with augmentation, and saliency maps."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pofxy.base.classifiers import LogitsClassifierMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Augmentation, Optimization
from pofxy.base.prediction import device_of
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.augment import augment
from pofxy.nets.classification import classification_loss, fit_classifier
from pofxy.training.trainer import Trainer

MAX_IMAGES_SHOWN = 10


class ImageClassifier(LogitsClassifierMixin, nn.Module):
    """p(y | x) = softmax(net(x)), trained by maximum likelihood on augmented images.

    A subclass has the method `layers(spec)`, which makes the net from (B, C, H, W) to (B, K) logits. Images are also mirrored at
    random where the data set allows it.

    Args:
        label_smoothing: share of the target that is spread evenly over all classes.
        optimization: see Optimization; AdamW with a one-cycle schedule.
        augmentation: see Augmentation.
    """

    tags = Tags(images_only=True, trained_in_steps=True)

    layers: Callable[[DataSpec], nn.Module]

    def __init__(self, label_smoothing: float, optimization: Optimization, augmentation: Augmentation):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.optimization = optimization
        self.augmentation = augmentation

    def build(self, spec: DataSpec) -> None:
        """Makes the net. Raises ValueError for a table, or where a side is below 8 pixels."""
        if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
            raise ValueError(f"{spec.name}: {type(self).__name__} needs images of 8 x 8 pixels or more, not {spec.shape}")
        self.mirror = spec.mirrors
        net = self.layers(spec)
        # torch's overloads of `to` omit the documented call with a memory format alone.
        self.net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split by maximum likelihood."""
        self.build(data.spec)
        fit_classifier(self, self._loss, data, trainer, self.optimization)

    def decision_function(self, x: Tensor) -> Tensor:
        """x -> the logits, (N, K)."""
        return self.net(x)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Saliency maps |d s_k / d x| for the predicted label k.

        Source: K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks", ICLR workshop 2014.
        https://arxiv.org/abs/1312.6034
        """
        shown = x[:MAX_IMAGES_SHOWN].to(device_of(self)).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.decision_function(shown).amax(1).sum(), shown)
        saliency = gradient.abs().amax(1, keepdim=True).expand_as(shown)  # (n, C, H, W), the same for each channel
        saliency = saliency / saliency.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        caption = "Test images, and below them saliency maps: bright pixels influence the predicted label's score most."
        return Visualization(torch.cat([shown.detach(), saliency]).cpu(), columns=len(shown), caption=caption)

    def _loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        if self.training:
            x = augment(x, self.augmentation, self.mirror)
        return classification_loss(self.net(x), y, self.label_smoothing if self.training else 0.0)
