"""Galleries: what a model can do, as images to look at, beside the images that they are to be compared with. Tables have none."""

import torch
from torch import Tensor

from pofxy.base.capabilities import Model, SupportsDecode, SupportsReconstruct, SupportsSampleText
from pofxy.base.data import DataSpec
from pofxy.base.prediction import evaluation_mode, inference, predict_batched
from pofxy.evaluation.quantity import Gallery, NotApplicable, fixed_generator, quantity
from pofxy.storage.image_grid import color_signed

# Images in a row.
SHOWN = 10
N_DECODED = 50
# Wordings of a prompt that were trained on, and as many that were held out.
N_WORDINGS = 2
# Of the noise in the gallery of denoising.
SIGMA = 0.3
# In the gallery of copies, groups of a sample and its nearest train images side by side.
N_GROUPS = 3


@quantity(images_only=True, gallery="learned")
def visualization(model: Model, x_probe: Tensor, y_probe: Tensor) -> Gallery:
    """What the model learned, by its own method `picture`."""
    picture = getattr(model, "picture", None)
    if picture is None:
        raise NotApplicable("the model has no `picture`")
    with evaluation_mode(model):
        shown = picture(x_probe, y_probe)
    images = shown.images.detach().cpu()
    images = torch.from_numpy(color_signed(images)) if shown.signed else images
    return Gallery(images, shown.columns, shown.side, shown.caption)


@quantity(images_only=True, gallery="reconstructions")
def reconstruction_gallery(model: SupportsReconstruct, x: Tensor) -> Gallery:
    """Test images above their reconstructions."""
    images = x[:SHOWN]
    return Gallery(torch.cat([images, predict_batched(model, "reconstruct", images)]), columns=len(images))


@quantity(images_only=True, gallery="denoised")
def denoising_gallery(model: SupportsReconstruct, x: Tensor) -> Gallery:
    """Three rows: test images, the same with noise, and the reconstructions of these."""
    images = x[:SHOWN]
    noisy = (images + SIGMA * torch.randn(images.shape, generator=fixed_generator())).clamp(0, 1)
    return Gallery(torch.cat([images, noisy, predict_batched(model, "reconstruct", noisy)]), columns=len(images))


@quantity(images_only=True, gallery="decoded")
def decoded_gallery(model: SupportsDecode, latent_dim: int) -> Gallery:
    """What the decoder makes of standard normal noise."""
    noise = torch.randn(N_DECODED, latent_dim, generator=fixed_generator())
    return Gallery(predict_batched(model, "decode", noise), columns=10)


@quantity(images_only=True, gallery="inpaintings")
def inpainting_gallery(x: Tensor, inpainted: list[tuple[Tensor, Tensor]]) -> Gallery:
    """Test images; then two rows for each mask: with the hidden part in gray, and filled in."""
    images = x[:SHOWN]
    shown = [(known[: len(images)], filled[: len(images)]) for known, filled in inpainted]
    pairs = [torch.cat([torch.where(known, images, 0.5), filled]) for known, filled in shown]
    return Gallery(torch.cat([images, *pairs]), columns=len(images))


@quantity(images_only=True)
def prompts(model: SupportsSampleText, spec: DataSpec) -> list[list[str]]:
    """The prompts of the gallery: the first classes in wordings that were trained on, and in as many that were held out."""
    wordings = [model.captions(label) for label in range(min(spec.classes, SHOWN))]
    # The last ones: the first are bare names.
    return [[captions[kind][-1 - i] for captions in wordings] for kind in (0, 1) for i in range(N_WORDINGS)]


@quantity(images_only=True, gallery="prompts")
def prompt_gallery(model: SupportsSampleText, prompts: list[list[str]]) -> Gallery:
    """An image of each prompt, a row for each wording."""
    with inference(model):
        images = model.sample_text([prompt for row in prompts for prompt in row]).cpu()
    return Gallery(images, columns=len(prompts[0]))


@quantity(images_only=True, gallery="nearest")
def nearest_gallery(unseen_train: Tensor, nearest_train: tuple[Tensor, Tensor], sample_pixels: Tensor) -> Gallery:
    """Each row: groups of a sample and the three train images nearest to it, with white between the groups."""
    shown = min(SHOWN, len(sample_pixels) // N_GROUPS) * N_GROUPS
    neighbors = unseen_train[nearest_train[1][:shown]]  # (n, 3, C, H, W)
    samples = sample_pixels[:shown, None]
    tiles = torch.cat([samples, neighbors, torch.ones_like(samples)], 1)  # (n, 5, C, H, W)
    rows = tiles.unflatten(0, (-1, N_GROUPS)).flatten(1, 2)[:, :-1]  # (rows, 14, C, H, W): no white at the end of a row
    return Gallery(rows.flatten(0, 1), columns=rows.shape[1])
