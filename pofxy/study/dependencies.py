"""Which code the results of each rule depend on, beyond the script that the rule runs. Standard library only."""

from functools import cache
from pathlib import Path

from pofxy.study import catalog, fingerprint
from pofxy.study.plan import uses_feature_net
from pofxy.study.run import Run


def code_of_evaluation(run: Run, feature_net: str | None) -> dict[str, str]:
    """Fingerprints of all that a run's evaluation is made of, part by part.

    Args:
        run: that is evaluated.
        feature_net: the model file of the study's feature net; None where there is none.

    Returns:
        By "model" and "feature_net" those of the models, and by its path below the package that of each file of a metric or
        quantity that the model gets.
    """
    net = feature_net if uses_feature_net(run.capabilities) else None
    return dict(_code_of_evaluation(tuple(model_files(run)), run.capabilities, net))


@cache
def _code_of_evaluation(model: tuple[Path, ...], capabilities: tuple[str, ...], feature_net: str | None) -> dict[str, str]:
    nets = [catalog.models()[feature_net].path] if feature_net else []
    own = {"model": fingerprint.fingerprint(*model), "feature_net": fingerprint.fingerprint(*nets)}
    return own | _code_of_quantities(capabilities)


def model_files(run: Run) -> list[Path]:
    """The files of a run's model that nothing else imports: its own, and the calibration's where it is calibrated."""
    calibration = [catalog.PACKAGE / "base/calibration.py"] if run.calibrate else []
    return [catalog.models()[run.of].path, *calibration]


@cache
def _code_of_quantities(capabilities: tuple[str, ...]) -> dict[str, str]:
    measuring = catalog.PACKAGE / "evaluation/scores.py"
    found = {}
    for entry in (*catalog.metrics().values(), *catalog.quantities().values()):
        if not catalog.why_not(entry.dependencies, capabilities):
            more = [measuring] if isinstance(entry, catalog.MetricEntry) else []
            found[str(entry.path.relative_to(catalog.PACKAGE))] = fingerprint.fingerprint(entry.path, *more)
    return found


def report_files() -> list[Path]:
    """The code of the report that is found by name and imported nowhere: figures and verdicts."""
    return [path for folder in ("figures", "verdicts") for path in sorted((catalog.PACKAGE / "report" / folder).glob("*.py"))]


def shown_files() -> list[Path]:
    """The files whose text the report shows: templates, and the docstrings of figures, verdicts, metrics and models."""
    templates = [path for path in (catalog.PACKAGE / "report").iterdir() if path.suffix in (".j2", ".css", ".js")]
    entries = [*catalog.metrics().values(), *catalog.models().values()]
    return [*templates, *report_files(), *(entry.path for entry in entries)]
