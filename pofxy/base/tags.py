"""What a model states about itself, beyond what its methods say: one typed object, as scikit-learn's estimator tags are.

A model class sets `tags = Tags(...)`. The catalog reads it from the source text, so its arguments are literals. A class without
`tags` has those of its base class, and in the end the defaults.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Tags:
    """Facts about a model.

    Attributes:
        conditional: whether `sample` uses the labels it is given.
        likelihood: what log p(x) is taken over: a "mass" over L-level images, or a "density".
        log_prob_estimator: how a `log_prob` that is an unbiased estimate is found; "" for an exact one.
        bound: name of the lower bound that `log_prob_bound`, `log_joint_bound` or `log_unnormalized` gives; "" for none.
        binarized: "threshold" or "stochastic" for a model of binary images, "" for any other.
        images_only: whether the model cannot be fitted to a table.
        trained_in_steps: whether `fit` takes gradient steps, so that its cost is set by the argument `steps`.
        passes: how often the net is evaluated to classify an image or to find its log p(x), whichever takes more; a gradient
            counts twice. Evaluations take fewer images where this is large.
        inpainting_passes: how often it is evaluated to fill in an image; 0 for once per number of the image, one after the other.
        passes_per_class: whether both are the passes for each class.
        samples_without_replacement: whether all samples must be drawn in one call, because none may be drawn twice.
        samples_are_real: whether samples are real train images, which then do not count as copies of train images.
        n_redraws: how many further sets of samples the evaluation draws, to show the spread of every score of samples.
        needs_known_distribution: whether the model can be fitted only to data whose distribution is known.
        discriminative_counterpart: of a generative classifier, the discriminative model with the same decision boundaries.
    """

    conditional: bool = False
    likelihood: Literal["mass", "density"] = "mass"
    log_prob_estimator: str = ""
    bound: str = ""
    binarized: Literal["", "threshold", "stochastic"] = ""
    images_only: bool = False
    trained_in_steps: bool = False
    passes: int = 1
    inpainting_passes: int = 1
    passes_per_class: bool = False
    samples_without_replacement: bool = False
    samples_are_real: bool = False
    n_redraws: int = 0
    needs_known_distribution: bool = False
    discriminative_counterpart: str = ""


def tags_of(model) -> Tags:
    """The tags of a model or a model class."""
    return getattr(model, "tags", Tags())
