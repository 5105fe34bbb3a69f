"""Fits one model with one seed to one data set."""

from pofxy.workflow.job import job

with job(snakemake, "train"):
    from pofxy import tracking
    from pofxy.data import splits
    from pofxy.training import fit
    from pofxy.workflow.provenance import provenance

    params = snakemake.params
    results = snakemake.config["results"]
    fit.fit(
        params.run,
        params.hyperparameters,
        splits.load_data(snakemake.input.data, snakemake.input.val, snakemake.input.spec),
        fit.Outputs(*snakemake.output),
        code=params.code,
        time_limit=snakemake.resources.time_limit,
        origin=provenance(snakemake.config),
        tracker=tracking.Tracker(results, params.run.key),
        fitted=snakemake.input.fitted,
    )
    tracking.deliver_if_due(results)
