"""Cutting data into a training, a validation and a test part by a rule anyone can repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina.utils.data import TensorDataset

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["DataSplits", "make_splits", "split_rule"]

# 2**32 divided by the golden ratio: its multiples modulo 2**32 spread evenly, in no rhythm that
# data could share.
_GOLDEN = 2654435769
_TURN = 2**32


@dataclass(frozen=True)
class DataSplits:
    """A data set in three parts.

    Attributes
    ----------
    name : str
        What the data is called.
    train, validation, test : TensorDataset
        Inputs, float32 of shape ``(n, n_features)``, and labels, int64 of shape ``(n,)``.
    n_features : int
        Numbers in one input.
    n_classes : int
        Labels are ``0 … n_classes-1``.

    Examples
    --------
    >>> from lamina.datasets import xor
    >>> xor(n=40, seed=0)
    DataSplits('xor', train=28, validation=4, test=8, n_features=2, n_classes=2)
    """

    name: str
    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    n_features: int
    n_classes: int

    def __repr__(self) -> str:
        sizes = ", ".join(f"{p}={len(getattr(self, p))}" for p in ("train", "validation", "test"))
        return (
            f"DataSplits({self.name!r}, {sizes}, "
            f"n_features={self.n_features}, n_classes={self.n_classes})"
        )


def split_rule(labels: Any) -> dict[str, npt.NDArray[np.int64]]:
    """Say which samples train, validate and test: the fixed stratified split.

    The samples of each class are numbered 1, 2, 3, ... in the order of the data. With number k
    goes the position ``(2654435769 * k mod 2**32) / 2**32`` on a circle; positions in
    [0.2, 0.4) are test, in [0.4, 0.5) validation, and the others train: 20%, 10% and 70% of
    every class to within a sample or two, without any randomness. (The multiplier is 2**32
    divided by the golden ratio, so neighbouring samples land far apart and no period in the
    data falls together with the split.)

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        The class of each sample.

    Returns
    -------
    dict of str to int64 array
        Increasing positions under ``"train"``, ``"validation"`` and ``"test"``.

    Examples
    --------
    >>> {part: rows.tolist() for part, rows in split_rule([0] * 10).items()}
    {'train': [0, 2, 4, 5, 7, 8, 9], 'validation': [3], 'test': [1, 6]}
    """
    import numpy

    labels = numpy.asarray(labels)
    number = numpy.empty(len(labels), numpy.uint64)
    for value in numpy.unique(labels):
        members = numpy.flatnonzero(labels == value)
        number[members] = numpy.arange(1, len(members) + 1)
    position = number * numpy.uint64(_GOLDEN) % numpy.uint64(_TURN)
    # Ends in whole tenths of the circle, compared as integers: nothing is rounded.
    tenth = position * numpy.uint64(10) // numpy.uint64(_TURN)
    test, validation = (tenth == 2) | (tenth == 3), tenth == 4
    parts = {"train": ~(test | validation), "validation": validation, "test": test}
    return {name: numpy.flatnonzero(chosen) for name, chosen in parts.items()}


def make_splits(name: str, x: Any, y: Any) -> DataSplits:
    """Split arrays ``x (n, ...)`` and ``y (n,)`` by `split_rule`; rows of `x` are flattened."""
    import numpy

    x = numpy.ascontiguousarray(x, numpy.float32).reshape(len(x), -1)
    y = numpy.ascontiguousarray(y, numpy.int64)
    parts = {
        part: TensorDataset(_core.from_numpy(x[rows]), _core.from_numpy(y[rows]))
        for part, rows in split_rule(y).items()
    }
    return DataSplits(name, **parts, n_features=x.shape[1], n_classes=int(y.max()) + 1)
