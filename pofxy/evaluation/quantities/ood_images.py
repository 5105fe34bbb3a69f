"""Out-of-distribution (OOD) images: of the data's shape and gray levels, but not from its distribution."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pofxy.base.data import DataSpec
from pofxy.base.passes import MAX_PROBE_IMAGES
from pofxy.data.known_distributions.known_images import shapes
from pofxy.evaluation.quantity import fixed_generator, quantity


@quantity(images_only=True, kept=False)
def ood_images(x_probe: Tensor, levels: int, spec: DataSpec, other_images: dict[str, Tensor]) -> dict[str, Tensor]:
    """As many images of each kind, by its name, as x_probe (P, C, H, W) has.

    Uniform noise, negatives, images with shuffled pixels, and images of another data set: the one that the config names, else
    drawn shapes, or handwritten digits where the data are drawn shapes.

    Raises:
        ValueError: where the other data set's images are of another shape.
    """
    for name, images in other_images.items():
        if tuple(images.shape[1:]) != spec.shape:
            raise ValueError(f"ood_datasets: {name} has images {tuple(images.shape[1:])}, and {spec.name} has {spec.shape}")
    generator = fixed_generator()
    top = levels - 1
    n, channels, height, width = x_probe.shape
    order = torch.rand(n, 1, height * width, generator=generator).argsort(2).expand(n, channels, -1)
    made = {
        "noise": torch.randint(levels, x_probe.shape, generator=generator) / top,
        "inverted": 1 - x_probe,
        "shuffled pixels": x_probe.flatten(2).gather(2, order).view(x_probe.shape),  # (P, C, H W) -> (P, C, H, W)
    }
    others = other_images or _embedded(spec)
    return made | {name: (images[:n].clamp(0, 1) * top).round() / top for name, images in others.items()}


def _embedded(spec: DataSpec) -> dict[str, Tensor]:
    """Images of an embedded data set, in the shape of this one."""
    if (spec.distribution or {}).get("of") != "known_images":
        return {"known_images": shapes(MAX_PROBE_IMAGES, spec, np.random.default_rng(0))}
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = torch.from_numpy(digits.images[:MAX_PROBE_IMAGES, None]).float() / 16  # (P, 1, 8, 8), as known_images are
    return {"digits": images}
