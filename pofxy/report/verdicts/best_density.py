"""Best density: the model with the highest likelihood on the test split, in bits per dimension or as a log-density."""

from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict
from pofxy.report.verdicts._best import best

ORDER = 30
METRICS = ("bits_per_dim", "log_density")


def best_density(study: Study, dataset: str) -> list[Verdict]:
    """A verdict for each unit, as likelihoods of different units are not comparable; none where no likelihood is known."""
    return best(study, dataset, "Which density fits best?", METRICS)
