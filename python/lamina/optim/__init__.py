"""Optimizers: PyTorch's formulae and defaults, one native call for each group and step."""

from lamina.optim.adam import Adam
from lamina.optim.adamw import AdamW
from lamina.optim.optimizer import Optimizer
from lamina.optim.rmsprop import RMSprop
from lamina.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
