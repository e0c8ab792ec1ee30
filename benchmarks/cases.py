"""What is measured: a case, what each peer runs for it, what must come out, how fast it must be."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from benchmarks.harness import Statement
from benchmarks.peers import Peer

BASE = "lamina"
# The relative spacing of float32 at 1; a correctly rounded operation errs by half of it.
EPS = float(np.finfo(np.float32).eps)

Arrays = list["np.ndarray[Any, Any]"]
Bounds = Sequence[tuple[Any, Any]]  # (exact value in float64, largest error allowed)


@dataclass(frozen=True)
class Work:
    """One peer's share of a case: what the clock runs, and what is checked before it starts."""

    statement: Statement
    results: Callable[[], Sequence[Any]]
    names: Mapping[str, Any] = field(default_factory=dict)


Kind = Literal["ratio", "microseconds", "percent"]


@dataclass(frozen=True)
class Target:
    """How fast a case must be (floor) and should be (aim); None where nothing is asked.

    ratio: time of `peer` over Lamina's; microseconds: of Lamina, lower is better; percent: of the
    hardware's peak that bounds the case, `peer` saying which (``flops`` or ``bytes``).
    """

    floor: float | None
    aim: float | None
    peer: str = "torch"
    kind: Kind = "ratio"

    def verdict(self, value: float) -> str:
        """``aim met``, ``floor met`` or ``missed``."""
        sign = -1.0 if self.kind == "microseconds" else 1.0
        if self.aim is not None and sign * value >= sign * self.aim:
            return "aim met"
        if self.floor is None:
            return "missed"
        return "floor met" if sign * value >= sign * self.floor else "missed"


@dataclass(frozen=True)
class GroupTarget:
    """The geometric mean of a suite's ratios to `peer`."""

    suite: str
    floor: float
    aim: float
    peer: str = "torch"

    def verdict(self, value: float) -> str:
        return Target(self.floor, self.aim, self.peer).verdict(value)


@dataclass(frozen=True)
class Case:
    """A row of the report.

    Parameters
    ----------
    suite, name : str
        The name says shape and form; it also seeds the inputs.
    make : callable
        From a peer to its `Work`; None where the peer has no part in the case.
    expected : callable
        The exact results and their error bounds; `Work.results` must lie within.
    flops, bytes : float
        Of one call: arithmetic, and the least that has to travel between core and memory. 0 where
        it says nothing.
    targets : sequence of Target
        Empty where the case is for information.
    """

    suite: str
    name: str
    make: Callable[[Peer], Work | None]
    expected: Callable[[], Bounds]
    flops: float = 0.0
    bytes: float = 0.0
    targets: Sequence[Target] = ()

    def prepare(self, peer: Peer) -> Work | None:
        """Build the peer's share and check it; raises AssertionError where a result is wrong."""
        work = self.make(peer)
        if work is not None:
            self._check(peer, work)
        return work

    def _check(self, peer: Peer, work: Work) -> None:
        got, wanted = work.results(), self.expected()
        if len(got) != len(wanted):
            raise AssertionError(f"{self.name}: {peer.name} gave {len(got)} results")
        for index, (value, (exact, bound)) in enumerate(zip(got, wanted, strict=True)):
            value, exact = np.asarray(value, np.float64), np.asarray(exact, np.float64)
            if value.shape != exact.shape:
                raise AssertionError(
                    f"{self.suite} {self.name}: result {index} of {peer.name} has shape "
                    f"{value.shape}, expected {exact.shape}"
                )
            error = np.abs(value - exact)
            wrong = ~(error <= bound)  # NaN is wrong too
            if wrong.any():
                worst = float(np.max(np.where(np.isnan(error), np.inf, error)))
                allowed = float(np.max(np.asarray(bound)))
                raise AssertionError(
                    f"{self.suite} {self.name}: result {index} of {peer.name} is off by up to "
                    f"{worst:.3g} in {int(wrong.sum())} of {wrong.size} places; "
                    f"the bound is at most {allowed:.3g}"
                )


def inputs(name: str) -> np.random.Generator:
    """The generator of a case's inputs: the same for every peer, different for every case."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Standard normal numbers in float32."""
    return rng.standard_normal(shape, np.float32)
