"""The same variational autoencoder (VAE) trained by pofxy's loop and by pythae's: test ELBO and core-seconds per epoch.

    python benchmarks/pythae_vae.py FOLDER [--epochs 10] [--repeats 3]        FOLDER: MNIST in IDX files

Both sides have pythae's default network (784-512-16-512-784, ReLU, Bernoulli means), its objective, Adam with a constant learning
rate, batches of 128, one thread, and the same images. pythae trains in float32; pofxy is measured in its own precision, bfloat16
where the hardware computes it, and in float32. One function computes the evidence lower bound (ELBO) of the test images for all.
The goal is for pofxy's own precision. pythae evaluates nothing during training. Where it is not installed: pip install --no-deps
--target DIR pythae, and PYTHONPATH=DIR.

Reference: C. Chadebec, L. J. Vincent, S. Allassonniere, "Pythae: unifying generative autoencoders in Python - a benchmarking use
case", NeurIPS 2022. https://arxiv.org/abs/2206.08309
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import logging
import statistics
import tempfile
import time
from pathlib import Path

import torch
from pythae.models import VAE as PythaeVAE
from pythae.models import VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn
from torch.nn import functional as F

import project  # noqa: F401 (first: it makes Python find the package of this checkout)
from pofxy.base.data import TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import spec, split
from pofxy.storage.models import load_spec
from pofxy.training.trainer import Objective, Trainer, supports_bfloat16

LATENT_DIM = 16
HIDDEN = 512
BATCH = 128
LEARNING_RATE = 1e-3
N_LATENT_SAMPLES = 16
MAX_ELBO_DIFFERENCE = 0.01
MIN_SPEEDUP = 2.5


class OurVAE(nn.Module):
    """pythae's default network under pofxy's loop.

    Args:
        dimensions: D, pixels of an image.
        bfloat16: whether to train in mixed precision; it has no effect where the hardware does not compute bfloat16.
    """

    def __init__(self, dimensions: int, bfloat16: bool):
        super().__init__()
        self.bfloat16 = bfloat16
        self.encoder = nn.Sequential(nn.Linear(dimensions, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT_DIM))
        self.decoder = nn.Sequential(nn.Linear(LATENT_DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dimensions))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), (N, Z) each."""
        return self.encoder(x.flatten(1)).float().chunk(2, dim=1)

    def loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The negative ELBO, in nats per image."""
        mean, log_variance = self.encode(x)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z).float(), x.flatten(1), reduction="sum") / len(x)
        return {"loss": distortion + kl(mean, log_variance).mean()}

    def fit(self, data: TrainingData, epochs: int) -> None:
        """Trains for a number of epochs; the last, smaller batch of each is left out."""
        objective = Objective(self.loss, self.parameters(), LEARNING_RATE, schedule="constant")
        steps = epochs * (len(data.x) // BATCH)
        Trainer(device="cpu").run(self, data, [objective], steps=steps, batch=BATCH, bfloat16=self.bfloat16)

    def decode(self, z: Tensor) -> Tensor:
        """Bernoulli means, (N, D)."""
        return self.decoder(z).sigmoid()


class TheirVAE:
    """pythae's model under pythae's loop."""

    def __init__(self, dimensions: int):
        self.dimensions = dimensions
        self.model = PythaeVAE(VAEConfig(input_dim=(dimensions,), latent_dim=LATENT_DIM, reconstruction_loss="bce"))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), (N, Z) each."""
        encoded = self.model.encoder(x.flatten(1))
        return encoded.embedding, encoded.log_covariance

    def fit(self, data: TrainingData, epochs: int) -> None:
        """Trains for a number of epochs."""
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=BATCH,
                learning_rate=LEARNING_RATE,
                no_cuda=True,
            )
            BaseTrainer(self.model, train_dataset=_Rows(data.x.flatten(1)), training_config=config).train()

    def decode(self, z: Tensor) -> Tensor:
        """Bernoulli means, (N, D)."""
        return self.model.decoder(z).reconstruction.flatten(1)


