"""The pictures that an evaluation leaves: what a model lets one see, beside the images that it is to be compared with."""

from pathlib import Path

import torch
from torch import Tensor

from pofxy.base.prediction import evaluation_mode, inference, predict_batched
from pofxy.evaluation.context import MAX_PROBE_IMAGES, EvaluationContext
from pofxy.evaluation.quantities import generator
from pofxy.evaluation.quantities._inpainting import filled_in
from pofxy.storage import files
from pofxy.storage.image_grid import color_signed, save_grid

SHOWN = 10
DECODED = 50
WORDINGS = 2
# Of the noise in denoised.png.
SIGMA = 0.3
# Groups of a sample and its nearest training images, side by side.
GROUPS, NEAREST = 3, 3


def draw(evidence: EvaluationContext, folder: Path) -> str:
    """Writes a picture for each of reconstruct, inpaint, decode and sample, and one of what was learned. Tables have none.

    reconstructions.png: test images above their reconstructions. denoised.png: test images, under noise, and as they come back.
    inpaintings.png: test images with a part hidden, above what was put there. decoded.png: what a decoder makes of normal noise.
    nearest.png: samples, each beside the three train images nearest to it. prompts.png: images of `prompts`, a row for each
    wording. learned.png: the model's own `picture`.

    Returns:
        The caption of learned.png; "" where there is none.
    """
    model, learned = evidence.model, None
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if len(evidence.spec.shape) != 3:
            return ""
        x = evidence.images[:SHOWN]
        if hasattr(model, "picture"):
            with evaluation_mode(model):
                learned = model.picture(evidence.images[:MAX_PROBE_IMAGES], evidence.labels[:MAX_PROBE_IMAGES])
            images = learned.images.detach().cpu()
            save_grid(
                temporary / "learned.png", color_signed(images) if learned.signed else images, learned.columns, learned.side
            )
        if hasattr(model, "reconstruct"):
            save_grid(temporary / "reconstructions.png", torch.cat([x, predict_batched(model, "reconstruct", x)]), columns=len(x))
            save_grid(temporary / "denoised.png", _denoised(model, x), columns=len(x))
        if hasattr(model, "decode"):
            save_grid(temporary / "decoded.png", _decoded(evidence))
        if hasattr(model, "inpaint"):
            save_grid(temporary / "inpaintings.png", _inpainted(model, x), columns=len(x))
        if hasattr(model, "sample_text"):
            asked = prompts(model, evidence.spec.classes)
            save_grid(temporary / "prompts.png", _prompted(model, asked), columns=len(asked[0]))
        if evidence.samples is not None:
            save_grid(temporary / "nearest.png", _nearest(evidence), columns=GROUPS * (2 + NEAREST) - 1)
    return learned.caption if learned is not None else ""


def _denoised(model, x: Tensor) -> Tensor:
    """Three rows: x (N, C, H, W), x under noise, and what comes back of it; (3 N, C, H, W)."""
    noisy = (x + SIGMA * torch.randn(x.shape, generator=generator())).clamp(0, 1)
    return torch.cat([x, noisy, predict_batched(model, "reconstruct", noisy)])


def _decoded(evidence: EvaluationContext) -> Tensor:
    """What the decoder makes of DECODED draws of normal noise, (DECODED, C, H, W)."""
    noise = torch.randn(DECODED, evidence.get("codes").shape[1], generator=generator())
    return predict_batched(evidence.model, "decode", noise)


def prompts(model, classes: int) -> list[list[str]]:
    """What is asked for: the first classes in WORDINGS wordings that were trained on, and in as many that were held out."""
    told = [model.captions(label) for label in range(min(classes, SHOWN))]
    # The last ones: the first are bare names.
    return [[captions[kind][-1 - i] for captions in told] for kind in (0, 1) for i in range(WORDINGS)]


def _prompted(model, rows: list[list[str]]) -> Tensor:
    """An image of each prompt, row by row, (rows * classes, C, H, W)."""
    with inference(model):
        return model.sample_text([prompt for row in rows for prompt in row]).cpu()


def _inpainted(model, x: Tensor) -> Tensor:
    """Two rows for each mask: x (N, C, H, W) with what is hidden in grey, and filled in; after one of x as it is."""
    pairs = [torch.cat([torch.where(known, x, 0.5), filled]) for known, filled in filled_in(model, x)]
    return torch.cat([x, *pairs])


def _nearest(evidence: EvaluationContext) -> Tensor:
    """Each row: GROUPS samples, each before the NEAREST train images that lie nearest to it, and white between the groups."""
    shown = min(SHOWN, len(evidence.samples) // GROUPS) * GROUPS
    neighbors = evidence.unseen[evidence.nearest_train[1][:shown]]  # (n, 3, C, H, W)
    samples = evidence.samples[:shown, None]
    tiles = torch.cat([samples, neighbors, torch.ones_like(samples)], 1)  # (n, 5, C, H, W)
    return tiles.unflatten(0, (-1, GROUPS)).flatten(1, 2)[:, :-1].flatten(0, 1)  # (rows, 14, C, H, W) -> (images, C, H, W)
