"""Scores one fitted model on the test split, by which nothing is chosen."""

from pathlib import Path

from pofxy.job import job

with job(snakemake, "evaluate"):
    from pofxy import evaluation, evidence, splits, store, tracking

    given, params, results = snakemake.input, snakemake.params, snakemake.config["results"]
    evaluation.evaluate(
        evidence.Evidence(
            store.load_model(given.model),
            splits.load_split(*given.splits[:2]),
            splits.load_split(*given.splits[2:]),
            store.load_spec(given.spec),
            samples=splits.load_split(*given.samples) if given.samples else None,
            judge=store.load_model(given.judge[0]) if given.judge else None,
            seed=params.run.seed,
            others={Path(path).parent.name: splits.load(path) for path in given.others},
            inception=evidence.open_inception(params.inception),
        ),
        params.run,
        evaluation.Outputs(*snakemake.output),
        tracker := tracking.Tracker(results, params.run.key),
    )
    tracker.flush()
    tracking.deliver_if_due(results)
