"""The VAE's training: pofxy's loop on one core against the loop of a PyTorch tutorial, with the same network and loss.

Per core, because a study trains one model on each: images per core-second that was used, whatever the clock says.
"""

import statistics

from figure import Figure, Measured
from project import Project

IMAGES = 10_000
LEVELS = 256
WARM_UP_STEPS = 10
# The plain loop's time on the clock with its default threads, by that with one: with cores to themselves, more are not slower.
DISTURBED = 1.25


def measure(project: Project, repeats: int = 5) -> Measured:
    """One epoch of each loop, in turn; the ratio is the median over the rounds."""
    import torch

    threads = torch.get_num_threads()
    loops = {"pofxy": (_own_loop(), 1), "plain": (_plain_loop(), threads), "plain, 1 thread": (_plain_loop(), 1)}
    data = _data()
    took = {name: [] for name in loops}
    for repeat in range(1 + repeats):
        for name, (trainer, its_threads) in loops.items():
            torch.set_num_threads(its_threads)
            found = _epoch(data, trainer, steps=None if repeat else WARM_UP_STEPS)
            took[name] += [found] if repeat else []
    torch.set_num_threads(threads)

    def median(name, quantity):
        return statistics.median(one[quantity] for one in took[name])

    def ratio(name):
        return statistics.median(own["per_core"] / other["per_core"] for own, other in zip(took["pofxy"], took[name]))

    # Threads that wait for one another spin: where one waits for a core that others use, the others burn seconds for nothing.
    slower = median("plain", "seconds") / median("plain, 1 thread", "seconds")
    disturbed = slower > DISTURBED
    figures = [
        Figure("pofxy, 1 thread", median("pofxy", "per_core"), "images/core-s"),
        Figure(f"plain loop, {threads} threads (torch's default)", median("plain", "per_core"), "images/core-s"),
        Figure("plain loop, 1 thread", median("plain, 1 thread", "per_core"), "images/core-s"),
        Figure(f"pofxy / plain loop, {threads} threads", ratio("plain"), at_least=None if disturbed else 2.5),
        Figure("pofxy / plain loop, 1 thread", ratio("plain, 1 thread")),
        Figure("an epoch of pofxy, on the clock", median("pofxy", "seconds"), "s"),
        Figure("an epoch of the plain loop, on the clock", median("plain", "seconds"), "s"),
    ]
    title = f"Training the VAE on {IMAGES:,} images of 28x28 pixels, {LEVELS} levels: medians of {repeats} epochs"
    busy = f"Not judged, the machine is busy: {threads} threads took the plain loop {slower:.1f} times as long as one."
    return Measured(title, figures, [busy] if disturbed else [], raw=took)


def _epoch(data, trainer, steps: int | None) -> dict[str, float]:
    """Fits a new VAE, as a job does; gives the seconds of the loop alone, and the images per core-second."""
    from pofxy import protocol
    from pofxy.models.generative.vae import VAE

    batch = 128
    steps = steps or IMAGES // batch
    protocol.seeded(0)
    VAE(steps=steps, batch=batch).fit(data, trainer)
    return {**trainer.took, "per_core": steps * batch / trainer.took["core_seconds"]}


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
    smooth = (2 * F.interpolate(coarse, size=28, mode="bilinear") - 1).clamp(0, 1)  # (N, 1, 28, 28)
    x = (smooth * (LEVELS - 1)).round() / (LEVELS - 1)
    y = torch.arange(IMAGES) % 10
    spec = protocol.Spec("made", (1, 28, 28), 10, LEVELS, tuple("0123456789"))
    return protocol.Data(spec, x, y, x[:128], y[:128])
