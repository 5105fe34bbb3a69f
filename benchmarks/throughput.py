"""The VAE's training: pofxy's loop on one core against the loop of a PyTorch tutorial, with the same network and loss.

Per core, because a study trains one model on each: images per core-second that was used, whatever the clock says.
"""

import statistics

from figure import Figure, Measured
from project import Project

IMAGES = 10_000
LEVELS = 256
WARM_UP_STEPS = 10


def measure(project: Project, repeats: int = 5) -> Measured:
    """One epoch of each loop, in turn; the ratio is the median over the pairs."""
    import torch

    threads = torch.get_num_threads()
    loops = {"ours": (_own_loop(), 1), "plain": (_plain_loop(), threads)}
    data = _data()
    took = {name: [] for name in loops}
    for repeat in range(1 + repeats):
        for name, (trainer, its_threads) in loops.items():
            torch.set_num_threads(its_threads)
            found = _epoch(data, trainer, steps=None if repeat else WARM_UP_STEPS)
            took[name] += [found] if repeat else []
    torch.set_num_threads(threads)

    per_core = {name: [one["images"] / one["core_seconds"] for one in runs] for name, runs in took.items()}
    epoch = {name: statistics.median(one["seconds"] for one in runs) for name, runs in took.items()}
    ratio = statistics.median(ours / plain for ours, plain in zip(per_core["ours"], per_core["plain"]))
    figures = [
        Figure("pofxy, 1 thread", statistics.median(per_core["ours"]), "images/core-s"),
        Figure(f"plain loop, {threads} threads", statistics.median(per_core["plain"]), "images/core-s"),
        Figure(f"ratio, median of {repeats} pairs", ratio, "", at_least=2.5),
        Figure("an epoch of pofxy, on the clock", epoch["ours"], "s"),
        Figure("an epoch of the plain loop, on the clock", epoch["plain"], "s"),
    ]
    title = f"Training the VAE on {IMAGES:,} images of 28x28 pixels, {LEVELS} levels"
    return Measured(title, figures, raw=took)


def _epoch(data, trainer, steps: int | None) -> dict[str, float]:
    """Fits a new VAE, as a job does; gives the images trained on, and the seconds of the loop alone."""
    from pofxy import protocol
    from pofxy.models.generative.vae import VAE

    batch = 128
    steps = steps or IMAGES // batch
    protocol.seeded(0)
    VAE(steps=steps, batch=batch).fit(data, trainer)
    return {"images": steps * batch, **trainer.took}


def _own_loop():
    from pofxy import cost
    from pofxy.training import Trainer

    class OwnLoop(Trainer):
        def run(self, *arguments, **options):
            with cost.stopwatch() as self.took:
                super().run(*arguments, **options)

    return OwnLoop(device="cpu")


def _plain_loop():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from pofxy import cost

    class PlainLoop:
        """Takes a trainer's place: the model hands it the same player, and with it the same loss."""

        def run(self, model, data, players, *, steps, batch, **options):
            (player,) = players
            with cost.stopwatch() as self.took:
                loader = DataLoader(TensorDataset(data.x, data.y), batch_size=batch, shuffle=True)
                optimiser = torch.optim.Adam(player.parameters, lr=player.learning_rate)
                for _, (x, y) in zip(range(steps), loader):
                    losses = player.loss(x, y)
                    optimiser.zero_grad()
                    losses["loss"].backward()
                    optimiser.step()

    return PlainLoop()


def _data():
    """Made images, as much grey and as much background as handwriting has; a val split of one batch."""
    import torch
    from torch.nn import functional as F

    from pofxy import protocol

    protocol.seeded(0)
    coarse = torch.rand(IMAGES, 1, 7, 7)
    smooth = (2 * F.interpolate(coarse, size=28, mode="bilinear") - 1).clamp(0, 1)     # (N, 1, 28, 28)
    x = (smooth * (LEVELS - 1)).round() / (LEVELS - 1)
    y = torch.arange(IMAGES) % 10
    spec = protocol.Spec("made", (1, 28, 28), 10, LEVELS, tuple("0123456789"))
    return protocol.Data(spec, x, y, x[:128], y[:128])
