rule evaluate:
    input:
        model=RUN / "model",
        samples=samples_of_run,
        judge=judge_of_run,
        test=multiext(str(DATA / "test_"), "x.npy", "y.npy"),
        train=multiext(str(DATA / "train_"), "x.npy", "y.npy"),
        others=lambda wildcards: expand(DATA / "test_x.npy", dataset=other_datasets(wildcards)),
        inception=weights_of_inception,
        spec=DATA / "spec.json",
        source=sources_of_evaluation,
    output:
        scores=RUN / "scores.csv",
        curves=RUN / "curves.csv",
        pictures=directory(RUN / "pictures"),
        predictions=directory(RUN / "predictions"),
        cost=RUN / "evaluate.json",
    log:
        RUN / "logs/evaluate.log",
    benchmark:
        RUN / "logs/evaluate.tsv"
    conda:
        "../envs/pofxy.yaml"
    params:
        run=run_of,
        others=other_datasets,
        inception=config["inception"],
    message:
        "evaluate {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"
