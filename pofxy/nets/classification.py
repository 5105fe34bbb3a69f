"""How a net that classifies is trained: by maximum likelihood, minimizing -sum_n log p(y_n | x_n) with AdamW."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.training.trainer import Trainer


def classification_loss(logits: Tensor, y: Tensor, label_smoothing: float = 0.0) -> dict[str, Tensor]:
    """Cross-entropy and accuracy of one batch.

    Args:
        logits: (B, K), of any floating-point type; the loss is computed in float32.
        y: (B,) labels.
        label_smoothing: share of the target that is spread evenly over all classes.

    Returns:
        "loss", mean nats per image, and "accuracy", the share of correct labels.
    """
    logits = logits.float()
    loss = F.cross_entropy(logits, y, label_smoothing=label_smoothing)
    return {"loss": loss, "accuracy": (logits.argmax(1) == y).float().mean()}


def fit_classifier(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], dict[str, Tensor]],
    data: TrainingData,
    trainer: Trainer,
    optimization: Optimization,
) -> None:
    """Trains on the train split with a one-cycle schedule; the model keeps its parameters with the lowest validation loss.

    Args:
        model: already built.
        loss: (x, y) of one batch -> its "loss", which is minimized, and other scalars to record.
        data: train and validation split.
        trainer: the training loop.
        optimization: steps, batch size, highest learning rate and weight decay.
    """
    trainer.minimize(model, data, loss, optimization, schedule="one_cycle", validate=loss, bfloat16=True)
