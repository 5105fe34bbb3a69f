"""Best classifier: the model with the highest accuracy on the test split."""

from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict
from pofxy.report.verdicts._best import best

ORDER = 10
METRICS = ("accuracy",)


def best_classifier(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where no model classifies."""
    return best(study, dataset, "Which model classifies best?", METRICS)
