# Opens the study in MLflow while the data are fetched. Nothing waits for it: there is one sender at a time, and whichever is the
# first makes the database. It has no parameters; collect brings the description of the study up to date.
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
        TRACKING / "study.json",
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
