rule evaluate:
    input:
        model=RUN / "model",
        samples=samples_of_run,
        judge=feature_nets_of_run,
        splits=expand(DATA / "{split}_{part}.npy", split=["test", "train"], part=["x", "y"], allow_missing=True),
        others=images_of_others,
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
        asked=ASKED,
        inception=config["inception"],
    message:
        "evaluate {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"
