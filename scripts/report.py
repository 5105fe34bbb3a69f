"""Renders the report from the tables and files of the runs, and ends the study in MLflow."""

from pofxy.workflow.job import job

with job(snakemake, "report"):
    from pathlib import Path

    from pofxy.report import collect
    from pofxy.report.render import render

    render(Path(snakemake.params.config["results"]), snakemake.params.config, Path(snakemake.output[0]))
    collect.close(snakemake.params.config)
