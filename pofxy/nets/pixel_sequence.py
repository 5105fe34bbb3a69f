"""Shared by the autoregressive image models: an image is a sequence of numbers, each predicted from the numbers before it.

    log p(x | y) = sum_d log p(x_d | x_1 .. x_d-1, y),        each term a categorical distribution over the L gray levels

This is an exact probability mass. Pixels come row by row, and within a pixel its channels: d = (h W + w) C + c. A model of this
kind has `build(spec)`, which begins with `start(spec)`, and gives its predictions in two ways:

    logits(q, y)          levels (N, D) and labels (N,) -> (N, D, L), all numbers at once: for training and scoring
    stepwise_logits(y)    a generator that yields (N, L) for each number in turn and is sent its levels (N,): for sampling and
                          inpainting

and, where a part of the net does not depend on the class, `logits_by_class(q)`, which computes that part only once. All leave out
the log histogram of each number in the train split, which is added here. The net need not learn the marginal distribution of a
pixel.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleConditionalMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.training.trainer import Trainer

# Limits on the images and on the logits that are scored at once: more would leave the processor's cache.
MAX_IMAGES = 64
MAX_LOGITS = 2**20
# Completions that inpainting samples at once, one per class of each image: a step is then more work than overhead, and the states
# of earlier steps stay in the processor's cache.
MAX_COMPLETIONS = 640
# Images at once when counting the levels of the train split.
COUNTING_BATCH = 4096


class PixelSequence(BayesRuleConditionalMixin, nn.Module):
    """Trained by maximum likelihood, conditional on the class.

    Args:
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
    """

    tags = Tags(conditional=True, images_only=True)

    # Numbers of an image from which on training in bfloat16 is faster. Below, the conversions cost more than the products save:
    # on 8 x 8 pixels float32 takes a tenth less time per step for MADE, the recurrent net and the transformer.
    bfloat16_dimensions = 400

    log_prior: Tensor
    build: Callable[[DataSpec], None]
    logits: Callable[[Tensor, Tensor], Tensor]
    stepwise_logits: Callable[[Tensor], Generator[Tensor, Any, None]]

    def __init__(self, optimization: Optimization):
        super().__init__()
        self.optimization = optimization

    def start(self, spec: DataSpec) -> None:
        """Sets the sizes, and makes the class prior and the histogram of each number.

        Raises:
            ValueError: for a table.
        """
        if spec.levels is None:
            raise ValueError(f"{spec.name}: {type(self).__name__} models gray levels, and a table has none")
        self.shape = spec.shape
        self.levels = spec.levels
        self.classes = spec.classes
        self.channels = spec.shape[0]  # C
        self.dimensions = spec.shape[0] * spec.shape[1] * spec.shape[2]  # D
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.histogram = nn.Parameter(torch.zeros(self.dimensions, spec.levels))  # (D, L) logarithms

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split and keeps the parameters with the lowest loss on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, self.classes)
        counts = torch.ones_like(self.histogram)
        for x in data.x.split(COUNTING_BATCH):
            counts = counts.scatter_add(1, self.levels_of(x).T, torch.ones(self.dimensions, len(x)))
        self.histogram.data = (counts / counts.sum(1, keepdim=True)).log()
        bfloat16 = self.dimensions >= self.bfloat16_dimensions
        trainer.minimize(self, data, self._loss, self.optimization, validate=self._validation_loss, bfloat16=bfloat16)

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x | y) in nats, (N,): exact, a mass over L-level images."""
        parts = zip(self.levels_of(x).split(self.scoring_batch), y.split(self.scoring_batch))
        return torch.cat([self.log_mass(self.logits(q, labels), q) for q, labels in parts])

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): exact; what does not depend on the class is computed once."""
        log_masses = []
        for q in self.levels_of(x).split(self.scoring_batch):
            log_masses.append(torch.stack([self.log_mass(logits, q) for logits in self.logits_by_class(q)], 1))
        return self.log_prior + torch.cat(log_masses)

    def logits_by_class(self, q: Tensor) -> Iterator[Tensor]:
        """The logits of levels q (N, D) for each class in turn, K of (N, D, L)."""
        for k in torch.arange(self.classes, device=q.device):
            yield self.logits(q, k.expand(len(q)))

    @property
    def scoring_batch(self) -> int:
        """Images that are scored at once."""
        return max(1, min(MAX_IMAGES, MAX_LOGITS // (self.dimensions * self.levels)))

    def log_mass(self, logits: Tensor, q: Tensor) -> Tensor:
        """log p in nats, (N,), of levels q (N, D) under logits (N, D, L), to which the histogram is added here."""
        return self._log_probabilities(logits, q).sum((1, 2))

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images (n, C, H, W), sampled number by number; the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        q = torch.zeros(n, self.dimensions, dtype=torch.long, device=labels.device)
        return self.images_of(self._complete(q, torch.zeros_like(q, dtype=torch.bool), labels)[0])

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """A sample of the unknown numbers (mask 0): one completion per class, of which one is chosen by its importance weight.

        The weight of a completion is the product of the probabilities of the known numbers, each given what came before it:
        sequential importance sampling with one particle per class. Where all that is known comes first, as in an upper half, no
        weight depends on what is sampled. The class is then chosen first, its completion is the only one, and the result is an
        exact sample of p(unknown | known).
        """
        q = self.levels_of(x)
        known = _flatten(mask.bool().expand_as(x))
        images = max(1, MAX_COMPLETIONS // self.classes)
        return self.images_of(torch.cat([self.fill_in(*part) for part in zip(q.split(images), known.split(images))]))

    def fill_in(self, q: Tensor, known: Tensor) -> Tensor:
        """Levels q (N, D) with the unknown ones sampled, as in `inpaint`; known (N, D) bool."""
        if (known[:, 1:] <= known[:, :-1]).all():
            y = torch.multinomial(self._log_joint_of_first(q, known).softmax(1), 1)[:, 0]
            return self._complete(q, known, y)[0]
        completions, log_weight = self._complete(*self.for_every_class(q, known))
        log_weights = self.log_prior + log_weight.view(len(q), -1)  # (N K,) -> (N, K)
        chosen = torch.multinomial(log_weights.softmax(1), 1)[:, 0]
        return completions.view(*log_weights.shape, -1)[torch.arange(len(q)), chosen]

    def for_every_class(self, q: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each row of q and of known (N, D) once for each class, (N K, D), and these classes, (N K,)."""
        labels = torch.arange(self.classes, device=q.device).repeat(len(q))
        return q.repeat_interleave(self.classes, 0), known.repeat_interleave(self.classes, 0), labels

    def levels_of(self, x: Tensor) -> Tensor:
        """Levels of images x (N, C, H, W) in the order of the sequence, (N, D) int64."""
        return (_flatten(x) * (self.levels - 1)).round().long()

    def images_of(self, q: Tensor) -> Tensor:
        """Images of levels q (N, D), (N, C, H, W) in [0, 1]."""
        channels, height, width = self.shape
        x = q.view(len(q), height, width, channels).permute(0, 3, 1, 2)  # (N, D) -> (N, C, H, W)
        return x.contiguous() / (self.levels - 1)

    def sample_unknown(
        self, steps: Generator[Tensor, Any, None], order: Iterable[int], q: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Samples the unknown levels one after the other.

        Args:
            steps: a generator of logits, as `stepwise_logits` returns it.
            order: the numbers d in the order in which the generator takes them.
            q: levels (N, D); the unknown ones are ignored.
            known: (N, D) bool.

        Returns:
            The levels with the unknown ones sampled, (N, D), and the sum of log p of the known ones in nats, (N,).
        """
        q = q.clone()
        log_weight = torch.zeros(len(q), device=q.device)
        all_known = known.all(0).tolist()
        all_unknown = (~known).all(0).tolist()
        level = None  # starts the generator
        for d in order:
            log_probabilities = (steps.send(level).float() + self.histogram[d]).log_softmax(1)  # (N, L)
            if not all_known[d]:
                sampled = _sample_levels(log_probabilities.exp())
                q[:, d] = torch.where(known[:, d], q[:, d], sampled)
            level = q[:, d]
            if not all_unknown[d]:
                log_weight += known[:, d] * log_probabilities.gather(1, level[:, None])[:, 0]
        return q, log_weight

    def _log_joint_of_first(self, q, known):
        """log p(known numbers, y) in nats, (N, K), where all that is known comes before all that is not."""
        log_masses = [(self._log_probabilities(logits, q)[:, :, 0] * known).sum(1) for logits in self.logits_by_class(q)]
        return self.log_prior + torch.stack(log_masses, 1)

    def _log_probabilities(self, logits, q):
        """log p of each level of q (N, D) under logits (N, D, L) and the histogram, (N, D, 1)."""
        return (logits.float() + self.histogram).log_softmax(2).gather(2, q[:, :, None])

    def _complete(self, q, known, y):
        return self.sample_unknown(self.stepwise_logits(y), range(self.dimensions), q, known)

    def _loss(self, x, y):
        q = self.levels_of(x)
        logits = self.logits(q, y).float() + self.histogram
        return F.cross_entropy(logits.flatten(0, 1), q.flatten(), reduction="sum") / len(x)  # nats per image

    def _validation_loss(self, x, y):
        return -self.log_conditional(x, y).mean()  # equals the loss, for any number of images


class LevelsHead(nn.Module):
    """Logits of a pixel's channels, one after the other, from a context of the pixels before it.

        logits_c = W relu(context + sum_c' < c  E_cc'[q_c']) + b

    Args:
        features: F, of the context.
        channels: C.
        levels: L.
    """

    def __init__(self, features: int, channels: int, levels: int):
        super().__init__()
        # One embedding E_cc' for every pair c' < c.
        self.before = nn.ModuleList([nn.ModuleList([nn.Embedding(levels, features) for _ in range(c)]) for c in range(channels)])
        self.out = nn.Linear(features, levels)

    def forward(self, context: Tensor, q: Tensor) -> Tensor:
        """Contexts (.., F) and levels (.., C) -> (.., C, L); the levels of the last channel are ignored."""
        return torch.stack([self.channel(context, q, c) for c in range(len(self.before))], -2)

    def channel(self, context: Tensor, q: Tensor, c: int) -> Tensor:
        """Logits of channel c alone, (.., L), from contexts (.., F) and the levels (.., c or more) of the channels before it."""
        for other, embedding in enumerate(cast(nn.ModuleList, self.before[c])):
            context = context + embedding(q[..., other])
        return self.out(context.relu())


def _sample_levels(probabilities):
    """A level for each row (N, L), (N,): by the inverse distribution function, as torch.multinomial takes ten times as long."""
    cumulative = probabilities.cumsum(1)
    u = torch.rand(len(probabilities), 1, device=probabilities.device, dtype=probabilities.dtype) * cumulative[:, -1:]
    return (cumulative[:, :-1] <= u).sum(1)


def _flatten(x):
    return x.permute(0, 2, 3, 1).flatten(1)  # (N, C, H, W) -> (N, H W C)
