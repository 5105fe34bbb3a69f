"""Fits one model to ever larger subsets of the train split, and scores each fit on the test split."""

from pofxy.job import job

with job(snakemake, "learn"):
    from pofxy import learning, splits, store, tracking

    given, run, params, results = snakemake.input, snakemake.params.run, snakemake.params, snakemake.config["results"]
    learning.learn(
        run,
        params.hyperparameters,
        store.load_spec(given.spec),
        splits.load_split(*given.train),
        splits.load_split(*given.test),
        learning.Subsets(**params.subsets),
        snakemake.resources.time_limit,
        learning.Outputs(*snakemake.output),
        tracker := tracking.Tracker(results, run.key),
    )
    tracker.flush()
    tracking.deliver_if_due(results)
