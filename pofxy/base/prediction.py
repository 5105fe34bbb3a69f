"""Calling a fitted model: in batches, on its device, without gradients and in evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsSample
from pofxy.base.tags import tags_of


def predict_batched(model: object, capability: str, *rows: Tensor, batch: int = 512) -> Tensor:
    """Calls a capability that maps rows to rows: in batches, without gradients, on the model's device.

    Args:
        model: a fitted model.
        capability: name of a method that takes x, and perhaps more arguments with as many rows, and gives one row for each.
        *rows: (N, ...) each, on the CPU.
        batch: rows in one call.

    Returns:
        (N, ...) on the CPU.
    """
    device = device_of(model)
    method = getattr(model, capability)
    batches = zip(*(part.split(batch) for part in rows), strict=True)
    with inference(model):
        return torch.cat([method(*(part.to(device) for part in parts)).cpu() for parts in batches])


def sample_batched(model: SupportsSample, n: int, labels: Tensor | None = None, batch: int = 512) -> Tensor:
    """Samples of a fitted model in batches, without gradients.

    Args:
        model: with the capability `sample`. One with the tag `samples_without_replacement` gives all samples in one call.
        n: how many.
        labels: (n,), for a conditional model only.
        batch: samples in one call.

    Returns:
        (n, C, H, W) on the CPU.
    """
    batch = n if tags_of(model).samples_without_replacement else batch
    sizes = [min(batch, n - start) for start in range(0, n, batch)]
    parts = [None] * len(sizes) if labels is None else [part.to(device_of(model)) for part in labels.split(batch)]
    with inference(model):
        return torch.cat([model.sample(size, part).cpu() for size, part in zip(sizes, parts, strict=True)])


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """A torch model in evaluation mode (no dropout, fixed normalization); afterwards as before."""
    if not isinstance(model, torch.nn.Module) or not model.training:
        yield
        return
    model.eval()
    yield
    model.train()


@contextmanager
def inference(model: object) -> Iterator[None]:
    """Evaluation mode and no gradients."""
    with evaluation_mode(model), torch.inference_mode():
        yield


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def device_of(model: object) -> torch.device:
    """The device of the model's parameters; the CPU for a scikit-learn estimator."""
    if not isinstance(model, torch.nn.Module):
        return torch.device("cpu")
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
