"""Laws: distributions p(x, y) that are known exactly, to draw data sets from and to measure measures by.

A file of this folder holds one class, made with plain arguments, which has
    draw(n, generator) -> x float32 (n, ...) in [0, 1] and y int64 (n,), as NumPy arrays; `generator` is NumPy's
    log_joint(x) -> (N, K) nats in float64, log p(x, y), exact, of a tensor x (N, ...)
    truth() -> "entropy" of x, "bayes_accuracy" and "bayes_log_loss", in nats, exact to 1e-6: what no model can beat
    measure: "mass" over L-level images, or "density"
"""

import importlib
import inspect


def open_distribution(distribution: dict):
    """An object of the one public class of laws/{of}.py.

    Args:
        distribution: "of", the name of the file, and the arguments of the class: the field `law` of a `Spec`.
    """
    module = importlib.import_module(f"pofxy.data.known_distributions.{distribution['of']}")
    public = [
        thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and not name.startswith("_")
    ]
    return public[0](**{name: value for name, value in distribution.items() if name != "of"})
