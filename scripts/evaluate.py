"""Scores one fitted model on the test split, by which nothing is chosen."""

from pathlib import Path

from pofxy.workflow.job import job

with job(snakemake, "evaluate"):
    from pofxy import tracking
    from pofxy.data import splits
    from pofxy.evaluation import context, evaluate
    from pofxy.storage.models import load_model, load_spec

    given, params, results = snakemake.input, snakemake.params, snakemake.config["results"]
    evaluate.evaluate(
        context.EvaluationContext(
            load_model(given.model),
            splits.load_split(*given.splits[:2]),
            splits.load_split(*given.splits[2:]),
            load_spec(given.spec),
            samples=splits.load_split(*given.samples) if given.samples else None,
            judge=load_model(given.judge[0]) if given.judge else None,
            seed=params.run.seed,
            others={Path(path).parent.name: splits.load(path) for path in given.others},
            inception=context.open_inception(params.inception),
        ),
        params.run,
        evaluate.Outputs(*snakemake.output),
        tracker := tracking.Tracker(results, params.run.key),
    )
    tracker.flush()
    tracking.deliver_if_due(results)
