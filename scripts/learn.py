"""Fits one model to subsets of the train split of increasing size, and scores each fit on the test split."""

from pofxy.workflow.job import job

with job(snakemake, "learn"):
    from pofxy import tracking
    from pofxy.data import splits
    from pofxy.storage.models import load_spec
    from pofxy.training import learning_curve

    params = snakemake.params
    results = snakemake.config["results"]
    tracker = tracking.Tracker(results, params.run.key)
    learning_curve.learn(
        params.run,
        params.hyperparameters,
        load_spec(snakemake.input.spec),
        splits.load_split(*snakemake.input.train),
        splits.load_split(*snakemake.input.test),
        learning_curve.Subsets(**params.subsets),
        snakemake.resources.time_limit,
        learning_curve.Outputs(*snakemake.output),
        tracker,
    )
    tracker.flush()
    tracking.deliver_if_due(results)
