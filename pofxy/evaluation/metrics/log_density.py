"""Log-density: the mean log-density of the rows of a table under the model.

    1/N sum_n log p(x_n),      p a density over the columns as models see them

The usual score of density estimation on tables, in nats. It may be positive, because a density has no upper bound.

Source: B. Uria, I. Murray, H. Larochelle, "RNADE: the real-valued neural autoregressive density-estimator", NIPS 2013, where
models of tables are compared by it. https://arxiv.org/abs/1306.0186

Traps: it changes with the scale of the columns, so only values on the same data set are comparable. A column that repeats a few
values, or a row that occurs twice, can be given an arbitrarily high density.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "nats"


def log_density(log_density: np.ndarray) -> np.ndarray:
    """Log-density of each row.

    Args:
        log_density: log p(x) in nats, (N,).

    Returns:
        The same, (N,).
    """
    return log_density
