"""The columns of the tables in results/report: a public contract, as is their order. Standard library only."""

# What a score says of itself, and in scores.csv whose it is.
SCORE = ("metric", "value", "ci_low", "ci_high", "higher_is_better", "unit", "estimator", "bound", "split", "n")
WHOSE = ("dataset", "model", "family", "seed")
# `position`: 0 where the value is that of the floor `real_train`, 1 where it is that of the ceiling.
SCORES = (*WHOSE, *SCORE, "position")

# curves.csv: a score under one condition at one place of a curve. `draw` counts training subsets where a curve has several.
CURVE = ("curve", "condition", "at", "draw", "value", "ci_low", "ci_high", "unit", "estimator", "split", "n")
CURVES = (*WHOSE, *CURVE)

# runs.csv: one row for every run that the study planned, whether it is whole or not.
RUNS = (
    *WHOSE,
    "status",
    "reason",
    "capabilities",
    "parameters",
    "fit_seconds",
    "sample_seconds_per_1000",
    "predict_ms_per_image",
    "peak_mb",
    "model_bytes",
    "mlflow_run_id",
    "predict_ms_single",
)
