"""Draws samples from one fitted model: as many as the test split has images, at most `samples` of the config."""

from pofxy.workflow.job import job

with job(snakemake, "sample"):
    from pofxy import tracking
    from pofxy.sampling import sample
    from pofxy.storage import files

    run = snakemake.params.run
    results = snakemake.config["results"]
    # The audit says how many test images there are: the test split itself is not opened here.
    counts = files.read_json(snakemake.input.audit)["counts"]
    sample.sample(
        snakemake.input.model,
        n=min(snakemake.params.samples, sum(counts["test"])),
        class_counts=counts["train"],
        seed=run.seed,
        outputs=sample.Outputs(*snakemake.output.samples, snakemake.output.grid, snakemake.output.cost),
        tracker=tracking.Tracker(results, run.key),
    )
    tracking.deliver_if_due(results)
