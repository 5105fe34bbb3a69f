"""Sends to MLflow what an earlier run could not."""

from pofxy.job import job

with job(snakemake, "deliver"):
    from pofxy import files, tracking

    waiting = tracking.deliver(snakemake.config["results"])
    files.write_json(snakemake.output[0], {"waiting": waiting})
