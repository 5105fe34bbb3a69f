"""pofxy: both sides of p(x, y), trained on the same data and compared honestly."""

__version__ = "0.1.0"
