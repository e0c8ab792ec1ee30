"""Adam's update of all parameters at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import EPS, Bounds, Case, GroupTarget, Target, Work, inputs, normal
from benchmarks.peers import Peer

GROUPS: list[GroupTarget] = []

Shapes = tuple[tuple[int, ...], ...]
# The layers of 784-512-256-10; and ten of a thousand by a thousand.
HALF: Shapes = ((512, 784), (512,), (256, 512), (256,), (10, 256), (10,))
TEN: Shapes = ((1000, 1000), (1000,)) * 10
_STEPS, _LR, _B1, _B2, _TINY = 3, 1e-3, 0.9, 0.999, 1e-8


def cases(tiny: bool = False) -> list[Case]:
    """Half a million parameters, in cache; ten million, in memory."""
    rows: tuple[tuple[str, Shapes, float], ...] = (
        (("Adam tiny", ((3, 4), (5,)), 1.0),)
        if tiny
        else (("Adam 0.5M parameters", HALF, 1.1), ("Adam 10M parameters", TEN, 0.97))
    )
    return [
        Case(
            "optim",
            name,
            make=partial(_make, name, shapes),
            expected=partial(_expected, name, shapes),
            # Reads parameter, gradient and two averages; writes all but the gradient.
            bytes=28.0 * sum(int(np.prod(shape)) for shape in shapes),
            targets=[
                Target(floor=floor, aim=None, peer="torch-fused"),
                Target(floor=None, aim=85, peer="bytes", kind="percent"),
            ],
        )
        for name, shapes, floor in rows
    ]


def _operands(name: str, shapes: Shapes) -> tuple[list[Any], list[Any]]:
    rng = inputs(name)
    return [normal(rng, *s) for s in shapes], [normal(rng, *s) for s in shapes]


def _make(name: str, shapes: Shapes, peer: Peer) -> Work | None:
    values, slopes = _operands(name, shapes)
    if not peer.torch_like or peer.name == "torch-compile":
        return None
    params = [peer.tensor(value, requires_grad=True) for value in values]
    for param, slope in zip(params, slopes, strict=True):
        param.grad = peer.tensor(slope)
    options = {"fused": True} if peer.name == "torch-fused" else {}
    optimizer = peer.module.optim.Adam(params, lr=_LR, betas=(_B1, _B2), eps=_TINY, **options)

    def results() -> list[Any]:
        for _ in range(_STEPS):
            optimizer.step()
        return [peer.array(param) for param in params]

    return Work("step()", results, {"step": optimizer.step})


def _expected(name: str, shapes: Shapes) -> Bounds:
    """Kingma and Ba's algorithm; each step rounds the parameter, and a dozen times its change.

    With a constant gradient the change is lr at every step, to eps / |g|.
    """
    found = []
    for value, slope in zip(*_operands(name, shapes), strict=True):
        p, g = value.astype(np.float64), slope.astype(np.float64)
        m, v = np.zeros_like(p), np.zeros_like(p)
        for step in range(1, _STEPS + 1):
            m = _B1 * m + (1 - _B1) * g
            v = _B2 * v + (1 - _B2) * g * g
            p -= _LR * (m / (1 - _B1**step)) / (np.sqrt(v / (1 - _B2**step)) + _TINY)
        # 1 - beta2 keeps only some of beta2's digits in float32: 0.001 errs by EPS / 0.004.
        own = _LR * (12 + 0.25 / (1 - _B2))
        found.append((p, _STEPS * EPS * (np.abs(p) + _STEPS * _LR + own)))
    return found
