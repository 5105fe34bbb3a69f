"""The same VAE trained by pofxy's training loop and by pythae's: test ELBO and core-seconds per epoch.

    python benchmarks/pythae_vae.py FOLDER [--epochs 10] [--repeats 3]        FOLDER: MNIST in IDX files

Both sides have pythae's default network (784-512-16-512-784, ReLU, Bernoulli means), its objective, Adam at a constant learning
rate, batches of 128, one thread, and the same images; the ELBO of the test images is computed by one function for both. pythae
evaluates nothing on the way. Where it is not installed: pip install --no-deps --target DIR pythae, and PYTHONPATH=DIR.

Peer: C. Chadebec, L. Vincent, S. Allassonniere, "Pythae: unifying generative autoencoders in Python", NeurIPS 2022.
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
from torch import nn
from torch.nn import functional as F

import project  # noqa: F401 (puts this checkout's package first)
from pofxy.base.data import TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import spec, split
from pofxy.storage.models import load_spec
from pofxy.training.trainer import Objective, Trainer

CODES = 16
HIDDEN = 512
BATCH = 128
LEARNING_RATE = 1e-3
DRAWS = 16
ELBO_WITHIN = 0.01
TIMES_AS_FAST = 2.5


class OurVAE(nn.Module):
    """pythae's default network under pofxy's loop."""

    def __init__(self, dimensions: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dimensions, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * CODES))
        self.decoder = nn.Sequential(nn.Linear(CODES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dimensions))

    def encode(self, x):
        """Mean and log variance, (N, Z) each."""
        return self.encoder(x.flatten(1)).float().chunk(2, dim=1)

    def loss(self, x, y):
        """The negative ELBO, nats per image."""
        mean, log_variance = self.encode(x)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z).float(), x.flatten(1), reduction="sum") / len(x)
        return {"loss": distortion + kl(mean, log_variance).mean()}

    def fit(self, data, epochs):
        """So many epochs; the last, smaller batch of each is left out."""
        objective = Objective(self.loss, self.parameters(), LEARNING_RATE, schedule="constant")
        Trainer(device="cpu").run(self, data, [objective], steps=epochs * (len(data.x) // BATCH), batch=BATCH, bfloat16=True)

    def decode(self, z):
        """Bernoulli means, (N, D)."""
        return self.decoder(z).sigmoid()


class TheirVAE:
    """pythae's model under pythae's loop."""

    def __init__(self, dimensions: int):
        self.dimensions = dimensions
        self.model = PythaeVAE(VAEConfig(input_dim=(dimensions,), latent_dim=CODES, reconstruction_loss="bce"))

    def encode(self, x):
        """Mean and log variance, (N, Z) each."""
        found = self.model.encoder(x.flatten(1))
        return found.embedding, found.log_covariance

    def fit(self, data, epochs):
        """So many epochs."""
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=BATCH,
                learning_rate=LEARNING_RATE,
                no_cuda=True,
            )
            BaseTrainer(self.model, train_dataset=_Rows(data.x.flatten(1)), training_config=config).train()

    def decode(self, z):
        """Bernoulli means, (N, D)."""
        return self.model.decoder(z).reconstruction.flatten(1)


class _Rows(torch.utils.data.Dataset):
    """Rows as pythae takes them."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        from pythae.data.datasets import DatasetOutput

        return DatasetOutput(data=self.x[index])


def kl(mean, log_variance):
    """KL(q(z | x) || N(0, I)) in nats, (N,)."""
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)


@torch.inference_mode()
def elbo(model, x):
    """The mean ELBO of images x in nats, by DRAWS codes each."""
    torch.manual_seed(0)
    total = 0.0
    for part in x.split(1000):
        mean, log_variance = model.encode(part)
        total -= float(kl(mean, log_variance).sum())
        for _ in range(DRAWS):
            means = model.decode(mean + (log_variance / 2).exp() * torch.randn_like(mean)).clamp(1e-7, 1 - 1e-7)
            total -= float(F.binary_cross_entropy(means, part.flatten(1), reduction="sum")) / DRAWS
    return total / len(x)


def images(folder):
    """Train and test images of the folder, as float32, and their spec."""
    found = open_dataset("idx", {"path": folder}).read(Path(folder))
    parts = split(found)
    x = torch.from_numpy(found.x).float() / (found.levels - 1)
    y = torch.from_numpy(found.y)
    train = (x[parts["train"]], y[parts["train"]])
    val = (x[parts["val"]], y[parts["val"]])
    return TrainingData(load_spec(spec("mnist", found)), *train, *val), x[parts["test"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="MNIST in IDX files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    data, test = images(arguments.folder)
    dimensions = data.x[0].numel()
    reached = {OurVAE: [], TheirVAE: []}
    for seed in range(arguments.repeats):
        for side, numbers in reached.items():  # in turn, so that a busy hour is one for both
            seed_everything(seed)
            model = side(dimensions)
            started = time.process_time()
            model.fit(data, arguments.epochs)
            seconds = (time.process_time() - started) / arguments.epochs
            numbers.append((elbo(model, test), seconds))
    (our_elbo, our_seconds), (their_elbo, their_seconds) = (
        [statistics.median(column) for column in zip(*numbers)] for numbers in reached.values()
    )
    print(f"{len(data.x)} images, {arguments.epochs} epochs, {arguments.repeats} seeds, medians")
    print(f"pofxy   test ELBO {our_elbo:.2f} nats   {our_seconds:.3f} core-seconds per epoch")
    print(f"pythae  test ELBO {their_elbo:.2f} nats   {their_seconds:.3f} core-seconds per epoch")
    apart = our_elbo / their_elbo - 1
    faster = their_seconds / our_seconds
    print(f"ELBO {100 * apart:+.2f} % (goal within 1 %), {faster:.2f} times as fast per core (goal {TIMES_AS_FAST})")
    return 0 if abs(apart) <= ELBO_WITHIN and faster >= TIMES_AS_FAST else 1


if __name__ == "__main__":
    raise SystemExit(main())
