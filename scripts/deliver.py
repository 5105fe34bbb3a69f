"""Sends to MLflow the events that earlier runs could not send."""

from pofxy.workflow.job import job

with job(snakemake, "deliver"):
    from pofxy import tracking
    from pofxy.storage import files

    waiting = tracking.deliver(snakemake.config["results"])
    files.write_json(snakemake.output[0], {"waiting": waiting})
