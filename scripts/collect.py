"""Gathers the scores and the costs of all runs into scores.csv and runs.csv."""

from pofxy.job import job

with job(snakemake, "collect"):
    from pofxy import results

    results.collect(snakemake.params.config)
