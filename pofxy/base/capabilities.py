"""What a model can do besides `fit`: one protocol per capability, whose docstring is the contract.

A model has the method, or it cannot do it: there are no base classes to inherit from and no stubs. Which evaluations run for a
model follows from the methods that it has. Shapes as in `pofxy.base`.
"""

from typing import Protocol

from torch import Tensor

from pofxy.base.data import TrainingData


class Model(Protocol):
    """Every model."""

    def fit(self, data: TrainingData, trainer) -> None:
        """Fits the model to the train split; `trainer` is for models that are trained in steps.

        Raises:
            ValueError: where the model cannot be fitted to such data; the message names the data set and the cause.
        """
        ...


class SupportsPredict(Protocol):
    """A classifier."""

    def predict(self, x: Tensor) -> Tensor:
        """x -> (N,) int64 labels."""
        ...


class SupportsDecisionFunction(Protocol):
    """A classifier with scores that torch can differentiate with respect to x."""

    def decision_function(self, x: Tensor) -> Tensor:
        """x -> (N, K) scores, the largest for the label that `predict` gives."""
        ...


class SupportsPredictProba(Protocol):
    """A classifier with probabilities."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """x -> (N, K) probabilities p(y | x); rows sum to 1."""
        ...


class SupportsLogJoint(Protocol):
    """A model of the joint distribution."""

    def log_joint(self, x: Tensor) -> Tensor:
        """x -> (N, K) nats, log p(x, y).

        Labels, probabilities and log p(x) must follow from it by Bayes' rule, as by `BayesRuleMixin`, and a `decision_function`
        must be the same: evaluations compute it once and take the others from it.
        """
        ...


class SupportsLogJointKnown(Protocol):
    """A model of the joint distribution that marginalizes exactly over missing values."""

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """x, known (N, ...) bool -> (N, K) nats, log p(known part of x, y), the rest integrated out exactly."""
        ...


class SupportsLogProb(Protocol):
    """A model with a tractable likelihood."""

    def log_prob(self, x: Tensor) -> Tensor:
        """x -> (N,) nats, log p(x): a mass over L-level images or a density, as the tag `likelihood` says.

        Exact, unless the tag `log_prob_estimator` names how an unbiased estimate is found.
        """
        ...


class SupportsLogWeight(Protocol):
    """A latent-variable model with importance weights."""

    def log_weight(self, x: Tensor) -> Tensor:
        """x -> (N,) nats, log p(x, z) - log q(z | x) for one z drawn from q: the mean of its exponential is p(x)."""
        ...


class SupportsLogProbBound(Protocol):
    """A model with a lower bound of its likelihood."""

    def log_prob_bound(self, x: Tensor) -> Tensor:
        """x -> (N,) nats, a lower bound of log p(x); the tag `bound` names it."""
        ...


class SupportsLogJointBound(Protocol):
    """A class-conditional model with a lower bound of its likelihood."""

    def log_joint_bound(self, x: Tensor) -> Tensor:
        """x -> (N, K) nats, a lower bound of log p(x, y) for every y."""
        ...


class SupportsLogUnnormalized(Protocol):
    """An energy-based model whose normalizer Z is estimated by annealed importance sampling.

    For the estimate the model also has a path of distributions over states s (n, ...), from beta 0, where the normalizer is 1, to
    beta 1, where it is Z: `log_annealed(s, beta)` (n,) nats; `gibbs_step(s, beta)`, a step that leaves the distribution at beta
    invariant; `base_sample(n)`, exact samples at beta 0; `state_of(x)`, a sample of the state that belongs to an image.
    """

    def log_unnormalized(self, x: Tensor) -> Tensor:
        """x -> (N,) nats, log p(x) + log Z, or a lower bound of it, which the tag `bound` then names."""
        ...


class SupportsSample(Protocol):
    """A generative model that can be sampled."""

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n, labels (n,) int64 or None -> (n, C, H, W) in [0, 1]; labels are used where the tag `conditional` is set."""
        ...


class SupportsSampleText(Protocol):
    """A text-to-image model."""

    def sample_text(self, prompts: list[str]) -> Tensor:
        """n prompts -> (n, C, H, W) in [0, 1]."""
        ...

    def captions(self, label: int) -> tuple[list[str], list[str]]:
        """The wordings of a class that the model was trained on, and some that were held out."""
        ...


class SupportsReconstruct(Protocol):
    """A model that maps an image to a latent representation and back."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """x -> the shape of x, in [0, 1]."""
        ...


class SupportsInpaint(Protocol):
    """A model that fills in missing pixels."""

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """x, mask (1 where known) -> the shape of x, in [0, 1]."""
        ...


class SupportsEncode(Protocol):
    """A model with a latent representation."""

    def encode(self, x: Tensor) -> Tensor:
        """x -> (N, Z) latents."""
        ...


class SupportsDecode(Protocol):
    """A model that maps latents to images."""

    def decode(self, z: Tensor) -> Tensor:
        """z (N, Z) -> (N, ...) in [0, 1], the image that a latent vector stands for."""
        ...
