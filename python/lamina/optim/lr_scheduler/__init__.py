"""Schedules of the learning rate, in PyTorch's names and numbers; ``step()`` after each epoch.

They chain: most multiply the rate that is there, so that several may act on one optimizer.
"""

from lamina.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from lamina.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from lamina.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from lamina.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from lamina.optim.lr_scheduler.plateau import ReduceLROnPlateau
from lamina.optim.lr_scheduler.scheduler import LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

_LRScheduler = LRScheduler  # its old name


def __getattr__(name: str) -> object:
    from lamina._errors import absent

    raise absent(__name__, name, __all__)
