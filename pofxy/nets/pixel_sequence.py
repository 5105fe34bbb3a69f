"""Images read as sequences of numbers, one after the other: what the autoregressive models have in common.

    log p(x | y) = sum_d log p(x_d | x_1 .. x_d-1, y),        each a categorical law over the L grey levels: an exact mass

Pixels come row by row, and within a pixel its channels: d = (h W + w) C + c. A model of this kind has `build(spec)`, which begins
with `start(spec)`, and says in two ways what it makes of the numbers before each one:

    logits(q, y)    levels (N, D) and labels (N,) -> (N, D, L), all d at once: to train and to score
    walk(y)         a generator that yields (N, L) of each number in turn and is sent its levels (N,): to sample and to fill in

Both but for the logarithm of each number's histogram in the train split, which is added here: what a pixel is like by itself need
not be learned.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleConditionalMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.training.trainer import Objective

# At most so many images are scored at once, and so many logits: more would leave the processor's cache.
ROWS = 64
LOGITS = 2**20


class PixelSequence(BayesRuleConditionalMixin, nn.Module):
    """Trained by maximum likelihood, given the class.

    Args:
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(conditional=True, images_only=True)

    def __init__(self, steps: int, batch: int, learning_rate: float, weight_decay: float):
        super().__init__()
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def start(self, spec: DataSpec) -> None:
        """The sizes, the class prior, and the histogram of each number. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: {type(self).__name__} models grey levels, and a table has none")
        self.shape, self.levels, self.classes = spec.shape, spec.levels, spec.classes
        self.channels, self.dimensions = spec.shape[0], spec.shape[0] * spec.shape[1] * spec.shape[2]  # C, D
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.histogram = nn.Parameter(torch.zeros(self.dimensions, spec.levels))  # (D, L) logarithms

    def fit(self, data: TrainingData, trainer) -> None:
        """Trains on the train split; keeps the parameters of the lowest loss on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, self.classes)
        counts = torch.ones_like(self.histogram)
        for x in data.x.split(4096):
            counts = counts.scatter_add(1, self.levels_of(x).T, torch.ones(self.dimensions, len(x)))
        self.histogram.data = (counts / counts.sum(1, keepdim=True)).log()
        objective = Objective(self._loss, self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._validation, bfloat16=True)

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x | y) in nats, (N,): exact, a mass over L-level images."""
        found = []
        for q, labels in zip(self.levels_of(x).split(self.rows), y.split(self.rows)):
            found.append(self.log_mass(self.logits(q, labels), q))
        return torch.cat(found)

    @property
    def rows(self) -> int:
        """Images scored at once."""
        return max(1, min(ROWS, LOGITS // (self.dimensions * self.levels)))

    def log_mass(self, logits: Tensor, q: Tensor) -> Tensor:
        """log p in nats, (N,), of levels q (N, D) under logits (N, D, L), to which the histogram is added here."""
        law = (logits.float() + self.histogram).log_softmax(2)
        return law.gather(2, q[:, :, None]).sum((1, 2))

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, number by number; the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        q = torch.zeros(n, self.dimensions, dtype=torch.long, device=labels.device)
        return self.images_of(self._completed(q, torch.zeros_like(q, dtype=torch.bool), labels)[0])

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """A draw of the unknown numbers (mask 0): number by number for each class, then one class by the weight of its draw.

        A draw's weight is the probability of each known number after what came before it: sequential importance sampling with one
        particle per class. Where all that is known comes first, as in an upper half, this is p(unknown | known) exactly.
        """
        q, known = self.levels_of(x), self._in_sequence(mask.bool().expand_as(x))
        labels = torch.arange(self.classes, device=x.device)
        drawn = [self._completed(q, known, k.expand(len(x))) for k in labels]
        weight = self.log_prior + torch.stack([weight for _, weight in drawn], 1)  # (N, K)
        chosen = torch.multinomial(weight.softmax(1), 1)[:, 0]
        return self.images_of(torch.stack([filled for filled, _ in drawn], 1)[torch.arange(len(x)), chosen])

    def levels_of(self, x: Tensor) -> Tensor:
        """Levels of images x (N, C, H, W) in the order of the sequence, (N, D) int64."""
        return (self._in_sequence(x) * (self.levels - 1)).round().long()

    def images_of(self, q: Tensor) -> Tensor:
        """Images of levels q (N, D), (N, C, H, W) in [0, 1]."""
        channels, height, width = self.shape
        x = q.view(len(q), height, width, channels).permute(0, 3, 1, 2)  # (N, D) -> (N, C, H, W)
        return x.contiguous() / (self.levels - 1)

    def _in_sequence(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)  # (N, C, H, W) -> (N, H W C)

    def walked(self, walk, places, q: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Draws the unknown levels on a walk.

        Args:
            walk: a generator, as `walk` gives it.
            places: the numbers d in the order in which it takes them.
            q: levels (N, D), of which only the known ones play a part.
            known: (N, D) bool.

        Returns:
            Levels with the unknown ones drawn, (N, D), and the sum of log p of the known ones in nats, (N,).
        """
        q, weight, level = q.clone(), torch.zeros(len(q), device=q.device), None
        for d in places:
            logits = walk.send(level)  # None starts it
            law = (logits.float() + self.histogram[d]).log_softmax(1)  # (N, L)
            level = torch.where(known[:, d], q[:, d], torch.multinomial(law.exp(), 1)[:, 0])
            q[:, d] = level
            weight += known[:, d] * law.gather(1, level[:, None])[:, 0]
        return q, weight

    def _completed(self, q, known, y):
        return self.walked(self.walk(y), range(self.dimensions), q, known)

    def _loss(self, x, y):
        q = self.levels_of(x)
        logits = self.logits(q, y).float() + self.histogram
        return F.cross_entropy(logits.flatten(0, 1), q.flatten(), reduction="sum") / len(x)  # nats per image

    def _validation(self, x, y):
        return -self.log_conditional(x, y).mean()  # the same as the loss, of any number of images


class LevelsHead(nn.Module):
    """Logits of a pixel's channels, one after the other, from what a net makes of the pixels before.

        logits_c = W relu(context + sum_c' < c  E_cc'[q_c']) + b

    Args:
        features: F, of the context.
        channels: C.
        levels: L.
    """

    def __init__(self, features: int, channels: int, levels: int):
        super().__init__()
        # E_cc' for every pair c' < c, one below the other; the sum over c' is a sum over rows.
        self.before = nn.ModuleList([nn.ModuleList([nn.Embedding(levels, features) for _ in range(c)]) for c in range(channels)])
        self.out = nn.Linear(features, levels)

    def forward(self, context: Tensor, q: Tensor) -> Tensor:
        """Of contexts (.., F) and levels (.., C), of which those of the last channel play no part: (.., C, L)."""
        return torch.stack([self.channel(context, q, c) for c in range(len(self.before))], -2)

    def channel(self, context: Tensor, q: Tensor, c: int) -> Tensor:
        """Logits of channel c alone, (.., L), from contexts (.., F) and the levels (.., c or more) of the channels before it."""
        for other, embedding in enumerate(self.before[c]):
            context = context + embedding(q[..., other])
        return self.out(context.relu())
