"""Products: squares, and a linear layer's three at several batch sizes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs, normal
from benchmarks.peers import Peer

GROUPS = [GroupTarget("matmul", floor=1.3, aim=1.6)]

SQUARES = (64, 128, 256, 512, 1024, 2048)
BATCHES = (1, 8, 32, 100, 128, 1024)
LAYERS = ((784, 512), (512, 512), (300, 77))

# How a form is written for each kind of library, from operands a and b as they lie in memory.
# The forward product goes through the layer's own function where there is one.
_EAGER = {
    "square": "matmul(a, b)",
    "forward": "linear(a, b)",
    "input gradient": "matmul(a, b)",
    "weight gradient": "matmul(a.t(), b)",
}
_ARRAY = {
    "square": "a @ b",
    "forward": "a @ b.T",
    "input gradient": "a @ b",
    "weight gradient": "a.T @ b",
}


def cases(tiny: bool = False) -> list[Case]:
    """Squares, then every layer and batch in forward, input-gradient and weight-gradient form."""
    found = [_case("square", f"{n}x{n}x{n}", n, n, n) for n in ((7, 16) if tiny else SQUARES)]
    for inner, outer in ((5, 3),) if tiny else LAYERS:
        for batch in (1, 4) if tiny else BATCHES:
            shape = f"{batch}x{inner}x{outer}"
            found.append(_case("forward", shape, batch, inner, outer))
            found.append(_case("input gradient", shape, batch, outer, inner))
            found.append(_case("weight gradient", shape, outer, batch, inner))
    return found


def _case(form: str, shape: str, m: int, k: int, n: int) -> Case:
    """[m, k] times [k, n], the operands stored as the form has them."""
    name = f"{form} {shape}"
    targets = [Target(floor=0.95, aim=1.0)]
    if name == "forward 32x784x512":
        targets = [Target(floor=2.5, aim=3.5)]
    if name == "square 1024x1024x1024":
        targets.append(Target(floor=80, aim=88, peer="flops", kind="percent"))
    return Case(
        "matmul",
        name,
        make=partial(_make, name, form, m, k, n),
        expected=partial(_expected, name, form, m, k, n),
        flops=2.0 * m * k * n,
        bytes=4.0 * (m * k + k * n + m * n),
        targets=targets,
    )


def _operands(name: str, form: str, m: int, k: int, n: int) -> tuple[Any, Any]:
    rng = inputs(name)
    a = normal(rng, *((k, m) if form == "weight gradient" else (m, k)))
    b = normal(rng, *((n, k) if form == "forward" else (k, n)))
    return a, b


def _make(name: str, form: str, m: int, k: int, n: int, peer: Peer) -> Work | None:
    a, b = (peer.tensor(x) for x in _operands(name, form, m, k, n))
    if peer.eager:
        names = {
            "a": a,
            "b": b,
            "matmul": peer.module.matmul,
            "linear": peer.module.nn.functional.linear,
        }
        statement = _EAGER[form]
    elif peer.name == "jax":
        product = peer.module.jit(eval(f"lambda a, b: {_ARRAY[form]}"))
        names = {"a": a, "b": b, "product": product}
        statement = "product(a, b).block_until_ready()"
    elif peer.name == "numpy":
        names, statement = {"a": a, "b": b}, _ARRAY[form]
    else:
        return None
    return Work(statement, lambda: [peer.array(eval(statement, dict(names)))], names)


def _expected(name: str, form: str, m: int, k: int, n: int) -> Bounds:
    """The product, and k roundings of half an EPS of sum |a||b|, whatever the order of the sum."""
    a, b = (x.astype(np.float64) for x in _operands(name, form, m, k, n))
    a, b = (a.T if form == "weight gradient" else a), (b.T if form == "forward" else b)
    return [(a @ b, 0.5 * EPS * k * (np.abs(a) @ np.abs(b)))]
