# MLflow's database and experiments are made once, before anything else: two processes that open a new database break it. It has
# no parameters, as a job that is run again hides from Snakemake what else is missing behind an `ancient` input: collect brings
# the description up to date.
rule track:
    output:
        TRACKING / "study.json",
    log:
        TRACKING / "track.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    message:
        "track the study in MLflow"
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
