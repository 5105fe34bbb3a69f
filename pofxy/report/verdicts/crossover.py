"""Crossover: from how many training images on a discriminative classifier beats its generative counterpart."""

from pofxy.report.counterparts import pairs
from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict

ORDER = 70


def crossover(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where no pair has learning curves."""
    sentences = [pair.verdict for pair in pairs(study, dataset)]
    if not sentences:
        return []
    return [
        Verdict(
            question="From how many training images on does the discriminative counterpart win?",
            measure="Crossover of the learning curves",
            details="n: the training images per class at which the accuracies on the test split cross, with 95 % interval",
            remarks=sentences,
        )
    ]
