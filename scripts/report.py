"""Renders the report from the tables and the files of the runs."""

from pofxy.job import job

with job(snakemake, "report"):
    from pathlib import Path

    from pofxy import results
    from pofxy.report import render

    render(Path(snakemake.params.config["results"]), snakemake.params.config, Path(snakemake.output[0]))
    results.close(snakemake.params.config)
