"""Joining samples into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import _core

__all__ = ["default_collate", "default_convert"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples of one structure into one batch of that structure.

    Parameters
    ----------
    batch : sequence
        Samples. Tensors and NumPy arrays are stacked along a new first dimension, integers
        become an int64 tensor, floats a float64 tensor, booleans a bool tensor, strings and
        bytes stay a list; dicts, tuples and lists are joined entry by entry.

    Returns
    -------
    Any
        The batch; a tuple of samples' entries becomes a list, as in PyTorch.

    Raises
    ------
    ValueError
        When the samples' sizes differ.
    TypeError
        When the samples are of a type that has no place in a batch.

    Examples
    --------
    >>> import lamina
    >>> x, y = default_collate([(lamina.zeros(3), 1), (lamina.ones(3), 0)])
    >>> list(x.shape), y.tolist()
    ([2, 3], [1, 0])
    """
    if not len(batch):
        raise ValueError("default_collate: a batch needs at least one sample")
    first = batch[0]
    if isinstance(first, _core.Tensor):
        return _stack(batch)
    if type(first).__module__ == "numpy":
        return _stack([_core.as_tensor(sample) for sample in batch])
    if isinstance(first, float):
        return _core.tensor(batch, dtype=_core.float64)
    if isinstance(first, int):
        return _core.tensor(batch)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            lengths = sorted({len(sample) for sample in batch})
            raise ValueError(f"default_collate: samples have different lengths: {lengths}")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: samples must be tensors, NumPy arrays, numbers, strings, dicts, tuples "
        f"or lists, not {type(first).__name__}; give DataLoader a collate_fn"
    )


def default_convert(data: Any) -> Any:
    """Make tensors of the NumPy arrays in a sample, and leave everything else as it is.

    Parameters
    ----------
    data : Any
        A sample; dicts, tuples and lists are gone through.

    Returns
    -------
    Any
        The same structure with tensors in it.

    Examples
    --------
    >>> import numpy
    >>> default_convert({"x": numpy.zeros(2), "name": "a"})
    {'x': tensor([0., 0.], dtype=lamina.float64), 'name': 'a'}
    """
    if isinstance(data, _core.Tensor):
        return data
    if type(data).__module__ == "numpy":
        return data if data.dtype.kind in "USOMmV" else _core.as_tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, (list, tuple)):
        return [default_convert(value) for value in data]
    return data


def _stack(samples: Sequence[_core.Tensor]) -> _core.Tensor:
    shapes = {tuple(sample.shape) for sample in samples}
    if len(shapes) > 1:
        listed = ", ".join(str(list(shape)) for shape in sorted(shapes)[:4])
        raise ValueError(f"default_collate: samples have different shapes: {listed}")
    return _core.stack(list(samples))
