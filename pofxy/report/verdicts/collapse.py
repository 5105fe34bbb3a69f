"""Mode collapse: which models generate the same image again and again, or leave out a class."""

from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict

ORDER = 50


def collapse(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where the samples of no model were monitored during training and no model leaves out a class."""
    scores = study.test_summary(dataset)
    if scores.empty:
        return []
    shares = scores[(scores["metric"] == "distinct_classes") & (scores["family"] == "generative")]
    shares = dict(zip(shares["model"], shares["value"]))
    runs = study.runs[(study.runs["dataset"] == dataset) & (study.runs["family"] == "generative")]
    alarms = []
    monitored = False
    for model, seeds in runs.groupby("model", sort=False):
        trained = [study.train(dataset, str(model), seed) for seed in seeds["seed"]]
        monitored = monitored or any(run.get("training_samples") for run in trained)
        epochs = dict.fromkeys(run["collapsed"] for run in trained if run.get("collapsed") is not None)
        signs = [f"from epoch {epoch} on, its samples of a class are all alike" for epoch in epochs]
        share = shares.get(model, 1)
        if share < 1:
            signs.append(f"only {100 * share:.0f} % of the classes occur among its samples")
        if signs:
            alarms.append(f"{model}: {', and '.join(signs)}.")
    if not monitored and not alarms:
        return []
    remarks = ["No. Samples stay as diverse as train images until the end of training, and every class occurs among them."]
    return [
        Verdict(
            question="Has anything collapsed?",
            measure="Mode collapse",
            details="Distances between samples of a class, compared with distances between train images, at the end of training; "
            "and the share of classes that occur among the samples",
            remarks=[] if alarms else remarks,
            alarms=alarms,
        )
    ]
