"""Opens the study in MLflow before any job runs: the database, an experiment per data set, a parent run in each."""

from pofxy.job import job

with job(snakemake, "track"):
    from pofxy import files, tracking
    from pofxy.provenance import provenance

    origin = provenance(snakemake.config)
    study = {
        "study": snakemake.params.study,
        "datasets": snakemake.params.datasets,
        "params": {key: value for key, value in snakemake.config.items() if key != "settings"},
        "tags": {"commit": origin["commit"], "config_hash": origin["config_hash"], "pofxy": "study"},
    }
    files.write_json(snakemake.output[0], study)
    tracking.deliver(snakemake.config["results"])
