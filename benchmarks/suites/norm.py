"""Batch, layer and RMS norm in training, forward and backward."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs, normal
from benchmarks.peers import Peer

GROUPS: list[GroupTarget] = []

# Of a residual network's stages at the end.
BATCHES = (
    (128, 512),
    (1024, 512),
    (32, 32, 32, 32),
    (32, 16, 32, 32),
    (32, 32, 16, 16),
    (32, 64, 8, 8),
)
ROWS = ((1024, 128), (1024, 512), (4096, 1024))


def cases(tiny: bool = False) -> list[Case]:
    """Forward with its graph and running statistics; backward of a graph that is kept."""
    found = []
    batches = ((6, 5), (2, 3, 4, 4)) if tiny else BATCHES
    rows = ((5, 7),) if tiny else ROWS
    for kind, shapes in (("batch", batches), ("layer", rows), ("rms", rows)):
        for shape in shapes:
            for form in ("forward", "backward"):
                name = f"{kind} norm {form} {'x'.join(map(str, shape))}"
                # Batch norm reads x twice, and dy; a row is read once: x and y, or x, dy and dx.
                words = {"forward": 2, "backward": 3}[form]
                words += {"forward": 1, "backward": 2}[form] if kind == "batch" else 0
                found.append(
                    Case(
                        "norm",
                        name,
                        make=partial(_make, name, kind, form, shape),
                        expected=partial(_expected, name, kind, form, shape),
                        bytes=4.0 * words * math.prod(shape),
                        targets=[Target(floor=1.5, aim=2.0)] if kind == "batch" else [],
                    )
                )
    return found


def _operands(name: str, kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
    rng = inputs(name)
    size = shape[1]  # of a batch norm's channels, or of a row
    found = {
        "x": 2 * normal(rng, *shape) + np.float32(0.5),
        "w": 1 + np.float32(0.1) * normal(rng, size),
        "b": np.float32(0.1) * normal(rng, size),
        "g": normal(rng, *shape),
    }
    if kind == "rms":
        del found["b"]
    return found


def _axes(kind: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Over which a norm is taken, and the shape of its parameters."""
    if kind == "batch":
        return (0, *range(2, len(shape))), (1, -1, *(1 for _ in shape[2:]))
    return (1,), (1, -1)


STATEMENTS = {
    "batch": "batch_norm(x, mean, variance, w, b, True)",
    "layer": "layer_norm(x, (x.shape[1],), w, b)",
    "rms": "rms_norm(x, (x.shape[1],), w, 1e-5)",
}


def _make(name: str, kind: str, form: str, shape: tuple[int, ...], peer: Peer) -> Work | None:
    data = _operands(name, kind, shape)
    if peer.eager:
        names = {k: peer.tensor(v, requires_grad=k != "g") for k, v in data.items()}
        names["mean"] = peer.tensor(np.zeros(shape[1], np.float32))
        names["variance"] = peer.tensor(np.ones(shape[1], np.float32))
        names[f"{kind}_norm"] = getattr(peer.module.nn.functional, f"{kind}_norm")
        names["grad"] = peer.module.autograd.grad
        statement = STATEMENTS[kind]
        if form == "backward":
            names["y"] = eval(statement, dict(names))
            inside = "x, w" if kind == "rms" else "x, w, b"
            statement = f"grad(y, ({inside}), g, retain_graph=True)"
    elif form == "backward" or peer.name not in ("jax", "numpy"):
        return None
    else:
        xp = peer.module.numpy if peer.name == "jax" else peer.module
        axes, side = _axes(kind, shape)

        def normalise(x: Any, w: Any, b: Any = None) -> Any:
            centred = x if kind == "rms" else x - x.mean(axes, keepdims=True)
            variance = (centred * centred).mean(axes, keepdims=True)
            y = centred * (w.reshape(side) / xp.sqrt(variance + 1e-5))
            return y if b is None else y + b.reshape(side)

        names = {k: peer.tensor(v) for k, v in data.items()}
        names["f"] = peer.module.jit(normalise) if peer.name == "jax" else normalise
        statement = "f(x, w)" if kind == "rms" else "f(x, w, b)"
        statement += ".block_until_ready()" if peer.name == "jax" else ""

    def results() -> list[Any]:
        got = eval(statement, dict(names))
        return [peer.array(one) for one in (got if form == "backward" else [got])]

    return Work(statement, results, names)


def _expected(name: str, kind: str, form: str, shape: tuple[int, ...]) -> Bounds:
    """Sums of N terms err like sqrt(N) roundings, as they cancel; eight more for the rest.

    Each bound is that many EPS times the sum of the magnitudes that a result is made of.
    """
    data = {k: v.astype(np.float64) for k, v in _operands(name, kind, shape).items()}
    x, w, g = data["x"], data["w"], data["g"]
    b = data.get("b", np.zeros(shape[1]))
    axes, side = _axes(kind, shape)
    others = axes if kind == "batch" else (0,)  # what the parameters' gradients are summed over
    count = math.prod(shape[a] for a in axes)
    relative = EPS * (8 + math.sqrt(max(count, math.prod(shape) // shape[1])))
    centred = x if kind == "rms" else x - x.mean(axes, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(axes, keepdims=True) + 1e-5)
    normed = centred * scale
    wide = w.reshape(side)
    if form == "forward":
        y = normed * wide + b.reshape(side)
        return [(y, relative * (1 + np.abs(normed * wide) + np.abs(b).reshape(side)))]
    inner = g * wide
    mean_gx = (inner * normed).mean(axes, keepdims=True)
    mean_g = 0.0 if kind == "rms" else inner.mean(axes, keepdims=True)
    dx = scale * (inner - mean_g - normed * mean_gx)
    size = np.abs(inner).mean(axes, keepdims=True)
    size = size + np.abs(inner * normed).mean(axes, keepdims=True)
    # The normalised inputs in dw's sum carry errors of their own, of EPS times 1 + |normed|.
    found = [
        (dx, relative * scale * (np.abs(inner) + size * (1 + np.abs(normed)))),
        ((g * normed).sum(others), relative * (np.abs(g) * (1 + np.abs(normed))).sum(others)),
        (g.sum(others), relative * np.abs(g).sum(others)),
    ]
    return found[:2] if kind == "rms" else found
