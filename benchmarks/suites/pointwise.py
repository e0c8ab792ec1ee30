"""Activations forward and backward, from data that fits the first cache to data that fits none."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs, normal
from benchmarks.peers import Peer

GROUPS = [GroupTarget("pointwise", floor=1.5, aim=2.0)]

SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
FUNCTIONS = ("relu", "sigmoid", "tanh", "gelu")
# What is compared: the reference's error function is a loop.
_CHECKED = 4096

_NUMPY = {"relu": "np.maximum(x, 0)", "sigmoid": "1 / (1 + np.exp(-x))", "tanh": "np.tanh(x)"}


def cases(tiny: bool = False) -> list[Case]:
    """Every function at every size, forward without a graph and backward of one that is kept."""
    found = []
    for function in FUNCTIONS:
        for size in (33,) if tiny else SIZES:
            for form in ("forward", "backward"):
                name = f"{function} {form} {size:.0e}".replace("e+0", "e")
                words = 2 if form == "forward" else 3  # x, y; or what was saved, dy, dx
                found.append(
                    Case(
                        "pointwise",
                        name,
                        make=partial(_make, name, function, form, size),
                        expected=partial(_expected, name, function, form, size),
                        bytes=4.0 * words * size,
                        targets=[Target(floor=0.95, aim=None)],
                    )
                )
    return found


def _operands(name: str, size: int) -> tuple[Any, Any]:
    rng = inputs(name)
    return 2 * normal(rng, size), normal(rng, size)


def _make(name: str, function: str, form: str, size: int, peer: Peer) -> Work | None:
    x, g = _operands(name, size)
    names: dict[str, Any]
    if peer.eager:
        call = getattr(peer.module.nn.functional, function)
        if form == "forward":
            names, statement = {"f": call, "x": peer.tensor(x)}, "f(x)"
        else:
            leaf = peer.tensor(x, requires_grad=True)
            names = {
                "grad": peer.module.autograd.grad,
                "x": leaf,
                "y": call(leaf),
                "g": peer.tensor(g),
            }
            statement = "grad(y, x, g, retain_graph=True)[0]"
    elif form == "backward":
        return None  # no kept graph to run backward, so nothing to compare
    elif peer.name == "jax":
        nn = __import__("jax.nn", fromlist=["nn"])
        call = partial(nn.gelu, approximate=False) if function == "gelu" else None
        call = call or (peer.module.numpy.tanh if function == "tanh" else getattr(nn, function))
        names = {"f": peer.module.jit(call), "x": peer.tensor(x)}
        statement = "f(x).block_until_ready()"
    elif peer.name == "numpy" and function in _NUMPY:
        names, statement = {"np": peer.module, "x": peer.tensor(x)}, _NUMPY[function]
    else:
        return None
    return Work(statement, lambda: [peer.array(eval(statement, dict(names)))[_places(size)]], names)


def _places(size: int) -> Any:
    """Where results are compared: spread over the array, both ends among them."""
    return np.unique(np.linspace(0, size - 1, min(size, _CHECKED)).astype(np.int64))


def _expected(name: str, function: str, form: str, size: int) -> Bounds:
    """Forward within 8 units in the last place; gelu within 8 of its argument's.

    Whoever computes gelu as x (1 + erf) / 2 cancels digits where x is negative.

    Backward multiplies dy by a derivative that is a difference of rounded terms, each at most
    1 + |x|: 16 roundings of that.
    """
    x, g = (v.astype(np.float64)[_places(size)] for v in _operands(name, size))
    tail = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    sigmoid = 1 / (1 + np.exp(-x))
    y = {"relu": np.maximum(x, 0), "sigmoid": sigmoid, "tanh": np.tanh(x), "gelu": x * tail}
    if form == "forward":
        own = np.abs(x) if function == "gelu" else 0.0
        return [(y[function], 8 * EPS * (np.abs(y[function]) + own))]
    slope = {
        "relu": (x > 0).astype(np.float64),
        "sigmoid": sigmoid * (1 - sigmoid),
        "tanh": 1 - np.tanh(x) ** 2,
        "gelu": tail + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    }
    return [(g * slope[function], 16 * EPS * np.abs(g) * (1 + np.abs(x)))]
