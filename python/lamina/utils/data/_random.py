"""Random draws from the process-wide generator, from a seed, or from a generator object."""

from __future__ import annotations

from lamina import _core

__all__ = ["generator_of", "randint", "randperm"]


def generator_of(given: _core.Generator | int | None) -> _core.Generator | None:
    """Make a generator of a seed; a generator, or None for the process-wide one, is itself."""
    return _core.Generator().manual_seed(given) if isinstance(given, int) else given


def randperm(n: int, generator: _core.Generator | int | None = None) -> _core.Tensor:
    """Draw a random order of ``0 … n-1`` (int64)."""
    return _core.randperm(n, generator=generator_of(generator))


def randint(high: int, count: int, generator: _core.Generator | int | None = None) -> _core.Tensor:
    """`count` independent integers from ``0 … high-1`` (int64)."""
    return _core.randint(0, high, (count,), generator=generator_of(generator))
