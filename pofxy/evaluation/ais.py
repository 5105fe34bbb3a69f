from pofxy.evaluation.likelihood import CHAINS, Annealing, anneal  # noqa: F401
