rule download:
    input:
        files=lambda wildcards: plan.local_files(source_of_dataset(wildcards)),
    output:
        directory(DATA / "raw"),
    log:
        DATA / "logs/download.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    params:
        code=lambda wildcards: code_of("download.py", DATASETS[source_of_dataset(wildcards).of].path),
        of=lambda wildcards: source_of_dataset(wildcards).of,
        arguments=lambda wildcards: source_of_dataset(wildcards).arguments,
    message:
        "download {wildcards.dataset}"
    script:
        "../scripts/download.py"


rule preprocess:
    input:
        raw=DATA / "raw",
    output:
        train=multiext(str(DATA / "train_"), "x.npy", "y.npy"),
        val=multiext(str(DATA / "val_"), "x.npy", "y.npy"),
        test=multiext(str(DATA / "test_"), "x.npy", "y.npy"),
        spec=DATA / "spec.json",
        audit=report(DATA / "audit.json", category="Data", caption="../report/audit.rst"),
    log:
        DATA / "logs/preprocess.log",
    conda:
        "../envs/pofxy.yaml"
    params:
        code=lambda wildcards: code_of("preprocess.py", DATASETS[source_of_dataset(wildcards).of].path),
        of=lambda wildcards: source_of_dataset(wildcards).of,
        arguments=lambda wildcards: source_of_dataset(wildcards).arguments,
        split=config["split"],
    message:
        "preprocess {wildcards.dataset}"
    script:
        "../scripts/preprocess.py"
