"""DataLoader: batches of a dataset, gathered natively where the data is in memory."""

from __future__ import annotations

import collections
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from lamina import _core
from lamina.utils.data.collate import default_collate, default_convert
from lamina.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset
from lamina.utils.data.sampler import (
    BatchSampler,
    NativeSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    check_count,
    count_batches,
    row_numbers,
)
from lamina.utils.data.worker import WorkerInfo, set_worker_info

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)
Task = Callable[[], Any]
Tensors = tuple[_core.Tensor, ...]


class DataLoader(Generic[T_co]):
    """Batches of a dataset, one pass at each iteration.

    A `TensorDataset`, and a `Subset` of one to any depth, is never read row by row: a pass
    costs one random permutation, and a batch one native gather for each tensor. Its batches
    are lists of new tensors, not views of the data.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``__getitem__`` and ``__len__``, or an `IterableDataset`.
    batch_size : int or None, default 1
        Samples in a batch. None gives single samples, not joined, NumPy arrays as tensors.
    shuffle : bool, default False
        A new random order at each pass.
    sampler : Sampler or iterable of int, optional
        The order of the samples; excludes `shuffle`.
    batch_sampler : Sampler or iterable of lists of int, optional
        The batches themselves; excludes `batch_size`, `shuffle`, `sampler` and `drop_last`.
    num_workers : int, default 0
        Threads that prepare batches ahead of the loop, in order. They are threads, not
        processes: they help where loading waits (files, network) or computes natively, and
        not where it is pure Python. A dataset that draws random numbers in ``__getitem__``
        draws them in an order that varies when there is more than one thread.
    collate_fn : callable, optional
        Makes a batch from a list of samples. Default: `default_collate`, or
        `default_convert` for single samples.
    pin_memory : bool, default False
        Accepted, without effect.
    drop_last : bool, default False
        Leave out a last batch that is smaller.
    timeout : float, default 0
        Seconds to wait for a batch from a thread; 0 waits for ever.
    worker_init_fn : callable, optional
        Called with the thread's number as each thread starts.
    generator : int or generator, optional
        A seed (the same sequence of orders every time) or a generator object, for `shuffle`.
        Default: the process-wide generator (`lamina.manual_seed`).
    prefetch_factor : int, optional
        Batches prepared ahead for each thread. Default: 2.
    multiprocessing_context, persistent_workers, pin_memory_device, in_order
        Accepted, without effect: there are no worker processes, and batches come in order.

    Raises
    ------
    ValueError
        When options exclude each other or a number is out of range.

    Examples
    --------
    >>> import lamina
    >>> from lamina.utils.data import TensorDataset
    >>> data = TensorDataset(lamina.arange(10).view(5, 2), lamina.arange(5))
    >>> for x, y in DataLoader(data, batch_size=2):
    ...     print(list(x.shape), y.tolist())
    [2, 2] [0, 1]
    [2, 2] [2, 3]
    [1, 2] [4]
    """

    def __init__(
        self,
        dataset: Dataset[T_co] | Sequence[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[int] | Iterable[int] | None = None,
        batch_sampler: Sampler[list[int]] | Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[T_co]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout must not be negative, got {timeout}")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"DataLoader: prefetch_factor must be positive, got {prefetch_factor}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other")
        stream = isinstance(dataset, IterableDataset)
        if stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset comes in its own order; "
                             "shuffle, sampler and batch_sampler do not apply")  # fmt: skip
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler "
                                 "and drop_last")  # fmt: skip
            batch_size = None
        elif batch_size is not None:
            check_count("DataLoader", "batch_size", batch_size)
        elif drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size")
        if sampler is None and not stream:
            sampler = (
                RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
                if shuffle
                else SequentialSampler(dataset)  # type: ignore[arg-type]
            )
        if batch_sampler is None and batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = prefetch_factor or 2

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        if self.sampler is not None:
            return len(self.sampler)  # type: ignore[arg-type]
        size = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return size
        return count_batches(size, self.batch_size, self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        tasks = self._tasks()
        if not self.num_workers:
            return (task() for task in tasks)
        return self._prefetch(tasks)

    def _tasks(self) -> Iterator[Task]:
        """One pass as calls that each make one batch."""
        if self.sampler is None and self.batch_sampler is None:
            return self._stream_tasks()
        memory = None if self.collate_fn is not None else _in_memory(self.dataset)
        if memory is not None and self.batch_sampler is not None:
            return self._gather_tasks(*memory)
        return self._sample_tasks()

    def _stream_tasks(self) -> Iterator[Task]:
        dataset: Any = self.dataset
        samples = iter(dataset)
        if self.batch_size is None:
            yield from (partial(self._single, partial(_given, sample)) for sample in samples)
            return
        while batch := list(itertools.islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield partial(self._join, partial(_given, batch))

    def _sample_tasks(self) -> Iterator[Task]:
        dataset: Any = self.dataset
        if self.batch_sampler is not None:
            for batch in self.batch_sampler:
                yield partial(self._join, partial(_read, dataset, batch))
        else:
            for index in self.sampler or ():
                yield partial(self._single, partial(operator.getitem, dataset, index))

    def _gather_tasks(self, tensors: Tensors, rows: _core.Tensor | None) -> Iterator[Task]:
        batches = self.batch_sampler
        sampler = batches.sampler if isinstance(batches, BatchSampler) else None
        if type(batches) is not BatchSampler or not isinstance(sampler, NativeSampler):
            count = (tensors[0] if rows is None else rows).shape[0]
            for batch in batches or ():
                index = row_numbers(batch, count)
                yield partial(_gather, tensors, _through(rows, index))
            return
        order = sampler.epoch()
        order = rows if order is None else _through(rows, order)
        size, total = batches.batch_size, len(sampler)
        for start in range(0, len(batches) * size, size):
            stop = min(start + size, total)
            if order is None:
                yield partial(_slice, tensors, start, stop)
            else:
                yield partial(_gather, tensors, order[start:stop])

    def _single(self, read: Callable[[], Any]) -> Any:
        return (self.collate_fn or default_convert)(read())

    def _join(self, read: Callable[[], list[Any]]) -> Any:
        return (self.collate_fn or default_collate)(read())

    def _prefetch(self, tasks: Iterator[Task]) -> Iterator[Any]:
        from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError

        def result(future: Future[Any]) -> Any:
            try:
                return future.result(self.timeout or None)
            except TimeoutError:
                if future.done():  # the batch itself raised it
                    raise
                message = f"DataLoader: a batch took more than timeout={self.timeout} s"
                raise RuntimeError(message) from None

        numbers = itertools.count()

        seed = _core.initial_seed()

        def start() -> None:
            number = next(numbers)
            set_worker_info(WorkerInfo(number, self.num_workers, seed + number, self.dataset))
            if self.worker_init_fn is not None:
                self.worker_init_fn(number)

        pool = ThreadPoolExecutor(self.num_workers, "lamina-loader", initializer=start)
        waiting: collections.deque[Future[Any]] = collections.deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) >= self.num_workers * self.prefetch_factor:
                    yield result(waiting.popleft())
            while waiting:
                yield result(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _given(value: Any) -> Any:
    return value


def _read(dataset: Any, batch: Sequence[int]) -> list[Any]:
    if hasattr(dataset, "__getitems__"):  # a dataset that reads a batch at once
        return list(dataset.__getitems__(batch))
    return [dataset[index] for index in batch]


def _in_memory(dataset: Any) -> tuple[Tensors, _core.Tensor | None] | None:
    """Find the tensors below a dataset and which of their rows it shows (None: all, in order).

    None where the items may differ from rows of tensors, as in a subclass that transforms.
    """
    chain = []
    while isinstance(dataset, Subset) and type(dataset).__getitem__ is Subset.__getitem__:
        chain.append(dataset)
        dataset = dataset.dataset
    if not isinstance(dataset, TensorDataset):
        return None
    if type(dataset).__getitem__ is not TensorDataset.__getitem__:
        return None
    rows: _core.Tensor | None = None
    for subset in reversed(chain):
        rows = _through(rows, subset.rows())
    return dataset.tensors, rows


def _through(rows: _core.Tensor | None, index: _core.Tensor) -> _core.Tensor:
    return index if rows is None else _core.gather_rows(rows, index)


def _gather(tensors: Tensors, index: _core.Tensor) -> list[_core.Tensor]:
    # The native gather records no gradient; data that wants one is indexed the ordinary way.
    return [t[index] if t.requires_grad else _core.gather_rows(t, index) for t in tensors]


def _slice(tensors: Tensors, start: int, stop: int) -> list[_core.Tensor]:
    # The data's own order needs no indices; the clone keeps a batch from being a view of it.
    return [t[start:stop].clone() for t in tensors]
