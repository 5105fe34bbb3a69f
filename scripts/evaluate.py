"""Scores one fitted model on the test split, by which nothing is chosen."""

from pofxy.job import job

with job(snakemake, "evaluate"):
    from pofxy import splits, store, tracking
    from pofxy.evaluation import Evidence, Outputs, evaluate

    given, run, results = snakemake.input, snakemake.params.run, snakemake.config["results"]
    evaluate(
        Evidence(
            store.load_model(given.model),
            *splits.load_split(*given.test),
            store.load_spec(given.spec),
            samples=splits.load(given.samples[0]) if given.samples else None,
            judge=store.load_model(given.judge[0]) if given.judge else None,
            seed=run.seed,
            mean=splits.load(given.train).mean(0),
        ),
        run,
        Outputs(*snakemake.output),
        tracker := tracking.Tracker(results, run.key),
    )
    tracker.flush()
    tracking.deliver_if_due(results)
