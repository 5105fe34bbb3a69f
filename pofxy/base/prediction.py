"""Calling a fitted model: in batches, on its device, without gradients and in evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pofxy.base.tags import tags_of


def predict_batched(model, verb: str, *rows: Tensor, batch: int = 512) -> Tensor:
    """A verb that maps rows to rows, on any number of rows, in batches, without gradients, on the model's device.

    Args:
        model: a fitted model.
        verb: a method that takes x, and perhaps more of as many rows, and gives one row for each.
        *rows: (N, ...) each, on the CPU.
        batch: rows at once.

    Returns:
        (N, ...) on the CPU.
    """
    device = device_of(model)
    batches = zip(*(part.split(batch) for part in rows), strict=True)
    with inference(model):
        return torch.cat([getattr(model, verb)(*(part.to(device) for part in parts)).cpu() for parts in batches])


def sample_batched(model, n: int, labels: Tensor | None = None, batch: int = 512) -> Tensor:
    """n samples in batches, (n, C, H, W) on the CPU; labels (n,) only where the model is conditional.

    A model that draws without replacement draws all of them at once: `at_once = True`.
    """
    batch = n if tags_of(model).samples_without_replacement else batch
    sizes = [min(batch, n - start) for start in range(0, n, batch)]
    parts = [None] * len(sizes) if labels is None else [part.to(device_of(model)) for part in labels.split(batch)]
    with inference(model):
        return torch.cat([model.sample(size, part).cpu() for size, part in zip(sizes, parts, strict=True)])


@contextmanager
def evaluation_mode(model) -> Iterator[None]:
    """A torch model in evaluation mode (no dropout, fixed normalisation); afterwards as before."""
    training = isinstance(model, torch.nn.Module) and model.training
    if training:
        model.eval()
    yield
    if training:
        model.train()


@contextmanager
def inference(model) -> Iterator[None]:
    """Evaluation mode and no gradients."""
    with evaluation_mode(model), torch.inference_mode():
        yield


def best_device() -> torch.device:
    """The accelerator that is there, else the CPU."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def device_of(model) -> torch.device:
    """Where the model's numbers lie; the CPU for a scikit-learn estimator."""
    if not isinstance(model, torch.nn.Module):
        return torch.device("cpu")
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
