"""Collects the scores and costs of all runs into scores.csv, curves.csv and runs.csv."""

from pofxy.workflow.job import job

with job(snakemake, "collect"):
    from pofxy.report import collect

    collect.collect(snakemake.params.config)
