"""Inception-v3: the standard feature net of published Fréchet distances, with weights that the config names.

    f(x) = the 2,048 activations after the last pooling, of x enlarged to 299 x 299 pixels

Published values are comparable only where the weights, the resizing and the number of samples agree. These are torchvision's
weights (trained on ImageNet) and bilinear resizing, not the TensorFlow port of most papers. It is not used where the config
names no weights.

Reference: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception architecture for computer vision",
CVPR 2016. https://arxiv.org/abs/1512.00567
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.data.torchvision_compat import import_torchvision

SIDE = 299
# ImageNet's mean and standard deviation of each channel, with which the weights were trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class InceptionError(ValueError):
    """The weights cannot be loaded; the message names the file and the cause."""


class Inception(nn.Module):
    """Images (N, C, H, W) in [0, 1] to features (N, 2048).

    Args:
        weights: "download" for torchvision's own weights, or a file of them: .safetensors, or .pth as torchvision offers it.

    Raises:
        InceptionError: where the file does not exist or does not fit Inception-v3.
    """

    def __init__(self, weights: str):
        super().__init__()
        models = import_torchvision().models
        # init_weights would take a minute for random numbers that are overwritten at once.
        self.net = models.inception_v3(weights=None, init_weights=False, aux_logits=True)
        try:
            self.net.load_state_dict(_read(weights, models))
        except Exception as error:  # safetensors raises its own type, and unpickling can raise any
            cause = " ".join(str(error).split())[:200]
            raise InceptionError(f"inception: {weights}: not the weights of torchvision's inception_v3 ({cause})") from None
        self.net.fc = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.net.AuxLogits = None
        self.eval()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, 1 or 3, H, W) in [0, 1] -> the features, (N, 2048)."""
        x = x.expand(-1, 3, -1, -1)  # (N, 1 or 3, H, W) -> (N, 3, H, W)
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        mean = torch.tensor(MEAN, device=x.device).view(1, 3, 1, 1)
        std = torch.tensor(STD, device=x.device).view(1, 3, 1, 1)
        return self.net((x - mean) / std)


def _read(weights: str, models) -> dict[str, torch.Tensor]:
    if weights == "download":
        return models.Inception_V3_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    if not Path(weights).is_file():
        raise OSError("there is no such file")
    if Path(weights).suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(weights)
    # torchvision's own format: only tensors are loaded, so that nothing in the file is executed.
    return torch.load(weights, map_location="cpu", weights_only=True)
