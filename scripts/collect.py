"""Gathers the scores and the costs of all runs into scores.csv and runs.csv."""

from pofxy.workflow.job import job

with job(snakemake, "collect"):
    from pofxy.report import collect

    collect.collect(snakemake.params.config)
