rule sample:
    input:
        model=RUN / "model",
        audit=DATA / "audit.json",
    output:
        samples=multiext(str(RUN / "samples_"), "x.npy", "y.npy"),
        grid=report(
            RUN / "samples.png",
            category="Samples",
            labels={"data": "{dataset}", "model": "{model}", "seed": "{seed}"},
            caption="../report/samples.rst",
        ),
        cost=RUN / "sample.json",
    log:
        RUN / "logs/sample.log",
    conda:
        "../envs/pofxy.yaml"
    params:
        code=lambda wildcards: code_of("sample.py", MODELS[run_of(wildcards).of].path),
        run=run_of,
        samples=config["samples"],
    message:
        "sample {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/sample.py"
