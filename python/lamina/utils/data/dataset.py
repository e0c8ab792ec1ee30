"""Datasets: things with a length and items, and ways to cut and join them."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from lamina import _core
from lamina.utils.data._random import randperm
from lamina.utils.data.sampler import row_numbers

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """A collection whose items are read by position.

    Subclasses define ``__getitem__(index)`` and ``__len__()``.

    Examples
    --------
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index * index
    >>> (Squares() + Squares())[5]
    1
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """A dataset that is only read in order, as a stream; subclasses define ``__iter__``.

    Examples
    --------
    >>> from lamina.utils.data import DataLoader
    >>> class Count(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(5))
    >>> [batch.tolist() for batch in DataLoader(Count(), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset[T_co]) -> ChainDataset[T_co]:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[T_co]):
    """Streams one after the other.

    Parameters
    ----------
    datasets : iterable of IterableDataset
        Read in order, each when the one before has ended.

    Examples
    --------
    >>> class Count(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(2))
    >>> list(ChainDataset([Count(), Count()]))
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for position, dataset in enumerate(self.datasets):
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ChainDataset: dataset {position} is a {type(dataset).__name__}, "
                    "not an IterableDataset; ConcatDataset joins those with a length"
                )

    def __iter__(self) -> Iterator[T_co]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class TensorDataset(Dataset[tuple[_core.Tensor, ...]]):
    """Tensors read together along their first dimension.

    A `DataLoader` over it (or over a `Subset` of it) gathers each batch natively, one call a
    tensor, without reading rows in Python.

    Parameters
    ----------
    *tensors : Tensor
        One or more tensors of shape ``(n, ...)`` with the same ``n``.

    Raises
    ------
    ValueError
        When there is no tensor, one has no dimension, or the first dimensions differ.

    Examples
    --------
    >>> import lamina
    >>> data = TensorDataset(lamina.zeros(5, 3), lamina.arange(5))
    >>> len(data), data[2][1].item()
    (5, 2)
    """

    tensors: tuple[_core.Tensor, ...]

    def __init__(self, *tensors: _core.Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: needs at least one tensor")
        for position, tensor in enumerate(tensors):
            if not isinstance(tensor, _core.Tensor):
                raise TypeError(
                    f"TensorDataset: argument {position} is a {type(tensor).__name__}, "
                    "not a tensor; lamina.as_tensor makes one"
                )
            if tensor.ndim == 0:
                raise ValueError(f"TensorDataset: tensor {position} has no first dimension []")
        if any(t.shape[0] != tensors[0].shape[0] for t in tensors):
            shapes = "".join(f"\n  tensor {i}  {list(t.shape)}" for i, t in enumerate(tensors))
            raise ValueError(f"TensorDataset: tensors must have as many rows each{shapes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[_core.Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class Subset(Dataset[T_co]):
    """Some items of a dataset, in a given order.

    Parameters
    ----------
    dataset : Dataset
        Where the items come from.
    indices : sequence of int, or int64 Tensor
        Their positions in `dataset`; negative ones count from its end. Do not change it
        afterwards: a loader over in-memory data reads it once.

    Examples
    --------
    >>> import lamina
    >>> part = Subset(TensorDataset(lamina.arange(5)), [4, 0])
    >>> [item.item() for (item,) in part]
    [4, 0]
    """

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int] | _core.Tensor) -> None:
        self.dataset = dataset
        self.indices = indices.tolist() if isinstance(indices, _core.Tensor) else indices
        self._rows: _core.Tensor | None = None

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self) -> _core.Tensor:
        """Give the indices as an int64 tensor with no negative entry; made once."""
        if self._rows is None:
            size = len(self.dataset)  # type: ignore[arg-type]
            self._rows = row_numbers(self.indices, size)
        return self._rows


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other.

    Parameters
    ----------
    datasets : iterable of Dataset
        At least one; each must have a length.

    Examples
    --------
    >>> import lamina
    >>> both = ConcatDataset([TensorDataset(lamina.zeros(3)), TensorDataset(lamina.ones(2))])
    >>> len(both), both[3][0].item()
    (5, 1.0)
    """

    datasets: list[Dataset[T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: needs at least one dataset")
        for position, dataset in enumerate(self.datasets):
            if isinstance(dataset, IterableDataset):
                raise TypeError(f"ConcatDataset: dataset {position} is a stream, without a length")
        sizes = [len(dataset) for dataset in self.datasets]  # type: ignore[arg-type]
        self.cumulative_sizes = list(itertools.accumulate(sizes))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"ConcatDataset: index {index} is outside a dataset of {size} items")
        index %= size
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[T_co]]:
    """Cut a dataset into random parts without overlap.

    Parameters
    ----------
    dataset : Dataset
        Any dataset with a length.
    lengths : sequence of int, or of float
        Sizes that add up to ``len(dataset)``, or fractions that add up to 1. What rounding
        down leaves over goes to the parts one by one, the first part first.
    generator : int or generator, optional
        A seed, for the same parts every time, or a generator object. Default: the
        process-wide generator (`lamina.manual_seed`).

    Returns
    -------
    list of Subset
        One for each length.

    Raises
    ------
    ValueError
        When the lengths do not add up or one is negative.

    Examples
    --------
    >>> import lamina
    >>> data = TensorDataset(lamina.arange(10))
    >>> [len(part) for part in random_split(data, [0.7, 0.3], generator=0)]
    [7, 3]
    """
    size = len(dataset)  # type: ignore[arg-type]
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {list(lengths)}")
    total = sum(lengths)
    if math.isclose(total, 1):
        counts = [math.floor(size * length) for length in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
    elif total == size and all(length == int(length) for length in lengths):
        counts = [int(length) for length in lengths]
    else:
        raise ValueError(
            f"random_split: lengths add up to {total}, but the dataset has {size} items; "
            "give sizes that add up to it or fractions that add up to 1"
        )
    order = randperm(size, generator).tolist()
    ends = list(itertools.accumulate(counts))
    return [Subset(dataset, order[e - n : e]) for e, n in zip(ends, counts, strict=True)]
