"""What a row of the layer table is made of. What is checked of each is in test_layer_table.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lamina import nn
from op_table_row import Wrong

__all__ = ["Layer", "Wrong", "constant", "normal", "uniform"]


@dataclass
class Layer:
    """A class of `lamina.nn`: how it is made, what it is given, and what must come out.

    ``inputs`` are the positional arguments of a call: float64 arrays become tensors of the dtype
    that is checked, other arrays tensors of their own, the rest is passed as it is. ``reference``
    gets the layer's state (names to float64 arrays, integer ones as they are) and the same inputs,
    and gives one array, or a tuple of them, None standing for what is not compared. A result may be
    ``ulps`` epsilons off, times the largest magnitude of the reference: what the arithmetic of the
    layer costs.
    """

    name: str  # the class; what follows a colon tells rows of one class apart
    make: Callable[[], nn.Module]
    inputs: list[Any]
    reference: Callable[..., Any]
    shown: str  # repr
    state: dict[str, tuple[int, ...]] = field(default_factory=dict)  # state_dict: names, shapes
    laws: dict[str, Law] = field(default_factory=dict)  # how each of them starts
    more: list[list[Any]] = field(default_factory=list)  # other inputs, compared in forward only
    training: bool = True
    ulps: float = 16
    differentiable: bool = True  # False: nothing requires a gradient
    second: bool = True
    constant: tuple[int, ...] = ()  # positions of float inputs without gradient
    layouts: bool = True  # any strides of the inputs give the same values
    wrong: list[Wrong] = field(default_factory=list)
    why: str = ""  # for a row that leaves a check out


@dataclass
class Law:
    """The law that an entry of a new layer follows: its cumulative distribution, or a value."""

    cdf: Callable[[Any], Any] | None = None
    value: float | None = None


def uniform(low: float, high: float) -> Law:
    return Law(cdf=lambda x: np.clip((x - low) / (high - low), 0, 1))


def normal(std: float, mean: float = 0.0) -> Law:
    from scipy.stats import norm

    return Law(cdf=lambda x: norm.cdf(x, mean, std))


def constant(value: float) -> Law:
    return Law(value=value)
