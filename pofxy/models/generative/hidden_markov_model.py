"""Hidden Markov model: an image is a sequence of rows, and each row depends on a hidden state of a Markov chain.

    p(x | y) = sum_z p(z_1 | y) p(x_1 | z_1, y) prod_t p(z_t | z_t-1, y) p(x_t | z_t, y),      p(x_t | z_t, y) a diagonal Gaussian

x_t is row t. A state is a variant of a part of the image. From one row to the next the chain stays in its part or moves on by a
few parts (a left-to-right model), to any variant there. The sum over all paths z takes one matrix product per row (the forward
algorithm).

The Baum-Welch algorithm, which is expectation maximization (EM), fits all classes at once: the posterior of the states weighs the
rows, and the parameters are weighted means. All parameters have weak conjugate priors, so that a state without rows remains a
valid distribution. EM increases the posterior.

References: L. E. Baum, T. Petrie, G. Soules, N. Weiss, "A maximization technique occurring in the statistical analysis of
probabilistic functions of Markov chains", Annals of Mathematical Statistics 41(1), 1970. https://doi.org/10.1214/aoms/1177697196
L. R. Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of the IEEE
77(2), 1989, whose equations are cited below. https://doi.org/10.1109/5.18626
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.gaussian import bin_variance

# Images of each class at once in EM: the arrays of states stay in the processor's cache.
BATCH = 64
# Initial transitions: moving on by one part as often as an even pace over the rows requires, and staying otherwise. STAY_ODDS are
# added to staying; JUMP_ODDS are those of moving on by more parts.
STAY_ODDS = 0.02
JUMP_ODDS = 0.001


class HiddenMarkovModel(BayesRuleMixin, nn.Module):
    """A density over the dequantized pixels, for images of any size: a row is W C numbers.

    Args:
        parts: of an image from top to bottom; as many as rows where the image has fewer rows.
        variants: states of each part; each is initialized with a row of another image of the class.
        reach: parts that the chain can move on by from one row to the next, at most.
        iterations: of EM.
        transition_rows: pseudo-count of each transition, and of each state as the first one.
        mean_rows: number of rows that the prior of a state's mean counts as.
        variance_rows: number of rows that the prior of a state's variance counts as.
        smoothing: variance of noise that is added to each pixel, as a share of the largest variance of a pixel.
    """

    tags = Tags(conditional=True, likelihood="density", images_only=True, passes_per_class=True)

    log_prior: Tensor
    initial: Tensor
    transition: Tensor
    mean: Tensor
    variance: Tensor

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
        self.parts = parts
        self.variants = variants
        self.reach = reach
        self.iterations = iterations
        self.transition_rows = transition_rows
        self.mean_rows = mean_rows
        self.variance_rows = variance_rows
        self.smoothing = smoothing

    def build(self, spec: DataSpec) -> None:
        """Makes buffers for K classes, S = P V states (parts times variants), and rows of E = W C numbers.

        Raises:
            ValueError: for tables.
        """
        if spec.levels is None:
            raise ValueError(f"{spec.name}: a hidden Markov model reads the rows of an image, and a table has none")
        self.shape = spec.shape
        channels, height, width = self.shape
        classes = spec.classes
        parts = min(self.parts, height)
        variants = self.variants
        states = parts * variants
        numbers = channels * width
        self.register_buffer("log_prior", torch.zeros(classes))
        self.register_buffer("initial", torch.ones(classes, states) / states)
        # p(variant w, s parts on | variant v of part p), [k, p, v, s, w]; 0 where it would lead beyond the last part.
        self.register_buffer("transition", torch.zeros(classes, parts, variants, min(self.reach, parts - 1) + 1, variants))
        self.register_buffer("mean", torch.zeros(classes, states, numbers))
        self.register_buffer("variance", torch.ones(classes, states, numbers))

    def fit(self, data: TrainingData, trainer: object) -> None:
        """EM, in float64; the trainer is not used."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        counts = torch.bincount(data.y, minlength=data.spec.classes)
        of_class = [torch.nonzero(data.y == k).flatten() for k in range(data.spec.classes)]
        # Classes with fewer images are padded, and the padding has weight 0.
        index = nn.utils.rnn.pad_sequence(of_class, batch_first=True)  # (K, n)
        weight = (torch.arange(index.shape[1]) < counts[:, None]).double()
        floor = max(self.smoothing * float(data.x.var(0, correction=0).max()), 1e-9)
        noise = bin_variance(data.spec.levels) + floor
        rows = self._rows(data.x)[0].unflatten(0, (-1, len(data.x)))  # (T N, E) -> (T, N, E)
        prior = self._initialize(rows, of_class, noise)
        for _ in range(self.iterations):
            self._em_step(rows, index, weight, noise, *prior)
        self.float()

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): exact, by the forward algorithm (eq. 19-21)."""
        rows = self._rows(x)
        return self._joint(self._forward(self._emissions(rows**2, rows, torch.ones_like(rows[:, :1]))))

    def decision_function(self, x: Tensor) -> Tensor:
        """The same as `log_joint`, (N, K): by Bayes' rule the largest score belongs to the most probable label."""
        return self.log_joint(x)

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels, y) in nats, (N, K): pixels are independent given the states, so the unknown ones are left out."""
        return self._joint(self._forward(self._known_emissions(x, known)))

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """E[x | known pixels] where the mask is 0: exact, a mixture over classes and states by forward-backward (eq. 27)."""
        known = mask.bool().expand_as(x)
        emissions = self._known_emissions(x, known)
        forward = self._forward(emissions)
        backward = self._backward(emissions)
        states = torch.stack([f + b for f, b in zip(forward, backward, strict=True)], 3)  # T of (K, P, V, N) -> (K, P, V, T, N)
        state_posterior = states.flatten(1, 2).softmax(1)  # (K, P, V, T, N) -> (K, S, T, N)
        mean = torch.einsum("nk,kstn,kse->tne", self._joint(forward).softmax(1), state_posterior, self.mean)
        return x.where(known, self._images(mean).clamp(0, 1))

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, clipped to [0, 1]; the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        paths = self._sample_paths(labels)
        rows = torch.normal(self.mean[labels, paths], self.variance[labels, paths].sqrt())  # (T, n, E)
        return self._images(rows).clamp(0, 1)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The mean rows along three sampled paths of each class."""
        labels = torch.arange(min(10, len(self.log_prior)), device=self.mean.device).repeat(3)
        images = self._images(self.mean[labels, self._sample_paths(labels)]).clamp(0, 1)
        caption = "Three sampled paths of each class: the mean rows of their states."
        return Visualization(images, columns=len(labels) // 3, caption=caption)

    def _initialize(self, rows, of_class, noise):
        """Sets the parameters that EM starts from.

        Returns:
            the prior means and variances of the states, (K, S, E) each.
        """
        parts, variants, steps = self.transition.shape[1:4]
        height = len(rows)
        images = torch.stack([rows[:, index].mean(1) for index in of_class]).double()  # (K, T, E)
        squares = sum(((rows[:, index] - rows[:, index].mean(1, keepdim=True)) ** 2).sum(1) for index in of_class)
        variance_within = squares / rows.shape[1]  # (T, E)
        of_rows = torch.cat([images, variance_within[None].double()])  # (K + 1, T, E)
        of_parts = F.adaptive_avg_pool1d(of_rows.mT, parts).mT.repeat_interleave(variants, 1)  # (K + 1, S, E)
        prior_mean = of_parts[:-1]
        prior_variance = (of_parts[-1] + noise).expand_as(of_parts[:-1])

        chosen = torch.stack([index[torch.randperm(len(index))].repeat(variants)[:variants] for index in of_class])  # (K, V)
        row = (torch.arange(parts)[:, None] + torch.rand(len(chosen), parts, variants)) * height / parts  # (K, P, V)
        self.mean = rows[row.long(), chosen[:, None]].flatten(1, 2).double()  # (K, P, V, E) -> (K, S, E)
        self.variance = prior_variance.clone()
        odds = [1 - parts / height + STAY_ODDS, parts / height] + [JUMP_ODDS] * steps
        odds = torch.tensor(odds, dtype=torch.float64)[:steps, None]  # (steps, 1)
        self.transition = _normalize(odds * self._allowed().expand_as(self.transition), 2)
        first = torch.where(torch.arange(parts * variants) < variants, 1.0, JUMP_ODDS).double()
        self.initial = _normalize(first.repeat(len(of_class), 1), 1)
        return prior_mean, prior_variance

    def _em_step(self, rows, index, weight, noise, prior_mean, prior_variance):
        """One step of EM (eq. 40). It raises the log posterior of the parameters given noisy images, averaged over the noise."""
        initial = 0
        counts = 0
        sums = 0
        squares = 0
        pairs = torch.zeros_like(self.transition).flatten(3)  # (K, P, V, steps V)
        for block, share in zip(index.split(BATCH, 1), weight[:, None, None].split(BATCH, 3), strict=True):
            x = rows[:, block].double().transpose(0, 1).flatten(1, 2)  # (T, K, B, E) -> (K, T, B, E) -> (K, T B, E)
            emissions = self._emissions(x**2 + noise, x, torch.ones_like(x[:, :1]))
            forward = self._forward(emissions)
            backward = self._backward(emissions)
            total = forward[-1].logsumexp((1, 2), keepdim=True)  # log p(image), (K, 1, 1, B)
            for before, emission, after in zip(forward[:-1], emissions[1:], backward[1:], strict=True):
                # Eq. 37, except for the factor of the transition itself, which is the same for all rows and applied at the end.
                top = before.amax(2, keepdim=True)  # (K, P, 1, B)
                ahead, scale = self._reachable(emission + after, -1)  # (K, P, steps, V or 1, B)
                ahead = ahead * (scale + (top - total)[:, :, None]).exp()
                pairs = pairs + ((before - top).exp() * share) @ ahead.flatten(2, 3).mT
            states = torch.stack([(f + b - total).exp() * share for f, b in zip(forward, backward, strict=True)], 3)
            initial = initial + states[:, :, :, 0].sum(3).flatten(1)
            states = states.flatten(1, 2).flatten(2)  # (K, P, V, T, B) -> (K, S, T B)
            counts = counts + states.sum(2, True)
            sums = sums + states @ x
            squares = squares + states @ (x**2 + noise)
        self.initial = _normalize(initial + self.transition_rows, 1)
        transitions = pairs.view_as(self.transition) * self.transition
        self.transition = _normalize(transitions + self.transition_rows * self._allowed(), 2)
        self.mean = (sums + self.mean_rows * prior_mean) / (counts + self.mean_rows)
        scatter = squares - 2 * self.mean * sums + self.mean**2 * counts + self.mean_rows * (self.mean - prior_mean) ** 2
        self.variance = (scatter + self.variance_rows * prior_variance) / (counts + self.variance_rows)

    def _emissions(self, square, x, known):
        """log p(row | state) in nats, T of (K, P, V, N), of x and its squares (1 or K, T N, E); `known` is 1 where x is known."""
        precision = 1 / self.variance  # (K, S, E)
        constant = self.mean**2 * precision + (2 * math.pi * self.variance).log()
        # sum_e (x - mu)^2 / sigma^2, multiplied out: no array over rows, states and numbers is made.
        exponent = precision @ square.mT - 2 * (self.mean * precision) @ x.mT + constant @ known.mT  # (K, S, T N)
        exponent = exponent.mul(-0.5).unflatten(2, (self.shape[1], -1))  # (K, S, T N) -> (K, S, T, N)
        return exponent.unflatten(1, self.transition.shape[1:3]).unbind(3)  # (K, P, V, T, N) -> T of (K, P, V, N)

    def _known_emissions(self, x, known):
        rows = self._rows(x)
        known = self._rows(known)
        rows = rows.where(known, 0.0)
        return self._emissions(rows**2, rows, known.to(rows.dtype))

    def _forward(self, emissions):
        """log p(rows up to t, state at t), T of (K, P, V, N) (eq. 19, 20)."""
        arriving = [_shift_parts(self.transition[:, :, :, step], step) for step in range(self.transition.shape[3])]
        arriving = torch.cat(arriving, 2).mT  # steps of (K, P, V, V) -> (K, P, V, steps V)
        forward = [self.initial.log().view(*self.transition.shape[:3], 1) + emissions[0]]  # (K, S) -> (K, P, V, 1)
        for emission in emissions[1:]:
            forward.append(self._log_product(arriving, forward[-1], 1) + emission)
        return forward

    def _backward(self, emissions):
        """log p(rows after t | state at t), T of (K, P, V, N) (eq. 24, 25)."""
        leaving = self.transition.flatten(3)  # (K, P, V, steps, V) -> (K, P, V, steps V)
        backward = [torch.zeros_like(emissions[0])]
        for emission in reversed(emissions[1:]):
            backward.append(self._log_product(leaving, emission + backward[-1], -1))
        return backward[::-1]

    def _log_product(self, table, log_x, sign):
        """log(table @ exp(log_x of the parts within reach)), (K, P, V, N). `table` is nowhere 0 there, so exp loses nothing."""
        near, scale = self._reachable(log_x, sign)
        top = scale.amax(2, keepdim=True)  # (K, P, 1, 1, N)
        return (table @ (near * (scale - top).exp()).flatten(2, 3)).log() + top[:, :, 0]

    def _reachable(self, log_x, sign):
        """exp(log_x) of the parts up to `reach` before (sign 1) or after (-1), up to a scale.

        Returns:
            (K, P, steps, V, N) and the log of the scale, (K, P, steps, 1, N).
        """
        peak = log_x.amax(2, keepdim=True).detach()
        scaled = (log_x - peak).exp()
        moves = [sign * step for step in range(self.transition.shape[3])]
        near = torch.stack([_shift_parts(scaled, move) for move in moves], 2)
        return near, torch.stack([_shift_parts(peak, move, -torch.inf) for move in moves], 2)

    def _joint(self, forward):
        return self.log_prior + forward[-1].logsumexp((1, 2)).T  # (K, P, V, N) -> (N, K)

    def _allowed(self):
        """1 where a transition leads to an existing part, else 0; (P, 1, steps, 1)."""
        parts = self.transition.shape[1]
        steps = self.transition.shape[3]
        return (torch.arange(parts)[:, None] + torch.arange(steps) < parts).double()[:, None, :, None]

    def _sample_paths(self, labels):
        """A path of states for each of the labels (n,), (T, n)."""
        variants = self.transition.shape[2]
        path = [torch.multinomial(self.initial[labels], 1)[:, 0]]
        for _ in range(1, self.shape[1]):
            part = path[-1] // variants
            variant = path[-1] % variants
            path.append(part * variants + torch.multinomial(self.transition[labels, part, variant].flatten(1), 1)[:, 0])
        return torch.stack(path)  # T of (n,) -> (T, n)

    def _rows(self, x):
        return x.permute(2, 0, 1, 3).flatten(2).flatten(0, 1)[None]  # (N, C, H, W) -> (H, N, C, W) -> (T, N, E) -> (1, T N, E)

    def _images(self, rows):
        return rows.unflatten(2, (self.shape[0], self.shape[2])).permute(1, 2, 0, 3)  # (T, N, E) -> (N, C, H, W)


def _shift_parts(x, parts, fill=0.0):
    """x (K, P, ., .) shifted by so many parts, backwards where the number is negative."""
    kept = x[:, : x.shape[1] - parts] if parts >= 0 else x[:, -parts:]
    return F.pad(kept, (0, 0, 0, 0, max(parts, 0), max(-parts, 0)), value=fill)


def _normalize(x, axes):
    """Divided by the sum over so many last axes."""
    return x / x.sum(tuple(range(-axes, 0)), keepdim=True)
