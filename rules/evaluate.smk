def samples_of_run(wildcards):
    return in_run(run_of(wildcards), "samples_x.npy") if "sample" in run_of(wildcards).verbs else []


def judge_of_run(wildcards):
    """The net whose features samples are compared on: the data set's own."""
    judges = [run for run in RUNS if run.family == "judge" and run.dataset == wildcards.dataset]
    return [path for run in judges for path in in_run(run, "model")] if "sample" in run_of(wildcards).verbs else []


def sources_of_evaluation(wildcards):
    known = catalog.models()
    judges = [known[run.of] for run in RUNS if run.family == "judge"] if "sample" in run_of(wildcards).verbs else []
    return source_files("evaluate.py", known[run_of(wildcards).of], *judges, *catalog.metrics().values())


rule evaluate:
    input:
        model=RUN / "model",
        samples=samples_of_run,
        judge=judge_of_run,
        test=multiext(str(DATA / "test_"), "x.npy", "y.npy"),
        spec=DATA / "spec.json",
        source=sources_of_evaluation,
    output:
        scores=RUN / "scores.csv",
        pictures=directory(RUN / "pictures"),
        cost=RUN / "evaluate.json",
    log:
        RUN / "logs/evaluate.log",
    benchmark:
        RUN / "logs/evaluate.tsv"
    params:
        run=run_of,
    script:
        "../scripts/evaluate.py"
