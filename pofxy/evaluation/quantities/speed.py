"""How long predictions take on this machine."""

from torch import Tensor

from pofxy.base.capabilities import SupportsPredict
from pofxy.evaluation.quantity import quantity
from pofxy.workflow.cost import milliseconds_to_predict


@quantity()
def prediction_speed(model: SupportsPredict, x: Tensor) -> dict[str, float]:
    """Milliseconds of `predict` for one image: alone, and in a batch of 256."""
    return milliseconds_to_predict(model, x)
