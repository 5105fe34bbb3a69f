"""The VAE's training: pofxy's loop on one core against the loop of a PyTorch tutorial, with the same network and loss.

Per core, because a study trains one model on each: images per core-second that was used, whatever the clock says.
"""

import json
import os
import statistics
import subprocess
import sys

from figure import Figure, ProbeResult

from project import Project

IMAGES = 10_000
# Side in pixels and grey levels: of the default study's digits, and of MNIST.
SIZES = {8: 17, 28: 256}
BATCH = 128
WARM_UP_STEPS = 10
# The plain loop's time on the clock with its default threads, by that with one: with cores to themselves, more are not slower.
DISTURBED = 1.25


def measure(project: Project, rounds: int = 5) -> ProbeResult:
    """One epoch of each loop in turn, each in a process of its own; the ratio is the median over the rounds."""
    alone = {"OMP_NUM_THREADS": "1"}
    loops = {"pofxy": ("own", alone), "plain": ("plain", {}), "plain, 1 thread": ("plain", alone)}
    figures, lines, raw = [], [], {}
    for side in SIZES:
        took = raw[side] = {name: [] for name in loops}
        for _ in range(rounds):
            for name, (loop, environment) in loops.items():
                took[name].append(_in_own_process(loop, side, environment))
        found, disturbed = _figures(side, took)
        figures += found
        lines += disturbed
    title = f"Training the VAE, images per core-second: medians of {rounds} epochs of {IMAGES:,} images"
    return ProbeResult(title, figures, lines, raw)


def _figures(side: int, took: dict[str, list]) -> tuple[list[Figure], list[str]]:
    def median(name, quantity):
        return statistics.median(one[quantity] for one in took[name])

    def ratio(name):
        return statistics.median(own["per_core"] / other["per_core"] for own, other in zip(took["pofxy"], took[name]))

    # Threads that wait for one another spin: where one waits for a core that others use, the others burn seconds for nothing.
    slower, threads = median("plain", "seconds") / median("plain, 1 thread", "seconds"), os.cpu_count()
    disturbed = slower > DISTURBED
    size = f"{side}x{side}:"
    figures = [
        Figure(f"{size} pofxy, 1 thread", median("pofxy", "per_core")),
        Figure(f"{size} plain loop, {threads} threads (the default)", median("plain", "per_core")),
        Figure(f"{size} plain loop, 1 thread", median("plain, 1 thread", "per_core")),
        Figure(f"{size} pofxy / plain loop, {threads} threads", ratio("plain"), at_least=None if disturbed else 2.5),
        Figure(f"{size} pofxy / plain loop, 1 thread", ratio("plain, 1 thread")),
    ]
    busy = f"{size} not judged, the machine is busy: {threads} threads took the plain loop {slower:.1f} times as long as one."
    return figures, [busy] if disturbed else []


def _in_own_process(loop: str, side: int, environment: dict[str, str]) -> dict[str, float]:
    # One thread is part of a job of pofxy, and must not reach the other loop.
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    process = subprocess.run([sys.executable, __file__, loop, str(side)], env=kept | environment, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    return json.loads(process.stdout)


def _epoch(trainer, side: int) -> dict[str, float]:
    """Fits a new VAE as a job does, after some steps to warm up; the seconds of the loop alone, and images per core-second."""
    from pofxy.base.hyperparameters import build_model
    from pofxy.base.seeding import seed_everything
    from pofxy.models.generative.vae import VAE

    data = _data(side, SIZES[side])
    for steps in (WARM_UP_STEPS, IMAGES // BATCH):
        seed_everything(0)
        build_model(VAE, steps=steps, batch=BATCH).fit(data, trainer)
    return {**trainer.took, "per_core": steps * BATCH / trainer.took["core_seconds"]}


def _own_loop():
    from pofxy.training.trainer import Trainer
    from pofxy.workflow import cost

    class OwnLoop(Trainer):
        def run(self, *arguments, **options):
            with cost.stopwatch() as self.took:
                super().run(*arguments, **options)

    return OwnLoop(device="cpu")


def _plain_loop():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from pofxy.workflow import cost

    class PlainLoop:
        """Takes a trainer's place: the model hands it the same objective, and with it the same loss."""

        def run(self, model, data, objectives, *, steps, batch, **options):
            (objective,) = objectives
            with cost.stopwatch() as self.took:
                loader = DataLoader(TensorDataset(data.x, data.y), batch_size=batch, shuffle=True)
                optimizer = torch.optim.Adam(objective.parameters, lr=objective.learning_rate)
                for _, (x, y) in zip(range(steps), loader):
                    losses = objective.loss(x, y)
                    optimizer.zero_grad()
                    losses["loss"].backward()
                    optimizer.step()

    return PlainLoop()


def _data(side: int, levels: int):
    """Made images, as much grey and as much background as handwriting has; a val split of one batch."""
    import torch
    from torch.nn import functional as F

    from pofxy.base.data import DataSpec, TrainingData
    from pofxy.base.seeding import seed_everything

    seed_everything(0)
    coarse = torch.rand(IMAGES, 1, 7, 7)
    smooth = (2 * F.interpolate(coarse, size=side, mode="bilinear") - 1).clamp(0, 1)  # (N, 1, 28, 28)
    x = (smooth * (levels - 1)).round() / (levels - 1)
    y = torch.arange(IMAGES) % 10
    spec = DataSpec("made", (1, side, side), 10, levels, tuple("0123456789"))
    return TrainingData(spec, x, y, x[:128], y[:128])


if __name__ == "__main__":
    print(json.dumps(_epoch({"own": _own_loop, "plain": _plain_loop}[sys.argv[1]](), int(sys.argv[2]))))
