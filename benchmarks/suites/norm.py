"""Batch norm in training, forward and backward."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs, normal
from benchmarks.peers import Peer

GROUPS: list[GroupTarget] = []

SHAPES = ((128, 512), (1024, 512), (32, 32, 32, 32))


def cases(tiny: bool = False) -> list[Case]:
    """Forward with its graph and running statistics; backward of a graph that is kept."""
    found = []
    for shape in ((6, 5), (2, 3, 4, 4)) if tiny else SHAPES:
        for form in ("forward", "backward"):
            name = f"batch norm {form} {'x'.join(map(str, shape))}"
            words = 3 if form == "forward" else 5  # x twice, y; x and dy twice, dx
            found.append(
                Case(
                    "norm",
                    name,
                    make=partial(_make, name, form, shape),
                    expected=partial(_expected, name, form, shape),
                    bytes=4.0 * words * math.prod(shape),
                    targets=[Target(floor=1.5, aim=2.0)],
                )
            )
    return found


def _operands(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    rng = inputs(name)
    channels = shape[1]
    return {
        "x": 2 * normal(rng, *shape) + np.float32(0.5),
        "w": 1 + np.float32(0.1) * normal(rng, channels),
        "b": np.float32(0.1) * normal(rng, channels),
        "g": normal(rng, *shape),
    }


def _make(name: str, form: str, shape: tuple[int, ...], peer: Peer) -> Work | None:
    data = _operands(name, shape)
    if peer.eager:
        names = {k: peer.tensor(v, requires_grad=k != "g") for k, v in data.items()}
        names["mean"] = peer.tensor(np.zeros(shape[1], np.float32))
        names["variance"] = peer.tensor(np.ones(shape[1], np.float32))
        names["batch_norm"] = peer.module.nn.functional.batch_norm
        names["grad"] = peer.module.autograd.grad
        statement = "batch_norm(x, mean, variance, w, b, True)"
        if form == "backward":
            names["y"] = eval(statement, dict(names))
            statement = "grad(y, (x, w, b), g, retain_graph=True)"
    elif form == "backward" or peer.name not in ("jax", "numpy"):
        return None
    else:
        xp = peer.module.numpy if peer.name == "jax" else peer.module
        axes = (0, *range(2, len(shape)))
        side = (1, -1, *(1 for _ in shape[2:]))

        def normalise(x: Any, w: Any, b: Any) -> Any:
            mean = x.mean(axes, keepdims=True)
            centred = x - mean
            variance = (centred * centred).mean(axes, keepdims=True)
            return centred * (w.reshape(side) / xp.sqrt(variance + 1e-5)) + b.reshape(side)

        names = {k: peer.tensor(v) for k, v in data.items()}
        names["f"] = peer.module.jit(normalise) if peer.name == "jax" else normalise
        statement = "f(x, w, b)" + (".block_until_ready()" if peer.name == "jax" else "")

    def results() -> list[Any]:
        got = eval(statement, dict(names))
        return [peer.array(one) for one in (got if form == "backward" else [got])]

    return Work(statement, results, names)


def _expected(name: str, form: str, shape: tuple[int, ...]) -> Bounds:
    """Sums of N terms err like sqrt(N) roundings, as they cancel; eight more for the rest.

    Each bound is that many EPS times the sum of the magnitudes that a result is made of.
    """
    data = {k: v.astype(np.float64) for k, v in _operands(name, shape).items()}
    x, w, b, g = data["x"], data["w"], data["b"], data["g"]
    axes, side = (0, *range(2, len(shape))), (1, -1, *(1 for _ in shape[2:]))
    count = math.prod(shape) // shape[1]
    relative = EPS * (8 + math.sqrt(count))
    scale = 1 / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    normed = (x - x.mean(axes, keepdims=True)) * scale
    wide = w.reshape(side)
    if form == "forward":
        y = normed * wide + b.reshape(side)
        return [(y, relative * (1 + np.abs(normed * wide) + np.abs(b).reshape(side)))]
    dw, db = (g * normed).sum(axes), g.sum(axes)
    mean_g, mean_gx = (v.reshape(side) / count for v in (db, dw))
    dx = wide * scale * (g - mean_g - normed * mean_gx)
    size = np.abs(g).mean(axes, keepdims=True) + np.abs(g * normed).mean(axes, keepdims=True)
    bound = relative * np.abs(wide) * scale * (np.abs(g) + size * (1 + np.abs(normed)))
    # The normalised inputs in dw's sum carry errors of their own, of EPS times 1 + |normed|.
    return [
        (dx, bound),
        (dw, relative * (np.abs(g) * (1 + np.abs(normed))).sum(axes)),
        (db, relative * np.abs(g).sum(axes)),
    ]