class _Rows(torch.utils.data.Dataset):
    """Rows (N, D) in pythae's format."""

    def __init__(self, x: Tensor):
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int):
        from pythae.data.datasets import DatasetOutput

        return DatasetOutput(data=self.x[index])


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) || N(0, I)) in nats, (N,)."""
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)


@torch.inference_mode()
def elbo(model: OurVAE | TheirVAE, x: Tensor) -> float:
    """The mean ELBO of images x (N, 1, H, W) in nats, estimated with N_LATENT_SAMPLES latents per image."""
    torch.manual_seed(0)
    total = 0.0
    for part in x.split(1000):
        mean, log_variance = model.encode(part)
        total -= float(kl(mean, log_variance).sum())
        for _ in range(N_LATENT_SAMPLES):
            means = model.decode(mean + (log_variance / 2).exp() * torch.randn_like(mean)).clamp(1e-7, 1 - 1e-7)
            total -= float(F.binary_cross_entropy(means, part.flatten(1), reduction="sum")) / N_LATENT_SAMPLES
    return total / len(x)


def read_mnist(folder: str) -> tuple[TrainingData, Tensor]:
    """The train and the val split, and the test images (N, 1, H, W) float32."""
    mnist = open_dataset("idx", {"path": folder}).read(Path(folder))
    parts = split(mnist)
    x = torch.from_numpy(mnist.x).float() / (mnist.levels - 1)
    y = torch.from_numpy(mnist.y)
    train = (x[parts["train"]], y[parts["train"]])
    val = (x[parts["val"]], y[parts["val"]])
    return TrainingData(load_spec(spec("mnist", mnist)), *train, *val), x[parts["test"]]


def main() -> int:
    """Trains both sides with several seeds; the exit status is 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="MNIST in IDX files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    data, test = read_mnist(arguments.folder)
    dimensions = data.x[0].numel()
    mixed = "bfloat16" if supports_bfloat16(torch.device("cpu")) else "float32 (no bfloat16 here)"
    sides = {
        ("pofxy", mixed): lambda: OurVAE(dimensions, bfloat16=True),
        ("pofxy", "float32"): lambda: OurVAE(dimensions, bfloat16=False),
        ("pythae", "float32"): lambda: TheirVAE(dimensions),
    }
    numbers = {side: [] for side in sides}
    for seed in range(arguments.repeats):
        for side, build in sides.items():  # in turn, so that a busy machine slows all
            seed_everything(seed)
            model = build()
            started = time.process_time()
            model.fit(data, arguments.epochs)
            seconds = (time.process_time() - started) / arguments.epochs
            numbers[side].append((elbo(model, test), seconds))
    medians = {side: [statistics.median(column) for column in zip(*rows)] for side, rows in numbers.items()}
    their_elbo, their_seconds = medians["pythae", "float32"]
    print(f"{len(data.x)} images, {arguments.epochs} epochs, {arguments.repeats} seeds, medians\n")
    print("| loop | precision | test ELBO, nats | to pythae | core-seconds per epoch | times as fast per core |")
    print("|---|---|---|---|---|---|")
    for (loop, precision), (own_elbo, own_seconds) in medians.items():
        difference = f"{100 * (own_elbo / their_elbo - 1):+.2f} %"
        speedup = their_seconds / own_seconds
        print(f"| {loop} | {precision} | {own_elbo:.2f} | {difference} | {own_seconds:.3f} | {speedup:.2f} |")
    our_elbo, our_seconds = medians["pofxy", mixed]
    difference = our_elbo / their_elbo - 1
    speedup = their_seconds / our_seconds
    print(f"\nGoals, in pofxy's own precision: ELBO within 1 % of pythae's, and {MIN_SPEEDUP} times as fast per core.")
    return 0 if abs(difference) <= MAX_ELBO_DIFFERENCE and speedup >= MIN_SPEEDUP else 1


if __name__ == "__main__":
    raise SystemExit(main())
