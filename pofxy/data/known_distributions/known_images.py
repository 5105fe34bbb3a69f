"""Known images: 8 x 8 pixels of 17 grey levels, whose law is known to the last bit.

    p(x, y) = (1 - e) p(y) p(b | y) prod_d p(x_d | b_d)  +  e p(y) u(x)

b is a bitmap: a rectangle, the outline of one, or a cross, anywhere in the image; 492 there are. Pixels of the shape draw their
grey level from a bright band, the others from a dark one, and the bands do not overlap: b can be read off x. Classes share some
shapes (a 4 x 5 rectangle may be wide or square), so Bayes' rule errs, too.

Every other image, and none of these, has its part in a uniform law u of tiny weight e, for all classes alike: so log p(x) is
finite for whatever a model or a corruption makes. The two laws share no image, so that entropy and Bayes figures are sums over
bitmaps.
"""

import math

import numpy as np
import torch
from torch import Tensor

SIDE, LEVELS = 8, 17
# Mass of each grey level: 0..5 where the bitmap is 0, 9..16 where it is 1; 6, 7 and 8 are in neither band.
DARK = (0.30, 0.25, 0.20, 0.12, 0.08, 0.05)
BRIGHT = (0.02, 0.05, 0.10, 0.18, 0.25, 0.20, 0.12, 0.08)
MIDDLE = 7
CLASSES = {"wide": 0.3, "tall": 0.3, "square": 0.2, "hollow": 0.2}  # p(y)
# What a class draws, with its weight there: a form of so many rows and columns. Every place in the image is as likely.
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
    """A mass over images (1, 8, 8) of 17 levels.

    Args:
        noise: e, the weight of all images that are no shape; between 0 and 1.
    """

    likelihood = "mass"

    def __init__(self, noise: float = 1e-6):
        if not 0 < noise < 1:
            raise ValueError(f"known_images: noise {noise} must lie between 0 and 1")
        self.noise, self.prior = noise, np.array(list(CLASSES.values()))
        codes, self.bitmaps, self.joint = _bitmaps()  # (M,), (M, D) bool and (M, K): p(b, y)
        self._codes, self._log_joint = torch.from_numpy(codes), torch.from_numpy(self.joint).log()
        bands = np.zeros(LEVELS)
        bands[: len(DARK)], bands[-len(BRIGHT) :] = DARK, BRIGHT
        self._log_band = torch.from_numpy(bands).log()  # (L,); -inf between the bands
        of_shapes = sum(len(DARK) ** int((~bits).sum()) * len(BRIGHT) ** int(bits.sum()) for bits in self.bitmaps)
        self.log_others = math.log(LEVELS ** (SIDE * SIDE) - of_shapes)  # of how many images are no shape, in whole numbers

    def draw(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """x (n, 1, 8, 8) float32 and y (n,) int64."""
        drawn = generator.choice(self.joint.size, n, p=self.joint.ravel() / self.joint.sum())
        index, y = np.unravel_index(drawn, self.joint.shape)
        dark = generator.choice(len(DARK), (n, SIDE * SIDE), p=DARK)
        bright = generator.choice(np.arange(LEVELS)[-len(BRIGHT) :], (n, SIDE * SIDE), p=BRIGHT)
        q = np.where(self.bitmaps[index], bright, dark)  # (n, D)
        other = np.flatnonzero(generator.random(n) < self.noise)
        y[other] = generator.choice(len(self.prior), len(other), p=self.prior)
        while len(other):
            q[other] = generator.integers(LEVELS, size=(len(other), SIDE * SIDE))
            other = other[self._read(torch.from_numpy(q[other]))[1].numpy()]
        return (q / (LEVELS - 1)).astype(np.float32).reshape(n, 1, SIDE, SIDE), y

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K) float64, of x (N, 1, 8, 8); -inf for a class that never draws this shape."""
        q = (x.cpu().flatten(1) * (LEVELS - 1)).round().long()  # (N, D)
        index, listed = self._read(q)
        shape = math.log1p(-self.noise) + self._log_joint[index] + self._log_band[q].sum(1, keepdim=True)
        other = math.log(self.noise) - self.log_others + torch.from_numpy(self.prior).log()
        return torch.where(listed[:, None], shape, other)

    def truth(self) -> dict[str, float]:
        """The entropy of x and the figures of Bayes' rule, by enumeration of the bitmaps."""
        e, total = self.noise, self.joint.sum(1)  # (M,)
        bright = self.bitmaps.sum(1)
        pixels = (total * (bright * _entropy(BRIGHT) + (SIDE * SIDE - bright) * _entropy(DARK))).sum()
        return {
            "entropy": float(_entropy([e, 1 - e]) + (1 - e) * (_entropy(total) + pixels) + e * self.log_others),
            "bayes_accuracy": float((1 - e) * self.joint.max(1).sum() + e * self.prior.max()),
            "bayes_log_loss": float((1 - e) * (_entropy(self.joint.ravel()) - _entropy(total)) + e * _entropy(self.prior)),
        }

    def _read(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Of grey levels (N, D): the number of each image's bitmap in the list, and whether it is there at all."""
        code = ((q > MIDDLE).long() << torch.arange(SIDE * SIDE)).sum(1)
        index = torch.searchsorted(self._codes, code).clamp(max=len(self._codes) - 1)
        return index, (self._codes[index] == code) & self._log_band[q].isfinite().all(1)


def shapes(n: int, spec, generator: np.random.Generator) -> Tensor:
    """Images of these shapes for another data set, to which they are outliers.

    Args:
        n: how many.
        spec: of that data set: they get its `shape` (C, H, W), each pixel the nearest of the 8 x 8, and its `levels`.
        generator: NumPy's.

    Returns:
        (n, C, H, W) float32 in [0, 1], grey where C = 3.
    """
    channels, height, width = spec.shape
    x = torch.from_numpy(KnownImages().draw(n, generator)[0])  # (n, 1, 8, 8)
    x = x[:, :, torch.arange(height) * SIDE // height][..., torch.arange(width) * SIDE // width]  # (n, 1, H, W)
    return ((x * (spec.levels - 1)).round() / (spec.levels - 1)).repeat(1, channels, 1, 1)


def _bitmaps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every bitmap once: codes (M,) int64, sorted, whose bits are the pixels; the pixels (M, D) bool; p(b, y) (M, K)."""
    found: dict[bytes, np.ndarray] = {}
    for k, name in enumerate(CLASSES):
        for (form, height, width), weight in SHAPES[name].items():
            places = [(top, left) for top in range(SIDE + 1 - height) for left in range(SIDE + 1 - width)]
            for top, left in places:
                bitmap = np.zeros((SIDE, SIDE), bool)
                bitmap[top : top + height, left : left + width] = _form(form, height, width)
                mass = found.setdefault(bitmap.tobytes(), np.zeros(len(CLASSES)))
                mass[k] += CLASSES[name] * weight / sum(SHAPES[name].values()) / len(places)
    bitmaps = np.stack([np.frombuffer(pixels, bool) for pixels in found])  # (M, D)
    codes = np.packbits(bitmaps, axis=1, bitorder="little").view("<i8")[:, 0]
    order = codes.argsort()
    return codes[order], bitmaps[order], np.stack(list(found.values()))[order]


def _form(form: str, height: int, width: int) -> np.ndarray:
    """(height, width) bool."""
    row, column = np.indices((height, width))
    if form == "outline":
        return (row == 0) | (row == height - 1) | (column == 0) | (column == width - 1)
    return (row == height // 2) | (column == width // 2) if form == "cross" else np.ones((height, width), bool)


def _entropy(mass) -> float:
    mass = np.asarray(mass)
    return float(-(mass[mass > 0] * np.log(mass[mass > 0])).sum())
