"""Fits one model with one seed on one data set."""

from pofxy.workflow.job import job

run, params, results = snakemake.params.run, snakemake.params, snakemake.config["results"]

with job(snakemake, "train"):
    from pofxy import tracking
    from pofxy.data import splits
    from pofxy.training import fit
    from pofxy.workflow.provenance import provenance

    tracker = tracking.Tracker(results, run.key)
    fit.fit(
        run,
        params.hyperparameters,
        splits.load_data(snakemake.input.data, snakemake.input.val, snakemake.input.spec),
        fit.Outputs(*snakemake.output),
        code=params.code,
        time_limit=snakemake.resources.time_limit,
        origin=provenance(snakemake.config),
        tracker=tracker,
    )
    tracking.deliver_if_due(results)
