# MLflow's database and experiments are made once, before anything else: two processes that open a new database break it.
rule track:
    output:
        TRACKING / "study.json",
    log:
        TRACKING / "track.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    params:
        study=config["study"],
        datasets=list(SOURCES),
        # Another server is another study.json. Snakemake keeps parameters in files: a password in the address stays out.
        uri=os.environ.get("MLFLOW_TRACKING_URI", "").rpartition("@")[2],
    message:
        "track the study {params.study} in MLflow"
    script:
        "../scripts/track.py"


# What an earlier run could not send, for want of a server, is sent by this one.
rule deliver:
    input:
        ancient(TRACKING / "study.json"),
    output:
        TRACKING / "deliveries/{stamp}.json",
    log:
        TRACKING / "deliveries/{stamp}.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    message:
        "deliver to MLflow what an earlier run could not"
    script:
        "../scripts/deliver.py"
