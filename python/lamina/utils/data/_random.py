"""Random draws from the process-wide generator, from a seed, or from a generator object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import _core

__all__ = ["Stream", "randint", "randperm"]


class Stream:
    """Draws that a seed alone decides, whatever else draws in between.

    The process-wide generator is lent to each draw and put back as it was, so two threads must
    not draw from it at the same moment.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: _core.Tensor | None = None

    def draw(self, make: Callable[[], _core.Tensor]) -> _core.Tensor:
        outside = _core.get_rng_state()
        try:
            if self._state is None:
                _core.manual_seed(self._seed)
            else:
                _core.set_rng_state(self._state)
            drawn = make()
            self._state = _core.get_rng_state()
        finally:
            _core.set_rng_state(outside)
        return drawn


def randperm(n: int, generator: Any = None) -> _core.Tensor:
    """Draw a random order of ``0 … n-1`` (int64).

    `generator` is None (the process-wide generator), an `int` seed or a `Stream`, or a
    generator object that ``_core.randperm`` takes.
    """
    return _draw(generator, lambda **options: _core.randperm(n, **options))


def randint(high: int, count: int, generator: Any = None) -> _core.Tensor:
    """`count` independent integers from ``0 … high-1`` (int64); `generator` as in `randperm`."""
    return _draw(generator, lambda **options: _core.randint(0, high, (count,), **options))


def _draw(generator: Any, make: Callable[..., _core.Tensor]) -> _core.Tensor:
    if generator is None:
        return make()
    if isinstance(generator, int):
        generator = Stream(generator)
    return generator.draw(make) if isinstance(generator, Stream) else make(generator=generator)
