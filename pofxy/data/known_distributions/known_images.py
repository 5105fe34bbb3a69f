"""Known images: 8 x 8 pixels of 17 gray levels, whose distribution is known exactly.

    p(x, y) = (1 - e) p(y) p(b | y) prod_d p(x_d | b_d)  +  e p(y) u(x)

b is a bitmap: a rectangle, the outline of a rectangle, or a cross, anywhere in the image. There are 492 bitmaps. Pixels of the
shape take their gray level from a bright band, all other pixels from a dark band. The bands do not overlap, so b can be read off
x. Classes share some shapes (a 4 x 5 rectangle may be wide or square), so even Bayes' rule makes errors.

u(x) is the uniform distribution over all other images, those that show no bitmap of the list. Its weight e is tiny and the same
for every class. It keeps log p(x) finite for whatever image a model or a corruption produces. The two components share no image,
so the entropy and the scores of Bayes' rule are exact sums over the bitmaps.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pofxy.base.data import DataSpec

SIDE = 8
LEVELS = 17
# Probability of each gray level: 0..5 where the bitmap is 0, 9..16 where it is 1; 6, 7 and 8 are in neither band.
DARK = (0.30, 0.25, 0.20, 0.12, 0.08, 0.05)
BRIGHT = (0.02, 0.05, 0.10, 0.18, 0.25, 0.20, 0.12, 0.08)
MIDDLE = 7
CLASSES = {"wide": 0.3, "tall": 0.3, "square": 0.2, "hollow": 0.2}  # p(y)
# Shapes of each class as (form, rows, columns), with their relative weights. All positions in the image are equally probable.
SHAPES = {
    "wide": {("full", 2, 4): 1, ("full", 2, 5): 2, ("full", 2, 6): 2, ("full", 3, 5): 2, ("full", 3, 6): 1, ("full", 4, 5): 1},
    "tall": {("full", 4, 2): 1, ("full", 5, 2): 2, ("full", 6, 2): 2, ("full", 5, 3): 2, ("full", 6, 3): 1, ("full", 5, 4): 1},
    "square": {
        ("full", 3, 3): 2,
        ("full", 4, 4): 2,
        ("full", 5, 5): 1,
        ("full", 4, 5): 1,
        ("full", 5, 4): 1,
        ("outline", 5, 5): 1,
    },
    "hollow": {
        ("outline", 4, 4): 2,
        ("outline", 4, 6): 1,
        ("outline", 6, 4): 1,
        ("outline", 5, 5): 2,
        ("cross", 3, 3): 1,
        ("cross", 5, 5): 2,
    },
}


class KnownImages:
    """A probability mass over images (1, 8, 8) of 17 gray levels.

    Args:
        noise: e, the weight of the images that show no bitmap of the list; between 0 and 1.

    Attributes:
        bitmaps: (M, D) bool, every bitmap once.
        joint: (M, K), p(b, y).
        prior: (K,), p(y).
        log_n_other_images: log of the number of images that show no bitmap of the list.

    Raises:
        ValueError: where `noise` is not between 0 and 1.
    """

    likelihood = "mass"

    def __init__(self, noise: float = 1e-6):
        if not 0 < noise < 1:
            raise ValueError(f"known_images: noise {noise} must lie between 0 and 1")
        self.noise = noise
        self.prior = np.array(list(CLASSES.values()))
        keys, self.bitmaps, self.joint = _bitmaps()
        self._keys = torch.from_numpy(keys)  # (M,), sorted
        self._log_joint = torch.from_numpy(self.joint).log()  # (M, K); -inf where a class never shows a bitmap
        bands = np.zeros(LEVELS)
        bands[: len(DARK)] = DARK
        bands[-len(BRIGHT) :] = BRIGHT
        self._log_band = torch.from_numpy(bands).log()  # (L,); -inf between the bands
        n_with_bitmap = sum(len(DARK) ** int((~bits).sum()) * len(BRIGHT) ** int(bits.sum()) for bits in self.bitmaps)
        # Python's integers are exact: 17^64 does not fit a float's 53 bits.
        self.log_n_other_images = math.log(LEVELS ** (SIDE * SIDE) - n_with_bitmap)

    def sample(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """n independent samples: x (n, 1, 8, 8) float32 in [0, 1] and y (n,) int64."""
        cell = generator.choice(self.joint.size, n, p=self.joint.ravel() / self.joint.sum())
        index, y = np.unravel_index(cell, self.joint.shape)
        dark = generator.choice(len(DARK), (n, SIDE * SIDE), p=DARK)
        bright = generator.choice(np.arange(LEVELS)[-len(BRIGHT) :], (n, SIDE * SIDE), p=BRIGHT)
        q = np.where(self.bitmaps[index], bright, dark)  # (n, D)
        other = np.flatnonzero(generator.random(n) < self.noise)
        y[other] = generator.choice(len(self.prior), len(other), p=self.prior)
        # Rejection sampling: a uniform image that shows a bitmap of the list is sampled again.
        while len(other):
            q[other] = generator.integers(LEVELS, size=(len(other), SIDE * SIDE))
            _, shows_bitmap = self._find_bitmap(torch.from_numpy(q[other]))
            other = other[shows_bitmap.numpy()]
        return (q / (LEVELS - 1)).astype(np.float32).reshape(n, 1, SIDE, SIDE), y

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K) float64, of x (N, 1, 8, 8); -inf for a class that never shows the bitmap of x."""
        q = (x.cpu().flatten(1) * (LEVELS - 1)).round().long()  # (N, D)
        index, shows_bitmap = self._find_bitmap(q)
        with_bitmap = math.log1p(-self.noise) + self._log_joint[index] + self._log_band[q].sum(1, keepdim=True)  # (N, K)
        other = math.log(self.noise) - self.log_n_other_images + torch.from_numpy(self.prior).log()  # (K,)
        return torch.where(shows_bitmap[:, None], with_bitmap, other)

    def ground_truth(self) -> dict[str, float]:
        """Entropy of x, accuracy and log loss of Bayes' rule, in nats, by enumeration of the bitmaps."""
        e = self.noise
        bitmap_mass = self.joint.sum(1)  # (M,)
        n_bright = self.bitmaps.sum(1)  # (M,)
        pixels = (bitmap_mass * (n_bright * _entropy(BRIGHT) + (SIDE * SIDE - n_bright) * _entropy(DARK))).sum()
        return {
            "entropy": float(_entropy([e, 1 - e]) + (1 - e) * (_entropy(bitmap_mass) + pixels) + e * self.log_n_other_images),
            "bayes_accuracy": float((1 - e) * self.joint.max(1).sum() + e * self.prior.max()),
            "bayes_log_loss": float((1 - e) * (_entropy(self.joint.ravel()) - _entropy(bitmap_mass)) + e * _entropy(self.prior)),
        }

    def _find_bitmap(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """For gray levels (N, D): the index of each image's bitmap in the list, (N,), and whether it is in it, (N,) bool."""
        key = ((q > MIDDLE).long() << torch.arange(SIDE * SIDE)).sum(1)
        index = torch.searchsorted(self._keys, key).clamp(max=len(self._keys) - 1)
        return index, (self._keys[index] == key) & self._log_band[q].isfinite().all(1)


def shapes(n: int, spec: DataSpec, generator: np.random.Generator) -> Tensor:
    """Images of these shapes in the format of another data set, for which they are out of distribution (OOD).

    Args:
        n: number of images.
        spec: of that data set. The images get its `shape` (C, H, W) by nearest-neighbor interpolation, and its `levels`.
        generator: NumPy's.

    Returns:
        (n, C, H, W) float32 in [0, 1]; all channels are equal.
    """
    channels, height, width = spec.shape
    assert spec.levels is not None
    x = torch.from_numpy(KnownImages().sample(n, generator)[0])  # (n, 1, 8, 8)
    x = x[:, :, torch.arange(height) * SIDE // height][..., torch.arange(width) * SIDE // width]  # (n, 1, H, W)
    return ((x * (spec.levels - 1)).round() / (spec.levels - 1)).repeat(1, channels, 1, 1)


def _bitmaps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every bitmap once, in the order of its key.

    Returns:
        keys (M,) int64, whose bits are the pixels; the pixels (M, D) bool; p(b, y) (M, K).
    """
    mass_by_bitmap: dict[bytes, np.ndarray] = {}
    for k, name in enumerate(CLASSES):
        for (form, height, width), weight in SHAPES[name].items():
            positions = [(top, left) for top in range(SIDE + 1 - height) for left in range(SIDE + 1 - width)]
            for top, left in positions:
                bitmap = np.zeros((SIDE, SIDE), bool)
                bitmap[top : top + height, left : left + width] = _form(form, height, width)
                mass = mass_by_bitmap.setdefault(bitmap.tobytes(), np.zeros(len(CLASSES)))
                mass[k] += CLASSES[name] * weight / sum(SHAPES[name].values()) / len(positions)
    bitmaps = np.stack([np.frombuffer(pixels, bool) for pixels in mass_by_bitmap])  # (M, D)
    keys = np.packbits(bitmaps, axis=1, bitorder="little").view("<i8")[:, 0]
    order = keys.argsort()
    return keys[order], bitmaps[order], np.stack(list(mass_by_bitmap.values()))[order]


def _form(form: str, height: int, width: int) -> np.ndarray:
    """The pixels of one shape, (height, width) bool."""
    row, column = np.indices((height, width))
    if form == "outline":
        return (row == 0) | (row == height - 1) | (column == 0) | (column == width - 1)
    if form == "cross":
        return (row == height // 2) | (column == width // 2)
    return np.ones((height, width), bool)


def _entropy(probabilities: Sequence[float] | np.ndarray) -> float:
    """-sum p log p in nats; a term with p = 0 is 0."""
    p = np.asarray(probabilities)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())
