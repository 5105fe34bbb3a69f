rule evaluate:
    input:
        model=RUN / "model",
        samples=samples_of_run,
        feature_net=feature_nets_of_run,
        data=multiext(f"{DATA}/", "spec.json", "test_x.npy", "test_y.npy", "train_x.npy", "train_y.npy"),
        others=images_of_others,
    output:
        scores=RUN / "scores.csv",
        curves=RUN / "curves.csv",
        pictures=directory(RUN / "pictures"),
        predictions=directory(RUN / "predictions"),
        cost=RUN / "evaluate.json",
    log:
        RUN / "logs/evaluate.log",
    conda:
        "../envs/pofxy.yaml"
    resources:
        time_limit=time_limit_of_model,
        runtime=lambda wildcards: time_limit_of_model(wildcards) // 60 + 5,
    params:
        run=run_of,
        code=code_of_evaluation,
        inception=config["inception"],
    message:
        "evaluate {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"
