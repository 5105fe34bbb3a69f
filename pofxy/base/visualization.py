"""What a model learned, as images for the report."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Visualization:
    """What a model's method `picture(x, y)` gives for test images x (N, C, H, W) and labels y (N,).

    Attributes:
        images: (n, C, H, W), in [0, 1], or of any size and sign where `signed`.
        columns: images in a row.
        caption: what they show, a sentence for the report.
        signed: whether values are shown in color, blue below 0 and red above.
        side: height of one image, in pixels of the report.
    """

    images: Tensor
    columns: int
    caption: str
    signed: bool = False
    side: int = 56
