"""Timing that compares: peers take turns in one process, and the ratio of neighbours counts.

A machine that others share speeds up and slows down within seconds. So no peer is timed alone:
every round gives each peer one block of many calls, the order rotates from round to round, and a
round yields one ratio for each pair. Blocks are long (100 ms) beside what a peer's idle workers
spin for after its last call (a few ms), and each block starts with calls that are not counted.

What it cannot mend is a busy machine: threads that spin at barriers, as OpenMP's do, wait for whole
time slices of the scheduler when other processes hold a core, and a peer then looks a hundred times
slower than it is. So `Others` measures how much of the machine was not ours.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Statement = str | Callable[[], object]


@dataclass(frozen=True)
class Plan:
    """How long to measure: rounds, and seconds of each peer's block in a round."""

    rounds: int = 7
    block: float = 0.1
    warm: float = 0.1  # of a block: calls before the clock starts


FULL, QUICK = Plan(), Plan(rounds=3, block=0.03)


@dataclass(frozen=True)
class Sample:
    """Times of one peer, seconds a call, one for each round; `calls` is the block's length."""

    seconds: list[float]
    calls: int

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        return spread(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """How many times as long as the base a peer takes: median over the rounds, and spread."""

    median: float
    spread: float


@dataclass
class Comparison:
    """The samples of every peer, measured in the same rounds."""

    samples: dict[str, Sample] = field(default_factory=dict)

    def ratio(self, peer: str, base: str) -> Ratio:
        pairs = zip(self.samples[peer].seconds, self.samples[base].seconds, strict=True)
        ratios = [a / b for a, b in pairs]
        return Ratio(statistics.median(ratios), spread(ratios))


def spread(values: list[float]) -> float:
    """Interquartile range over the median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def timer(statement: Statement, names: Mapping[str, Any]) -> timeit.Timer:
    """A timer whose loop holds the statement itself, so that a call of 100 ns is measured as such.

    `timeit` switches garbage collection off while its clock runs.
    """
    return timeit.Timer(statement, globals=dict(names))


def calibrate(clock: timeit.Timer, block: float) -> int:
    """The number of calls that fill `block` seconds; 1 where a single call takes longer."""
    count = 1
    while True:
        took = clock.timeit(count)
        if took >= block:
            # The first calls may have been cold: one more look, so that blocks are not too short.
            again = clock.timeit(count) if count > 1 else took
            return max(1, round(count * block / min(took, again)))
        grow = 10.0 if took <= 0 else min(10.0, 1.2 * block / took)
        count = max(count + 1, int(count * grow))


def compare(clocks: Mapping[str, timeit.Timer], plan: Plan) -> Comparison:
    """Time every peer in `plan.rounds` rounds of one block each.

    Parameters
    ----------
    clocks : mapping of str to timeit.Timer
        One for each peer.
    plan : Plan
        Rounds and length of a block.

    Returns
    -------
    Comparison
        Seconds a call, aligned by round.
    """
    peers = list(clocks)
    counts = {peer: calibrate(clocks[peer], plan.block) for peer in peers}
    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    for turn in range(plan.rounds):
        first = turn % len(peers)
        for peer in peers[first:] + peers[:first]:
            gc.collect()
            count = counts[peer]
            if count > 1:
                clocks[peer].timeit(max(1, round(count * plan.warm)))
            seconds[peer].append(clocks[peer].timeit(count) / count)
    return Comparison({peer: Sample(seconds[peer], counts[peer]) for peer in peers})


class Others:
    """How many CPUs were not ours to use, on average since this was made; steal counts (Linux)."""

    def __init__(self) -> None:
        self._start = self._read()

    def cpus(self) -> float | None:
        """Mean number of CPUs that other processes held; None where the system does not say."""
        now = self._read()
        if now is None or self._start is None:
            return None
        all_of_them, own, elapsed = (b - a for a, b in zip(self._start, now, strict=True))
        return max(0.0, (all_of_them - own) / elapsed) if elapsed > 0 else 0.0

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        """CPU seconds of the machine, those of this process and its children, and the clock."""
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
        except OSError:
            return None
        user, nice, system, _, _, irq, softirq, steal = map(int, fields)
        ticks = user + nice + system + irq + softirq + steal
        return ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]), time.monotonic()
