"""Hidden Markov model: an image is read row by row, and hidden states, which follow one another by chance, draw the rows.

    p(x | y) = sum_z p(z_1 | y) p(x_1 | z_1, y) prod_t p(z_t | z_t-1, y) p(x_t | z_t, y),      p(x_t | z_t, y) a diagonal Gaussian

x_t is row t. A state is a variant of a part of the image; row by row the chain stays in its part or moves on by a part or two (a
left-to-right model), and takes any variant there. The sum over all paths z takes a matrix product per row (the forward
algorithm). Baum and Welch's EM fits all classes at once: weigh the rows by the posterior of the states, take weighted means. Each
law has a weak conjugate prior, so that a state that no row belongs to stays a law; EM climbs the posterior.

References: L. E. Baum, T. Petrie, G. Soules, N. Weiss, "A maximization technique occurring in the statistical analysis of
probabilistic functions of Markov chains", Annals of Mathematical Statistics, 1970; L. R. Rabiner, "A tutorial on hidden Markov
models and selected applications in speech recognition", Proceedings of the IEEE, 1989, whose equations are named below.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Images of each class at once in EM: the arrays of states stay in the processor's cache.
BLOCK = 64
# Odds that EM starts from, beside those that the parts follow one another as evenly as the rows allow.
STAYS, LEAPS = 0.02, 0.001


class HiddenMarkovModel(BayesRuleMixin, nn.Module):
    """A density over the bins of the pixels, of images of any size: a row is W C numbers.

    Args:
        parts: of an image from top to bottom; as many as there are rows where these are fewer.
        variants: states of each part; each starts as a row of another image of the class.
        reach: parts that the chain can move on by from one row to the next.
        iterations: of EM.
        transition_rows: pseudo-count of each transition, and of each state as the first one.
        mean_rows: how many rows the prior of a state's mean counts for.
        variance_rows: how many rows the prior of a state's variance counts for.
        smoothing: variance of the noise that each pixel is fitted with, as a share of the largest variance of a pixel.
    """

    tags = Tags(conditional=True, likelihood="density", images_only=True)

    def __init__(
        self,
        parts: int = 28,
        variants: int = 6,
        reach: int = 2,
        iterations: int = 10,
        transition_rows: float = 0.01,
        mean_rows: float = 0.5,
        variance_rows: float = 1.0,
        smoothing: float = 0.004,
    ):
        super().__init__()
        self.parts, self.variants, self.reach, self.iterations = parts, variants, reach, iterations
        self.transition_rows, self.mean_rows, self.variance_rows = transition_rows, mean_rows, variance_rows
        self.smoothing = smoothing

    def build(self, spec):
        """Buffers for K classes, S states, and rows of E = W C numbers. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: a hidden Markov model reads the rows of an image, and a table has none")
        self.shape = channels, height, width = spec.shape
        classes, parts, variants = spec.classes, min(self.parts, height), self.variants
        laws = classes, parts * variants, channels * width
        self.register_buffer("log_prior", torch.zeros(classes))
        self.register_buffer("initial", torch.ones(laws[:2]) / laws[1])
        # p(variant w, s parts on | variant v of part p), [k, p, v, s, w], 0 where it would lead beyond the last part.
        self.register_buffer("transition", torch.zeros(classes, parts, variants, min(self.reach, parts - 1) + 1, variants))
        self.register_buffer("mean", torch.zeros(laws))
        self.register_buffer("variance", torch.ones(laws))

    def fit(self, data, trainer):
        """EM, in float64; nothing is trained in steps."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        counts = torch.bincount(data.y, minlength=data.spec.classes)
        of_class = [torch.nonzero(data.y == k).flatten() for k in range(data.spec.classes)]
        index = nn.utils.rnn.pad_sequence(of_class, batch_first=True)  # (K, n): classes of fewer images are filled up,
        weight = (torch.arange(index.shape[1]) < counts[:, None]).double()  # and what fills them weighs nothing
        # A uniform law over a bin of width h adds h^2 / 12 to the variance: noise that need not be drawn.
        floor = max(self.smoothing * float(data.x.var(0, correction=0).max()), 1e-9)
        noise = 1 / (data.spec.levels - 1) ** 2 / 12 + floor
        rows = self._rows(data.x)[0].unflatten(0, (-1, len(data.x)))  # (T, N, E)
        prior = self._start(rows, of_class, noise)
        for _ in range(self.iterations):
            self._iterate(rows, index, weight, noise, *prior)
        self.float()

    def log_joint(self, x):
        """log p(x, y) in nats, (N, K): exact, by the forward algorithm (eq. 19-21)."""
        rows = self._rows(x)
        return self._joint(self._forward(self._emissions(rows**2, rows, torch.ones_like(rows[:, :1]))))

    def decision_function(self, x):
        """log_joint: by Bayes' rule the largest names the label."""
        return self.log_joint(x)

    def log_joint_known(self, x, known):
        """log p(known pixels, y) in nats, (N, K): given the states pixels are independent, and what is unknown is left out."""
        return self._joint(self._forward(self._known_emissions(x, known)))

    def inpaint(self, x, mask):
        """E[x | known pixels] where the mask is 0: exact, a mixture over classes and states of forward-backward (eq. 27)."""
        known = mask.bool().expand_as(x)
        emissions = self._known_emissions(x, known)
        forward = self._forward(emissions)
        states = torch.stack([f + b for f, b in zip(forward, self._backward(emissions), strict=True)], 3)  # (K, P, V, T, N)
        mean = torch.einsum("nk,kstn,kse->tne", self._joint(forward).softmax(1), states.flatten(1, 2).softmax(1), self.mean)
        return x.where(known, self._images(mean).clamp(0, 1))

    def sample(self, n, labels=None):
        """n images, clipped to [0, 1]; the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        path = self._drawn_path(labels)
        rows = torch.normal(self.mean[labels, path], self.variance[labels, path].sqrt())  # (T, n, E)
        return self._images(rows).clamp(0, 1)

    def picture(self, x, y):
        """The mean rows of three paths of each class."""
        labels = torch.arange(min(10, len(self.log_prior)), device=self.mean.device).repeat(3)
        images = self._images(self.mean[labels, self._drawn_path(labels)]).clamp(0, 1)
        caption = "Three paths drawn for each class, by the mean rows of their states."
        return Visualization(images, columns=len(labels) // 3, caption=caption)

    def _start(self, rows, of_class, noise):
        """The laws that EM starts from; gives the prior means and variances of the states, (K, S, E) each."""
        (parts, variants, steps), height = self.transition.shape[1:4], len(rows)
        images = torch.stack([rows[:, index].mean(1) for index in of_class]).double()  # (K, T, E)
        around = sum(((rows[:, index] - rows[:, index].mean(1, keepdim=True)) ** 2).sum(1) for index in of_class) / rows.shape[1]
        of_rows = torch.cat([images, around[None].double()])  # (K + 1, T, E)
        of_parts = F.adaptive_avg_pool1d(of_rows.mT, parts).mT.repeat_interleave(variants, 1)  # (K + 1, S, E)
        prior_mean, prior_variance = of_parts[:-1], (of_parts[-1] + noise).expand_as(of_parts[:-1])

        chosen = torch.stack([index[torch.randperm(len(index))].repeat(variants)[:variants] for index in of_class])  # (K, V)
        row = (torch.arange(parts)[:, None] + torch.rand(len(chosen), parts, variants)) * height / parts  # (K, P, V)
        self.mean = rows[row.long(), chosen[:, None]].flatten(1, 2).double()  # (K, P, V, E) -> (K, S, E)
        self.variance = prior_variance.clone()
        odds = [1 - parts / height + STAYS, parts / height] + [LEAPS] * steps
        odds = torch.tensor(odds, dtype=torch.float64)[:steps, None]  # (steps, 1)
        self.transition = _normalised(odds * self._within().expand_as(self.transition), 2)
        first = torch.where(torch.arange(parts * variants) < variants, 1.0, LEAPS).double()
        self.initial = _normalised(first.repeat(len(of_class), 1), 1)
        return prior_mean, prior_variance

    def _iterate(self, rows, index, weight, noise, prior_mean, prior_variance):
        """One step of EM (eq. 40): it raises the log posterior of the laws given noisy images, in the mean over the noise."""
        initial = counts = sums = squares = 0
        pairs = torch.zeros_like(self.transition).flatten(3)  # (K, P, V, steps V)
        for block, share in zip(index.split(BLOCK, 1), weight[:, None, None].split(BLOCK, 3), strict=True):
            x = rows[:, block].double().transpose(0, 1).flatten(1, 2)  # (K, B) -> (T, K, B, E) -> (K, T B, E)
            emissions = self._emissions(x**2 + noise, x, torch.ones_like(x[:, :1]))
            forward, backward = self._forward(emissions), self._backward(emissions)
            total = forward[-1].logsumexp((1, 2), keepdim=True)  # log p(image), (K, 1, 1, B)
            for before, emission, after in zip(forward[:-1], emissions[1:], backward[1:], strict=True):
                # Eq. 37, but for the probability of the transition itself, which stands outside of the sum.
                top = before.amax(2, keepdim=True)  # (K, P, 1, B)
                ahead, scale = self._near(emission + after, -1)  # (K, P, steps, V or 1, B)
                ahead = ahead * (scale + (top - total)[:, :, None]).exp()
                pairs = pairs + ((before - top).exp() * share) @ ahead.flatten(2, 3).mT
            states = torch.stack([(f + b - total).exp() * share for f, b in zip(forward, backward, strict=True)], 3)
            initial = initial + states[:, :, :, 0].sum(3).flatten(1)
            states = states.flatten(1, 2).flatten(2)  # (K, P, V, T, B) -> (K, S, T B)
            counts, sums, squares = counts + states.sum(2, True), sums + states @ x, squares + states @ (x**2 + noise)
        self.initial = _normalised(initial + self.transition_rows, 1)
        self.transition = _normalised(pairs.view_as(self.transition) * self.transition + self.transition_rows * self._within(), 2)
        self.mean = (sums + self.mean_rows * prior_mean) / (counts + self.mean_rows)
        around = squares - 2 * self.mean * sums + self.mean**2 * counts + self.mean_rows * (self.mean - prior_mean) ** 2
        self.variance = (around + self.variance_rows * prior_variance) / (counts + self.variance_rows)

    def _emissions(self, square, x, known):
        """log p(row | state) in nats, T of (K, P, V, N), of x and its squares (1 or K, T N, E); `known` is 1 where x is known."""
        precision = 1 / self.variance  # (K, S, E)
        constant = self.mean**2 * precision + (2 * math.pi * self.variance).log()
        # sum_e (x - mu)^2 / sigma^2, multiplied out: no array over rows, states and numbers is made.
        exponent = precision @ square.mT - 2 * (self.mean * precision) @ x.mT + constant @ known.mT  # (K, S, T N)
        return (-0.5 * exponent).unflatten(2, (self.shape[1], -1)).unflatten(1, self.transition.shape[1:3]).unbind(3)

    def _known_emissions(self, x, known):
        rows, known = self._rows(x), self._rows(known)
        rows = rows.where(known, 0.0)
        return self._emissions(rows**2, rows, known.to(rows.dtype))

    def _forward(self, emissions):
        """log p(rows up to t, state at t), T of (K, P, V, N) (eq. 19, 20)."""
        arriving = [_moved(self.transition[:, :, :, step], step) for step in range(self.transition.shape[3])]
        arriving = torch.cat(arriving, 2).mT  # steps of (K, P, V, V) -> (K, P, V, steps V)
        found = [self.initial.log().view(*self.transition.shape[:3], 1) + emissions[0]]
        for emission in emissions[1:]:
            found.append(self._log_product(arriving, found[-1], 1) + emission)
        return found

    def _backward(self, emissions):
        """log p(rows after t | state at t), T of (K, P, V, N) (eq. 24, 25)."""
        leaving = self.transition.flatten(3)  # (K, P, V, steps V)
        found = [torch.zeros_like(emissions[0])]
        for emission in reversed(emissions[1:]):
            found.append(self._log_product(leaving, emission + found[-1], -1))
        return found[::-1]

    def _log_product(self, table, log_x, sign):
        """log(table @ exp(log_x of the parts within reach)), (K, P, V, N). As none of `table` is 0 there, exp loses nothing."""
        near, scale = self._near(log_x, sign)
        top = scale.amax(2, keepdim=True)  # (K, P, 1, 1, N)
        return (table @ (near * (scale - top).exp()).flatten(2, 3)).log() + top[:, :, 0]

    def _near(self, log_x, sign):
        """exp(log_x) of the parts up to `reach` before (sign 1) or after (-1), (K, P, steps, V, N), but for its scale, a log."""
        peak = log_x.amax(2, keepdim=True).detach()
        near, moves = (log_x - peak).exp(), [sign * step for step in range(self.transition.shape[3])]
        return torch.stack([_moved(near, m) for m in moves], 2), torch.stack([_moved(peak, m, -torch.inf) for m in moves], 2)

    def _joint(self, forward):
        return self.log_prior + forward[-1].logsumexp((1, 2)).T  # (K, P, V, N) -> (N, K)

    def _within(self):
        """1 where a transition leads to a part that there is, else 0; (P, 1, steps, 1)."""
        parts, steps = self.transition.shape[1], self.transition.shape[3]
        return (torch.arange(parts)[:, None] + torch.arange(steps) < parts).double()[:, None, :, None]

    def _drawn_path(self, labels):
        """States drawn for each of the labels (n,), (T, n)."""
        variants = self.transition.shape[2]
        path = [torch.multinomial(self.initial[labels], 1)[:, 0]]
        for _ in range(1, self.shape[1]):
            part, variant = path[-1] // variants, path[-1] % variants
            path.append(part * variants + torch.multinomial(self.transition[labels, part, variant].flatten(1), 1)[:, 0])
        return torch.stack(path)

    def _rows(self, x):
        return x.permute(2, 0, 1, 3).flatten(2).flatten(0, 1)[None]  # (N, C, H, W) -> (H, N, C, W) -> (T, N, E) -> (1, T N, E)

    def _images(self, rows):
        return rows.unflatten(2, (self.shape[0], self.shape[2])).permute(1, 2, 0, 3)  # (T, N, E) -> (N, C, H, W)


def _moved(x, parts, filled=0.0):
    """x (K, P, ., .) moved on by so many parts, back by as many where these are negative."""
    kept = x[:, : x.shape[1] - parts] if parts >= 0 else x[:, -parts:]
    return F.pad(kept, (0, 0, 0, 0, max(parts, 0), max(-parts, 0)), value=filled)


def _normalised(x, axes):
    """Divided by the sum over so many last axes."""
    return x / x.sum(tuple(range(-axes, 0)), keepdim=True)
