"""Data in any of the forms that `Trainer` takes, as batches of inputs and targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lamina import _core
from lamina.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

__all__ = ["Batch", "as_loader", "as_tensor", "join_lone_last", "pairs"]

Batch = tuple[_core.Tensor, _core.Tensor]


def as_loader(data: Any, batch_size: int, shuffle: bool, dtype: Any, who: str) -> DataLoader[Any]:
    """Make a loader over `data`: a loader, a dataset, or a pair of tensors or arrays."""
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        data = TensorDataset(as_tensor(data[0], dtype), as_tensor(data[1]))
    if not isinstance(data, Dataset) and not hasattr(data, "__getitem__"):
        raise TypeError(
            f"{who}: data must be a dataset, a DataLoader or a pair (x, y), "
            f"not {type(data).__name__}"
        )
    stream = isinstance(data, IterableDataset)
    if not stream and not len(data):
        raise ValueError(f"{who}: the data is empty")
    return DataLoader(data, batch_size, shuffle=shuffle and not stream)


def as_tensor(value: Any, dtype: Any = None) -> _core.Tensor:
    """`value` as a tensor; floating-point values take `dtype`, integer labels int64."""
    tensor: _core.Tensor = _core.as_tensor(value)
    if tensor.dtype in (_core.float32, _core.float64):
        return tensor if dtype is None else tensor.to(dtype)
    return tensor.to(_core.int64) if tensor.dtype in (_core.int32, _core.uint8) else tensor


def pairs(loader: Iterable[Any], device: Any, who: str) -> Iterator[Batch]:
    """Give the batches, checked to be pairs, on the device."""
    for batch in loader:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            size = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            raise ValueError(
                f"{who}: a batch must be a pair (inputs, targets), got {type(batch).__name__}{size}"
            )
        x, y = batch
        yield (x, y) if device is None else (x.to(device), y.to(device))


def join_lone_last(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Give the same batches, but join a last one of a single sample to the one before it.

    Batch statistics need two samples: without this, a data set with one sample more than a
    multiple of the batch size could not train a network with batch normalization.
    """
    held: list[Batch] = []
    for batch in batches:
        if len(held) == 2:
            yield held.pop(0)
        held.append(batch)
    if len(held) == 2 and len(held[1][0]) == 1 < len(held[0][0]):
        (x, y), (lone_x, lone_y) = held
        held = [(_core.cat([x, lone_x]), _core.cat([y, lone_y]))]
    yield from held
