"""What a call costs when there is next to nothing to compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cases import Bounds, Case, GroupTarget, Target, Work
from benchmarks.peers import Peer

GROUPS: list[GroupTarget] = []

_A = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
_B = np.array([0.5, 0.25, 2.0, -1.0], np.float32)


def cases(tiny: bool = False) -> list[Case]:
    """One addition of two vectors of four, recorded for backward where a library does that."""
    del tiny
    return [
        Case(
            "overhead",
            "add two 4-vectors with gradient",
            make=_make,
            expected=_expected,
            targets=[Target(floor=0.5, aim=0.3, peer="lamina", kind="microseconds")],
        )
    ]


def _make(peer: Peer) -> Work | None:
    statement = "a + b"
    if peer.eager:
        names: dict[str, Any] = {"a": peer.tensor(_A, requires_grad=True), "b": peer.tensor(_B)}
    elif peer.name == "numpy":
        names = {"a": peer.tensor(_A), "b": peer.tensor(_B)}
    elif peer.name == "jax":
        names = {"f": peer.module.jit(lambda a, b: a + b)}
        names |= {"a": peer.tensor(_A), "b": peer.tensor(_B)}
        statement = "f(a, b).block_until_ready()"
    else:
        return None
    return Work(statement, lambda: [peer.array(eval(statement, dict(names)))], names)


def _expected() -> Bounds:
    return [(_A.astype(np.float64) + _B, 0.0)]  # these sums are exact
