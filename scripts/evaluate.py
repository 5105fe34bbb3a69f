"""Scores one fitted model on the test split, by which nothing is chosen."""

from pofxy.workflow.job import job, time_limit

with job(snakemake, "evaluate"):
    from pofxy import tracking
    from pofxy.evaluation.evaluate import Outputs, evaluate
    from pofxy.evaluation.facts import open_facts
    from pofxy.evaluation.graph import Graph
    from pofxy.evaluation.kept_values import KeptValues

    given, params, results = snakemake.input, snakemake.params, snakemake.config["results"]
    spec, *splits = given.data
    facts = open_facts(
        model=given.model,
        spec=spec,
        test=splits[:2],
        train=splits[2:],
        samples=given.samples,
        feature_net=given.feature_net,
        others=given.others,
        inception=params.inception,
        seed=params.run.seed,
        code=params.code,
    )
    graph = Graph(facts, params.run.capabilities, params.code, KeptValues.beside(snakemake.output.scores))
    with time_limit(snakemake.resources.time_limit):
        evaluate(graph, params.run, Outputs(*snakemake.output), tracker := tracking.Tracker(results, params.run.key))
    tracker.flush()
    tracking.deliver_if_due(results)
