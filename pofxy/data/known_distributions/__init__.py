"""Laws: distributions p(x, y) that are known exactly, to draw data sets from and to measure measures by.

A file of this folder holds one class, made with plain arguments, which has
    draw(n, generator) -> x float32 (n, ...) in [0, 1] and y int64 (n,), as NumPy arrays; `generator` is NumPy's
    log_joint(x) -> (N, K) nats in float64, log p(x, y), exact, of a tensor x (N, ...)
    truth() -> "entropy" of x, "bayes_accuracy" and "bayes_log_loss", in nats, exact to 1e-6: what no model can beat
    measure: "mass" over L-level images, or "density"
"""

from pofxy.base.public_class import public_class


def open_distribution(distribution: dict):
    """An object of the one public class of laws/{of}.py.

    Args:
        distribution: "of", the name of the file, and the arguments of the class: the field `law` of a `Spec`.
    """
    arguments = {name: value for name, value in distribution.items() if name != "of"}
    return public_class(f"pofxy.data.known_distributions.{distribution['of']}", "log_joint")(**arguments)
