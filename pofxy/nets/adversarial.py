"""Training of a generator against a discriminator: what the generative adversarial networks (GANs) share.

    discriminator: minimize  E_x softplus(-D(x)) + E_z softplus(D(G(z))) + gamma/2 E_x |grad_x D(x)|^2
    generator:     minimize  E_z softplus(-D(G(z)))                        (the non-saturating form)

The R1 penalty keeps the discriminator flat on the data. Without it the training need not converge. It is lazy: taken on every
fourth batch with four times its weight. Samples come from an exponential moving average (EMA) of the generator's parameters.

References:
    I. Goodfellow et al., "Generative adversarial nets", NIPS 2014. https://arxiv.org/abs/1406.2661
    R1: L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.
    https://arxiv.org/abs/1801.04406
    Lazy regularization: T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, appendix B.
    https://arxiv.org/abs/1912.04958
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.nets.ema import exponential_moving_average
from pofxy.training.trainer import Objective, Trainer

# R1 is taken on every so many batches, with so many times its weight.
R1_INTERVAL = 4


class AdversarialNet(nn.Module):
    """An unconditional GAN. Both nets work on values in [-1, 1] where the data lie in [0, 1].

    The `build` of a model makes the two nets and calls `register_nets`. The generator maps `_generator_input` to (N, ...) in
    [-1, 1]. `_scores` is positive where the discriminator classifies an image as real.

    Args:
        latent_dim: Z, dimension of the noise z.
        penalty: weight of the penalty on the discriminator's gradient: gamma of R1, unless the model says otherwise.
        ema_decay: decay of the EMA of the generator's parameters, per step of the generator.
        optimization: steps, batch, learning rate and weight decay, for both nets.
    """

    discriminator_steps = 1  # for each step of the generator
    step: Tensor
    build: Callable[[DataSpec], None]

    def __init__(self, latent_dim: int, penalty: float, ema_decay: float, optimization: Optimization):
        super().__init__()
        self.latent_dim = latent_dim
        self.penalty = penalty
        self.ema_decay = ema_decay
        self.optimization = optimization

    def register_nets(self, spec: DataSpec, generator: nn.Module, discriminator: nn.Module) -> None:
        """Registers the two nets and the EMA of the generator."""
        self.generator = generator
        self.discriminator = discriminator
        self.ema = exponential_moving_average(generator, self.ema_decay)
        self.register_buffer("step", torch.tensor(0))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps: no loss of a GAN on the val split tells when to stop."""
        self.build(data.spec)
        self._train(data, trainer)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images (or rows of a table) from the EMA of the generator; labels are ignored."""
        return self._generate(self._sample_noise(n), labels)

    def _train(self, data, trainer):
        settings = {
            "learning_rate": self.optimization.learning_rate,
            # No momentum: after a step of one net the loss of the other net is a different function.
            "betas": (0.0, 0.99),
            "weight_decay": self.optimization.weight_decay,
        }
        objectives = [
            Objective(self._discriminator_loss, self.discriminator.parameters(), name="discriminator", **settings),
            Objective(
                self._generator_loss,
                self.generator.parameters(),
                name="generator",
                update_every=self.discriminator_steps,
                on_step_end=self._update_ema,
                **settings,
            ),
        ]
        trainer.run(self, data, objectives, steps=self.optimization.steps, batch=self.optimization.batch, bfloat16=True)

    def _generate(self, z, y):
        """Noise z (N, Z) and labels y (N,) -> images of the EMA generator, in [0, 1]."""
        return (self.ema(self._generator_input(z, y)).float() + 1) / 2

    def _generator_input(self, z, y):
        """Input of the generator, (N, ...), for noise z (N, Z) and labels y (N,)."""
        return z

    def _scores(self, x, y):
        """D(x), (N,), of x (N, ...) in [-1, 1]."""
        return self.discriminator(x).float().flatten()

    def _discriminator_loss(self, x, y):
        penalized = self.penalty > 0 and int(self.step) % R1_INTERVAL == 0
        self.step += 1
        real = (2 * x - 1).requires_grad_(penalized)
        on_real, on_fake = self._scores(torch.cat([real, self._sample_fakes(y)]), torch.cat([y, y])).chunk(2)
        game = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        accuracy = ((on_real > 0).float().mean() + (on_fake < 0).float().mean()) / 2
        losses = {"loss": game, "game": game, "accuracy": accuracy}
        if penalized:
            penalty = squared_gradient_norm(on_real, real).mean()
            losses |= {"loss": game + R1_INTERVAL * self.penalty / 2 * penalty, "squared_slope": penalty}
        return losses

    def _generator_loss(self, x, y):
        return F.softplus(-self._scores(self.generator(self._generator_input(self._sample_noise(len(y)), y)), y)).mean()

    def _sample_fakes(self, y):
        """Images of the generator for labels y, without its gradient."""
        with torch.no_grad():
            return self.generator(self._generator_input(self._sample_noise(len(y)), y))

    def _sample_noise(self, n):
        return torch.randn(n, self.latent_dim, device=self.step.device)

    def _update_ema(self):
        self.ema.update_parameters(self.generator)


class ConditionalAdversarialNet(ClassPriorMixin, AdversarialNet):
    """A class-conditional GAN: the label is appended to the noise as a one-hot vector, and the discriminator is D(x, y)."""

    log_prior: Tensor

    def register_nets(self, spec: DataSpec, generator: nn.Module, discriminator: nn.Module) -> None:
        """Registers the two nets, the EMA of the generator, and the class prior, which `fit` sets."""
        super().register_nets(spec, generator, discriminator)
        self.classes = spec.classes
        self.register_buffer("log_prior", torch.zeros(spec.classes))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps: no loss of a GAN on the val split tells when to stop."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self._train(data, trainer)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images from the EMA of the generator, for labels (n,), or for labels sampled from the class prior."""
        return self._generate(self._sample_noise(n), self.drawn_labels(n) if labels is None else labels)

    def _generator_input(self, z, y):
        return torch.cat([z, F.one_hot(y, self.classes).to(z.dtype)], 1)  # (N, Z) -> (N, Z + K)

    def _scores(self, x, y):
        return self.discriminator(x, y).float().flatten()


def squared_gradient_norm(scores: Tensor, x: Tensor) -> Tensor:
    """|grad_x D(x)|^2, (N,), for scores D(x) (N,) of x (N, ...). It can be differentiated again, as a loss needs it."""
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)
