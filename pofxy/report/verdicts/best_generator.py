"""Best generator: the model whose samples have the lowest Fréchet distance from the test images.

It is the distance extrapolated to infinitely many samples: that of finitely many is too large, and the more so the fewer there
are.
"""

from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict
from pofxy.report.verdicts._best import best

ORDER = 20
METRICS = ("frechet_distance_infinity",)


def best_generator(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where no model generates samples."""
    return best(study, dataset, "Whose samples look most like the data?", METRICS)
