"""Draws samples from one fitted model: as many as the test split has images, at most `samples` of the config."""

from pofxy.job import job

with job(snakemake, "sample"):
    from pofxy import sampling, tracking

    run, results = snakemake.params.run, snakemake.config["results"]
    tracker = tracking.Tracker(results, run.key)
    sampling.sample(
        snakemake.input.model,
        labels_file=snakemake.input.test,
        at_most=snakemake.params.samples,
        seed=run.seed,
        outputs=sampling.Outputs(*snakemake.output.samples, snakemake.output.grid, snakemake.output.cost),
        tracker=tracker,
    )
    tracking.deliver_if_due(results)
