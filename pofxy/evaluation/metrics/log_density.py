"""Log-density: how dense the model's law is where the rows of a table lie.

    1/N sum_n log p(x_n),      p a density over the columns as models see them

The score of density estimation on tables, in nats; higher is better, and it may be positive, for a density has no upper bound.
Source: B. Uria, I. Murray, H. Larochelle, "RNADE: the real-valued neural autoregressive density-estimator", NIPS 2013, where
models of tables are compared by it. Traps: it changes with the scale of the columns, so only values on the same data set are
comparable; a column that repeats a few values, or a row that occurs twice, can be given any density whatever.
"""

HIGHER_IS_BETTER = True
UNIT = "nats"


def log_density(log_density):
    """log p(x) of each row in nats, (N,)."""
    return log_density
