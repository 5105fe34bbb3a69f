"""Training speed of the VAE: pofxy's loop on one core and the loop of a PyTorch tutorial, with the same network and loss.

The speed is in images per core-second of CPU time, because a study trains one model on each core. pofxy's loop is measured in its
own precision, bfloat16 where the hardware computes it, and in float32, the precision of the tutorial's loop.
"""

import json
import os
import statistics
import subprocess
import sys

from measurement import Measurement, Result

import project

IMAGES = 10_000
# Gray levels by the side in pixels: of the default study's digits, and of MNIST.
SIZES = {8: 17, 28: 256}
BATCH = 128
WARM_UP_STEPS = 10
# Elapsed time of the plain loop with its default number of threads, divided by that with one thread. On an idle machine more
# threads are not slower; above this ratio other processes use the cores.
BUSY_RATIO = 1.25


def measure(copy: project.Project, rounds: int = 5) -> Measurement:
    """One epoch of each loop in turn, each in a process of its own; each ratio is the median over the rounds."""
    one_thread = {"OMP_NUM_THREADS": "1"}
    loops = {
        "pofxy": ("own", one_thread),
        "pofxy, float32": ("own_float32", one_thread),
        "plain": ("plain", {}),
        "plain, 1 thread": ("plain", one_thread),
    }
    results = []
    lines = []
    raw = {}
    for side in SIZES:
        epochs = {name: [] for name in loops}
        for _ in range(rounds):
            for name, (loop, environment) in loops.items():
                epochs[name].append(_in_own_process(loop, side, environment))
        raw[side] = epochs
        results_of_side, lines_of_side = _results(side, epochs)
        results += results_of_side
        lines += lines_of_side
    title = f"Training the VAE, images per core-second, 1 thread if not said: medians of {rounds} epochs of {IMAGES:,} images"
    return Measurement(title, results, lines, raw)


def _results(side: int, epochs: dict[str, list]) -> tuple[list[Result], list[str]]:
    def median(name: str, quantity: str) -> float:
        return statistics.median(epoch[quantity] for epoch in epochs[name])

    def ratio(own_name: str, name: str) -> float:
        pairs = zip(epochs[own_name], epochs[name])
        return statistics.median(own["per_core"] / other["per_core"] for own, other in pairs)

    # A thread that waits for another one spins and uses CPU time. Where other processes use the cores, the plain loop spends
    # much CPU time in this way, and a comparison would be unfair.
    slowdown = median("plain", "seconds") / median("plain, 1 thread", "seconds")
    threads = os.cpu_count()
    busy = slowdown > BUSY_RATIO
    size = f"{side}x{side}:"
    results = [
        Result(f"{size} pofxy, bfloat16", median("pofxy", "per_core")),
        Result(f"{size} pofxy, float32", median("pofxy, float32", "per_core")),
        Result(f"{size} plain loop, {threads} threads (the default)", median("plain", "per_core")),
        Result(f"{size} plain loop", median("plain, 1 thread", "per_core")),
        Result(f"{size} pofxy / plain loop, {threads} threads", ratio("pofxy", "plain"), at_least=None if busy else 2.5),
        Result(f"{size} pofxy / plain loop", ratio("pofxy", "plain, 1 thread"), at_least=2.5),
        Result(f"{size} pofxy / plain loop, both float32", ratio("pofxy, float32", "plain, 1 thread")),
    ]
    line = f"{size} no goal for {threads} threads, the machine is busy: they took {slowdown:.1f} times as long as one."
    return results, [line] if busy else []


def _in_own_process(loop: str, side: int, environment: dict[str, str]) -> dict[str, float]:
    # A job of pofxy has one thread; this must not limit the other loop.
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, __file__, loop, str(side)]
    process = subprocess.run(command, env=inherited | environment, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    return json.loads(process.stdout)


def _epoch(trainer, side: int) -> dict[str, float]:
    """Fits a VAE as a job does, after some warm-up steps. Returns the seconds of the loop alone, and images per core-second."""
    from pofxy.base.hyperparameters import build_model
    from pofxy.base.seeding import seed_everything
    from pofxy.models.generative.vae import VAE

    data = _data(side, SIZES[side])
    for steps in (WARM_UP_STEPS, IMAGES // BATCH):
        seed_everything(0)
        build_model(VAE, {"steps": steps, "batch": BATCH}).fit(data, trainer)
    return {**trainer.cost, "per_core": steps * BATCH / trainer.cost["core_seconds"]}


def _own_loop(**changed: bool):
    """pofxy's loop, with some options of `Trainer.run` changed."""
    from pofxy.training.trainer import Trainer
    from pofxy.workflow import cost

    class OwnLoop(Trainer):
        def run(self, *arguments, **options):
            with cost.stopwatch() as self.cost:
                super().run(*arguments, **options | changed)

    return OwnLoop(device="cpu")


def _plain_loop():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from pofxy.training.trainer import Trainer
    from pofxy.workflow import cost

    class PlainLoop(Trainer):
        """Replaces the loop of the trainer: the model gives it the same objective, and so the same loss."""

        def run(self, model, data, objectives, *, steps, batch, **options):
            (objective,) = objectives
            with cost.stopwatch() as self.cost:
                loader = DataLoader(TensorDataset(data.x, data.y), batch_size=batch, shuffle=True)
                optimizer = torch.optim.Adam(objective.parameters, lr=objective.learning_rate)
                for _, (x, y) in zip(range(steps), loader):
                    losses = objective.loss(x, y)
                    optimizer.zero_grad()
                    losses["loss"].backward()
                    optimizer.step()

    return PlainLoop()


def _data(side: int, levels: int):
    """Synthetic images with about the shares of gray and background of handwriting; the val split is one batch."""
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
    loops = {"own": _own_loop, "own_float32": lambda: _own_loop(bfloat16=False), "plain": _plain_loop}
    print(json.dumps(_epoch(loops[sys.argv[1]](), int(sys.argv[2]))))
