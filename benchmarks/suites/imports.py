"""A process that imports the library and ends."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.cases import Bounds, Case, GroupTarget, Work
from benchmarks.peers import Peer

GROUPS: list[GroupTarget] = []


def cases(tiny: bool = False) -> list[Case]:
    """One row; a block is one process where starting it takes longer than a block."""
    del tiny
    return [Case("import", "import, whole process", make=_make, expected=_expected)]


def _make(peer: Peer) -> Work | None:
    if peer.name in ("torch-fused", "torch-compile"):
        return None
    start = partial(_start, f"import {peer.name}")
    return Work(start, lambda: [float(start("; print(1)"))])


def _start(statement: str, then: str = "") -> str:
    command = [sys.executable, "-c", statement + then]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout or "0"


def _expected() -> Bounds:
    return [(1.0, 0.0)]
