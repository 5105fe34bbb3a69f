"""The standard feature net of published Fréchet distances: Inception-v3, with weights that the config names.

    f(x) = the 2,048 activations after the last pooling, of x enlarged to 299 x 299 pixels

Published values compare only where the weights, the resizing and the number of samples agree: these are torchvision's weights
(trained on ImageNet) and bilinear resizing, not the TensorFlow port of most papers. Off where the config names no weights.

Reference: C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.data.torchvision_compat import import_torchvision

SIDE = 299
# ImageNet's mean and standard deviation of each channel, which the weights were trained with.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class InceptionError(ValueError):
    """The weights cannot be had; the message names the file and the cause."""


class Inception(nn.Module):
    """Images (N, C, H, W) in [0, 1] to features (N, 2048).

    Args:
        weights: "download" for torchvision's own, or a file of them: .safetensors, or .pth as torchvision offers it.

    Raises:
        InceptionError: where the file is not there, or fits no Inception-v3.
    """

    def __init__(self, weights: str):
        super().__init__()
        models = import_torchvision().models
        # init_weights draws numbers that are overwritten at once, for a minute.
        self.net = models.inception_v3(weights=None, init_weights=False, aux_logits=True)
        try:
            self.net.load_state_dict(_read(weights, models))
        except Exception as error:  # safetensors raises a type of its own, and unpickling whatever it meets
            cause = " ".join(str(error).split())[:200]
            raise InceptionError(f"inception: {weights}: not the weights of torchvision's inception_v3 ({cause})") from None
        self.net.fc = nn.Identity()
        self.net.AuxLogits = None
        self.eval()

    def encode(self, x):
        """The features, (N, 2048)."""
        x = x.expand(-1, 3, -1, -1)  # (N, 1 or 3, H, W) -> (N, 3, H, W)
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(part, device=x.device).view(1, 3, 1, 1) for part in (MEAN, DEVIATION))
        return self.net((x - mean) / deviation)


def _read(weights: str, models) -> dict[str, torch.Tensor]:
    if weights == "download":
        return models.Inception_V3_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    if not Path(weights).is_file():
        raise OSError("there is no such file")
    if Path(weights).suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(weights)
    # torchvision's own format: read as tensors alone, so that nothing in it is executed.
    return torch.load(weights, map_location="cpu", weights_only=True)
