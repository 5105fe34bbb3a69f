"""What the deterministic autoencoders share: fully connected encoder and decoder, and their training.

The model maps x to the latents z = f(x), and the latents to the reconstruction x^ = g(z).
"""

from collections.abc import Callable

from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.training.trainer import Loss, Trainer


class EncoderDecoder(nn.Module):
    """Images or rows of a table in [0, 1] to latents and back.

    The `build` of a model sets `shape`, the shape of one x, and the nets `encoder`, (N, D) -> (N, Z), and `decoder`,
    (N, Z) -> (N, D). Its `_loss` is minimized.

    Args:
        latent_dim: Z, dimension of the latent space.
        hidden: units of a hidden layer.
        optimization: steps, batch, learning rate and weight decay.
    """

    shape: tuple[int, ...]
    encoder: nn.Module
    decoder: nn.Module
    build: Callable[[DataSpec], None]
    _loss: Loss

    def __init__(self, latent_dim: int, hidden: int, optimization: Optimization):
        super().__init__()
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.optimization = optimization

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split; keeps the parameters of the lowest loss on the val split."""
        self.build(data.spec)
        trainer.minimize(self, data, self._loss, self.optimization, validate=self._loss, bfloat16=True)

    def encode(self, x: Tensor) -> Tensor:
        """f(x), (N, Z)."""
        return self.encoder(2 * x.flatten(1) - 1)

    def decode(self, z: Tensor) -> Tensor:
        """g(z), clamped to [0, 1], (N, C, H, W) or (N, D), of latents (N, Z)."""
        return self._decode_rows(z).clamp(0, 1).view(len(z), *self.shape)  # (N, D) -> (N, C, H, W)

    def reconstruct(self, x: Tensor) -> Tensor:
        """g(f(x)), clamped to [0, 1]."""
        return self.decode(self.encode(x))

    def _decode_rows(self, z):
        """g(z), not clamped, (N, D)."""
        return self.decoder(z).float() + 0.5  # at output 0, in the middle of the range
