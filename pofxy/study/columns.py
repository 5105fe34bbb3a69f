"""The columns of the tables in results/report, in their order: a public contract. Standard library only."""

# Which run a row belongs to.
RUN_KEY = ("dataset", "model", "family", "seed")
# One score with its provenance. `bound`: "True" where a likelihood is only a bound, which the true value is at least as good as;
# "False" where it is exact or an unbiased estimate; "" where the score is no likelihood.
SCORE = ("metric", "value", "ci_low", "ci_high", "higher_is_better", "unit", "estimator", "bound", "split", "n")
# scores.csv. `normalized_score`: 0 at the floor `real_train`, 1 at the ceiling `independent_pixels` (of tables, `noise`); empty
# where the two do not differ beyond their intervals.
SCORES = (*RUN_KEY, *SCORE, "normalized_score")

# curves.csv: a score under one condition at one point of a curve. `draw` numbers the training subsets where a curve has several.
CURVE = ("curve", "condition", "at", "draw", "value", "ci_low", "ci_high", "unit", "estimator", "split", "n")
CURVES = (*RUN_KEY, *CURVE)

# runs.csv: one row for every run that the study planned, whether it succeeded or not.
RUNS = (
    *RUN_KEY,
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
