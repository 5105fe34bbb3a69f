"""Splits a data set into train, val and test arrays, and audits them."""

from pofxy.workflow.job import job

with job(snakemake, "preprocess"):
    from pathlib import Path

    from pofxy.data.datasets import open_dataset
    from pofxy.data.preprocess import preprocess

    data = open_dataset(snakemake.params.of, snakemake.params.arguments).read(Path(snakemake.input.raw))
    preprocess(snakemake.wildcards.dataset, data, Path(snakemake.output.spec).parent, **snakemake.params.split)
