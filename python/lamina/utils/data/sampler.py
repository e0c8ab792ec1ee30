"""Samplers: the order in which a loader reads a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

from lamina import _core
from lamina.utils.data._random import generator_of, randint, randperm

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """An order of indices; subclasses define ``__iter__`` and, where they can, ``__len__``.

    Examples
    --------
    >>> from lamina.utils.data import DataLoader
    >>> class Backwards(Sampler):
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def __iter__(self):
    ...         return iter(range(self.n - 1, -1, -1))
    ...     def __len__(self):
    ...         return self.n
    >>> next(iter(DataLoader([1, 2, 3], batch_size=2, sampler=Backwards(3)))).tolist()
    [3, 2]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler[int]):
    """Every item once, in the dataset's order.

    Examples
    --------
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)

    def epoch(self) -> _core.Tensor | None:
        """One pass as an int64 tensor; None stands for the dataset's own order."""
        return None


class RandomSampler(Sampler[int]):
    """Items in random order.

    Parameters
    ----------
    data_source : sized
        The dataset.
    replacement : bool, default False
        Draw each index anew, so that items repeat.
    num_samples : int, optional
        How many to draw. Default: as many as there are items.
    generator : int or generator, optional
        A seed (the same sequence of orders every time) or a generator object. Default: the
        process-wide generator.

    Examples
    --------
    >>> sorted(RandomSampler("abcd"))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if num_samples is not None and (isinstance(num_samples, bool) or num_samples < 1):
            raise ValueError(f"RandomSampler: num_samples must be positive, got {num_samples!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator_of(generator)

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        return iter(self.epoch().tolist())

    def __len__(self) -> int:
        return self.num_samples

    def epoch(self) -> _core.Tensor:
        """One pass as an int64 tensor."""
        size, wanted = len(self.data_source), self.num_samples
        if not size:
            return _core.empty(0, dtype=_core.int64)
        if self.replacement:
            return randint(size, wanted, self.generator)
        # Asking for more than there is goes round again, in a new order each time.
        rounds = [randperm(size, self.generator) for _ in range(-(-wanted // size))]
        order = rounds[0] if len(rounds) == 1 else _core.cat(rounds)
        return order if wanted == order.shape[0] else order[:wanted]


class WeightedRandomSampler(Sampler[int]):
    """Items drawn with given probabilities.

    Parameters
    ----------
    weights : sequence of float, or Tensor
        One for each item; they need not add up to 1.
    num_samples : int
        How many to draw.
    replacement : bool, default True
        Whether an item may be drawn again.
    generator : int or generator, optional
        A seed (the same sequence of draws every time) or a generator object. Default: the
        process-wide generator.

    Examples
    --------
    >>> list(WeightedRandomSampler([0.0, 3.0, 0.0], 4))
    [1, 1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float] | _core.Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        check_count("WeightedRandomSampler", "num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(
                f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}"
            )
        self.weights = _core.as_tensor(weights, dtype=_core.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                "WeightedRandomSampler: weights must have one dimension, "
                f"got {list(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator_of(generator)

    def __iter__(self) -> Iterator[int]:
        return iter(self.epoch().tolist())

    def __len__(self) -> int:
        return self.num_samples

    def epoch(self) -> _core.Tensor:
        """One pass as an int64 tensor."""
        return _core.multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order, each once.

    Parameters
    ----------
    indices : sequence of int
        The indices.
    generator : int or generator, optional
        A seed (the same sequence of orders every time) or a generator object. Default: the
        process-wide generator.

    Examples
    --------
    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator_of(generator)

    def __iter__(self) -> Iterator[int]:
        return (self.indices[i] for i in randperm(len(self.indices), self.generator).tolist())

    def __len__(self) -> int:
        return len(self.indices)


# The samplers whose whole pass is one tensor, so that no index is handled in Python.
NativeSampler = (SequentialSampler, RandomSampler, WeightedRandomSampler)


class BatchSampler(Sampler[list[int]]):
    """Groups another sampler's indices.

    Parameters
    ----------
    sampler : iterable of int
        Where the indices come from.
    batch_size : int
        How many go together.
    drop_last : bool
        Leave out a last group that is smaller.

    Examples
    --------
    >>> list(BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_count("BatchSampler", "batch_size", batch_size)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        return count_batches(len(self.sampler), self.batch_size, self.drop_last)  # type: ignore[arg-type]


def check_count(who: str, name: str, value: Any) -> None:
    """Raise unless the argument `name` is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{who}: {name} must be a positive integer, got {value!r}")


def count_batches(items: int, batch_size: int, drop_last: bool) -> int:
    """How many batches `items` make."""
    return items // batch_size if drop_last else -(-items // batch_size)


def row_numbers(indices: Sequence[int], size: int) -> _core.Tensor:
    """Positions in a dataset of `size` items as an int64 tensor with no negative entry."""
    rows = list(indices)
    if rows and (min(rows) < -size or max(rows) >= size):
        bad = next(i for i in rows if not -size <= i < size)
        raise IndexError(f"index {bad} is outside a dataset of {size} items")
    if rows and min(rows) < 0:
        rows = [i % size for i in rows]
    return _core.tensor(rows, dtype=_core.int64)
