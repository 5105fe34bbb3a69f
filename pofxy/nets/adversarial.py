"""A game of two nets: what the adversarial models share.

    discriminator: minimise  E_x softplus(-D(x)) + E_z softplus(D(G(z))) + gamma/2 E_x |grad_x D(x)|^2
    generator:     minimise  E_z softplus(-D(G(z)))                        (the non-saturating form)

The penalty R1 keeps the discriminator flat where the data lie, without which the game need not converge; it is taken lazily. An
average of the generator's parameters over the last steps is what samples.

References: I. Goodfellow et al., "Generative adversarial nets", NIPS 2014; R1: L. Mescheder, A. Geiger, S. Nowozin, ICML 2018;
taken lazily: T. Karras et al., CVPR 2020, appendix B; the average: Y. Yazici et al., ICLR 2019.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.training.trainer import Objective

# R1 is taken every so many steps, with so many times its weight.
LAZINESS = 4


class AdversarialNet(nn.Module):
    """The game without labels. Both nets see numbers in [-1, 1] where the data lie in [0, 1].

    A model sets `latent_dim`, `ema_decay`, `steps`, `batch`, `learning_rate` and, for R1, `penalty` in `__init__`; its `build` calls
    `play`. The generator maps `_inputs` to (N, ...) in [-1, 1]; `_scores` are positive where the discriminator takes an image for
    a real one.
    """

    penalty = 0.0
    generator_every = 1  # batches to a step of the generator

    def play(self, spec: DataSpec, generator: nn.Module, discriminator: nn.Module):
        """Takes the two nets and makes the average of the first."""
        self.generator, self.discriminator = generator, discriminator
        self.averaged = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(self.ema_decay), use_buffers=True)
        self.averaged.requires_grad_(False)
        self.register_buffer("step", torch.tensor(0))

    def fit(self, data: TrainingData, trainer):
        """Trains for all its steps: no loss of the game says on val when to stop."""
        self.build(data.spec)
        self._train(data, trainer)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images (or rows of a table) from the averaged generator. It knows no labels."""
        return self._drawn(self._noise(n), labels)

    def _train(self, data, trainer):
        # No momentum: each objective's loss is another one after the other's step.
        game = {"learning_rate": self.learning_rate, "betas": (0.0, 0.99)}
        objectives = [
            Objective(self._discriminator_loss, self.discriminator.parameters(), name="discriminator", **game),
            Objective(
                self._generator_loss,
                self.generator.parameters(),
                name="generator",
                update_every=self.generator_every,
                on_step_end=self._move_average,
                **game,
            ),
        ]
        trainer.run(self, data, objectives, steps=self.steps, batch=self.batch, bfloat16=True)

    def _drawn(self, z, y):
        """Codes (N, Z) -> what the averaged generator makes of them, in [0, 1]."""
        return (self.averaged(self._inputs(z, y)).float() + 1) / 2

    def _inputs(self, z, y):
        """What the generator is given, (N, ...), for noise z (N, Z) and labels y (N,)."""
        return z

    def _scores(self, x, y):
        """D(x), (N,), of x (N, ...) in [-1, 1]."""
        return self.discriminator(x).float().flatten()

    def _discriminator_loss(self, x, y):
        penalized = self.penalty > 0 and int(self.step) % LAZINESS == 0
        self.step += 1
        real = (2 * x - 1).requires_grad_(penalized)
        on_real, on_fake = self._scores(torch.cat([real, self._fakes(y)]), torch.cat([y, y])).chunk(2)
        game = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        accuracy = ((on_real > 0).float().mean() + (on_fake < 0).float().mean()) / 2
        losses = {"loss": game, "game": game, "accuracy": accuracy}
        if penalized:
            penalty = squared_slopes(on_real, real).mean()
            losses |= {"loss": game + LAZINESS * self.penalty / 2 * penalty, "squared_slope": penalty}
        return losses

    def _generator_loss(self, x, y):
        return F.softplus(-self._scores(self.generator(self._inputs(self._noise(len(y)), y)), y)).mean()

    def _fakes(self, y):
        """The generator's images for labels y, which its own gradient does not reach."""
        with torch.no_grad():
            return self.generator(self._inputs(self._noise(len(y)), y))

    def _noise(self, n):
        return torch.randn(n, self.latent_dim, device=self.step.device)

    def _move_average(self):
        self.averaged.update_parameters(self.generator)


class ConditionalAdversarialNet(ClassPriorMixin, AdversarialNet):
    """The game with labels: the generator's code ends with the label, one of K numbers being 1; D(x, y) sees it, too.

    The discriminator takes x and y; the model says `conditional = True`.
    """

    def play(self, spec: DataSpec, generator: nn.Module, discriminator: nn.Module):
        """Takes the two nets, makes the average of the first and room for the class prior, which `fit` counts."""
        super().play(spec, generator, discriminator)
        self.classes = spec.classes
        self.register_buffer("log_prior", torch.zeros(spec.classes))

    def fit(self, data: TrainingData, trainer):
        """Trains for all its steps: no loss of the game says on val when to stop."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self._train(data, trainer)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images from the averaged generator, of the labels (n,) or of labels drawn from the class prior."""
        return self._drawn(self._noise(n), self.drawn_labels(n) if labels is None else labels)

    def _inputs(self, z, y):
        return torch.cat([z, F.one_hot(y, self.classes).to(z.dtype)], 1)  # (N, Z) -> (N, Z + K)

    def _scores(self, x, y):
        return self.discriminator(x, y).float().flatten()


def squared_slopes(scores: Tensor, x: Tensor) -> Tensor:
    """|grad_x D(x)|^2, (N,), for scores D(x) (N,) of x (N, ...), such that a loss of it can be differentiated again."""
    (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return slope.float().square().flatten(1).sum(1)
