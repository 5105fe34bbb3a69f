"""A sheet of images, without torch: what is drawn of arrays while the report is rendered."""

import io

import numpy as np
from PIL import Image

GAP, SIDE = 2, 56  # as in pictures.save_grid


def sheet(x: np.ndarray, columns: int) -> bytes:
    """PNG of images (N, C, H, W), in [0, 1] or uint8, row by row."""
    scale = max(1, round(SIDE / x.shape[2]))  # whole pixels are repeated: a viewer would blur them
    pixels = x if x.dtype == np.uint8 else np.rint(x.clip(0, 1) * 255).astype(np.uint8)
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    n, channels, height, width = pixels.shape
    whole = np.full((-(-n // columns) * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        whole[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(whole.squeeze(2) if channels == 1 else whole).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
