rule train:
    input:
        data=multiext(str(DATA / "train_"), "x.npy", "y.npy"),
        val=multiext(str(DATA / "val_"), "x.npy", "y.npy"),
        spec=DATA / "spec.json",
        fitted=fitted_model_of_run,
    output:
        model=directory(RUN / "model"),
        history=RUN / "history.csv",
        cost=RUN / "train.json",
        training_samples=directory(RUN / "training_samples"),
    log:
        RUN / "logs/train.log",
    conda:
        "../envs/pofxy.yaml"
    threads: lambda wildcards: settings_of_model(wildcards).get("threads", 1)
    resources:  # no parameter: another limit trains nothing anew
        time_limit=time_limit_of_model,
        runtime=lambda wildcards: time_limit_of_model(wildcards) // 60 + 5,
    params:
        code=lambda wildcards: code_of("train.py", *dependencies.model_files(run_of(wildcards))),
        run=run_of,
        hyperparameters=lambda wildcards: plan.hyperparameters(config, wildcards.model),
    message:
        "train {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"


# It waits for the model, which it does not need: training opens the run's place in MLflow, and a model that cannot be fitted to all
# of the data fails once.
rule learn:
    input:
        model=RUN / "model",
        train=multiext(str(DATA / "train_"), "x.npy", "y.npy"),
        test=multiext(str(DATA / "test_"), "x.npy", "y.npy"),
        spec=DATA / "spec.json",
    output:
        curve=RUN / "learning/curve.csv",
        cost=RUN / "learning/learn.json",
    log:
        RUN / "logs/learn.log",
    conda:
        "../envs/pofxy.yaml"
    threads: lambda wildcards: settings_of_model(wildcards).get("threads", 1)
    resources:
        time_limit=time_limit_of_model,
        runtime=lambda wildcards: time_limit_of_model(wildcards) // 60 + 5,
    params:
        code=lambda wildcards: code_of("learn.py", *dependencies.model_files(run_of(wildcards))),
        run=run_of,
        hyperparameters=lambda wildcards: plan.hyperparameters(config, wildcards.model),
        subsets=lambda wildcards: plan.subsets(config, run_of(wildcards)),
    message:
        "learn {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/learn.py"
