"""Opens the study in MLflow before any job runs: the database, and for each data set an experiment with a parent run."""

from pofxy.workflow.job import job

with job(snakemake, "track"):
    from pofxy import tracking
    from pofxy.study import plan
    from pofxy.workflow.provenance import provenance

    config = snakemake.config
    tracking.describe(config, list(plan.sources(config)), provenance(config))
    tracking.deliver(config["results"])
