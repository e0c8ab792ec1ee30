"""Small problems in the plane, made from a seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lamina.datasets.splits import DataSplits, make_splits

if TYPE_CHECKING:
    import numpy as np

__all__ = ["moons", "spirals", "xor"]


def xor(n: int = 1000, noise: float = 0.15, seed: int = 0) -> DataSplits:
    """Noisy exclusive-or: no straight line separates the classes (Minsky and Papert, 1969).

    Parameters
    ----------
    n : int, default 1000
        Points in all, at least 40: as many around each of (0, 0), (0, 1),
        (1, 0) and (1, 1), in random order.
    noise : float, default 0.15
        Standard deviation around each corner, in both coordinates.
    seed : int, default 0
        Decides the points, through NumPy's generator (PCG64).

    Returns
    -------
    DataSplits
        Two features; label 1 where exactly one coordinate of the corner is 1.

    Examples
    --------
    >>> from lamina.datasets import xor
    >>> x, y = xor(noise=0).test.tensors
    >>> bool(((x[:, 0] != x[:, 1]) == (y == 1)).all())
    True
    """
    rng = _generator("xor", n, noise, seed)
    import numpy

    corner = rng.permutation(n) % 4
    points = numpy.stack([corner // 2, corner % 2], axis=1)
    return make_splits(
        "xor", points + noise * rng.standard_normal((n, 2)), (corner == 1) | (corner == 2)
    )


def moons(n: int = 1000, noise: float = 0.2, seed: int = 0) -> DataSplits:
    """Two interleaved half circles.

    Parameters
    ----------
    n : int, default 1000
        Points in all, at least 40, as many of each class.
    noise : float, default 0.2
        Standard deviation around the half circles of radius 1.
    seed : int, default 0
        Decides the points, through NumPy's generator (PCG64).

    Returns
    -------
    DataSplits
        Two features, two classes.

    Examples
    --------
    >>> from lamina.datasets import moons
    >>> len(moons(n=100).test)
    20
    """
    rng = _generator("moons", n, noise, seed)
    import numpy

    label = rng.permutation(n) % 2
    angle = math.pi * rng.random(n)
    upper = numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    lower = numpy.stack([1 - numpy.cos(angle), 0.5 - numpy.sin(angle)], axis=1)
    points = numpy.where(label[:, None] == 0, upper, lower)
    return make_splits("moons", points + noise * rng.standard_normal((n, 2)), label)


def spirals(
    n: int = 1500, noise: float = 0.04, seed: int = 0, arms: int = 3, turns: float = 1.0
) -> DataSplits:
    """Arms that wind around the origin.

    Parameters
    ----------
    n : int, default 1500
        Points in all, at least 40, as many on each arm.
    noise : float, default 0.04
        Standard deviation around the arms, which end at radius 1.
    seed : int, default 0
        Decides the points, through NumPy's generator (PCG64).
    arms : int, default 3
        Classes, at least 2.
    turns : float, default 1.0
        How often each arm goes around the origin.

    Returns
    -------
    DataSplits
        Two features, `arms` classes.

    Examples
    --------
    >>> from lamina.datasets import spirals
    >>> spirals(arms=2).n_classes
    2
    """
    rng = _generator("spirals", n, noise, seed)
    if arms < 2:
        raise ValueError(f"spirals: needs at least 2 arms, got {arms}")
    import numpy

    label = rng.permutation(n) % arms
    # The square root spreads the points evenly along the arm's area, not its radius.
    radius = numpy.sqrt(rng.random(n))
    angle = 2 * math.pi * (turns * radius + label / arms)
    points = radius[:, None] * numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    return make_splits("spirals", points + noise * rng.standard_normal((n, 2)), label)


def _generator(who: str, n: Any, noise: float, seed: int) -> np.random.Generator:
    if not isinstance(n, int) or n < 40:
        raise ValueError(f"{who}: n must be an integer of at least 40, got {n!r}")
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"{who}: noise must be a number of at least 0, got {noise!r}")
    import numpy

    return numpy.random.default_rng(seed)
