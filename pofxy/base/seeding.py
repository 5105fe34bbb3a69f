"""The global random generators: seeded, saved and restored."""

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seeds every global random generator that a model may use."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict:
    """The state of every global generator, as tensors and plain numbers."""
    state: tuple = np.random.get_state(legacy=True)  # type: ignore[assignment]
    kind, words, position, has_gauss, gauss = state
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "accelerator": torch.get_device_module().get_rng_state() if torch.accelerator.is_available() else None,
        "numpy": [kind, torch.from_numpy(words.astype(np.int64)), position, has_gauss, gauss],
        "python": [version, torch.tensor(internal), gauss_next],
    }


def restore_random_state(state: dict) -> None:
    """Restores what random_state returned."""
    torch.set_rng_state(state["torch"])
    if state["accelerator"] is not None:
        torch.get_device_module().set_rng_state(state["accelerator"])
    kind, words, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss_next))
