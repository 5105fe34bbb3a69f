"""Downloads the raw files of a data set."""

from pofxy.workflow.job import job

with job(snakemake, "download"):
    from pathlib import Path

    from pofxy.data.datasets import open_dataset
    from pofxy.storage.files import atomic

    dataset = open_dataset(snakemake.params.of, snakemake.params.arguments)
    with atomic(snakemake.output[0]) as folder:
        folder.mkdir()
        # In downloads/ a user without a network may have put the files.
        dataset.download(folder, offered=Path("downloads") / snakemake.wildcards.dataset)
