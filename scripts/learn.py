"""Fits one model to ever larger subsets of the train split, and scores each fit on the test split."""

from pofxy.workflow.job import job

with job(snakemake, "learn"):
    from pofxy import tracking
    from pofxy.data import splits
    from pofxy.storage.models import load_spec
    from pofxy.training import learning_curve

    given, run, params, results = snakemake.input, snakemake.params.run, snakemake.params, snakemake.config["results"]
    learning_curve.learn(
        run,
        params.hyperparameters,
        load_spec(given.spec),
        splits.load_split(*given.train),
        splits.load_split(*given.test),
        learning_curve.Subsets(**params.subsets),
        snakemake.resources.time_limit,
        learning_curve.Outputs(*snakemake.output),
        tracker := tracking.Tracker(results, run.key),
    )
    tracker.flush()
    tracking.deliver_if_due(results)
