"""`FloatTensor` and its like: PyTorch's older constructors, one for each dtype."""

from __future__ import annotations

from typing import Any

from lamina import _core

__all__ = [
    "BoolTensor",
    "ByteTensor",
    "DoubleTensor",
    "FloatTensor",
    "IntTensor",
    "LongTensor",
]


class _OfDtype(type):
    """The type of a constructor; ``isinstance`` asks for the dtype."""

    dtype: _core.dtype

    def __call__(cls, *data: Any) -> _core.Tensor:
        name = cls.__name__
        if len(data) == 1 and isinstance(data[0], _core.Tensor):
            if data[0].dtype != cls.dtype:
                raise TypeError(
                    f"{name}: needs a tensor of {cls.dtype}, got one of {data[0].dtype}; "
                    f"convert it with .to({cls.dtype})"
                )
            return data[0].detach()
        if len(data) == 1 and not isinstance(data[0], (int, _core.Size)):
            return _core.tensor(data[0], dtype=cls.dtype)
        sizes = data[0] if data and isinstance(data[0], _core.Size) else data
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in sizes):
            raise TypeError(f"{name}: takes data, or sizes as ints, got {data!r}")
        return _core.empty(tuple(sizes) if data else (0,), dtype=cls.dtype)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _core.Tensor) and instance.dtype == cls.dtype


class FloatTensor(metaclass=_OfDtype):
    """A float32 tensor of data, or of sizes and not initialised; prefer `lamina.tensor`.

    Examples
    --------
    >>> from lamina import FloatTensor
    >>> FloatTensor([1, 2]).dtype, FloatTensor(2, 3).shape
    (lamina.float32, lamina.Size([2, 3]))
    """

    dtype = _core.float32


class DoubleTensor(metaclass=_OfDtype):
    """The same of float64; see `FloatTensor`.

    Examples
    --------
    >>> from lamina import DoubleTensor
    >>> DoubleTensor([1, 2]).tolist()
    [1.0, 2.0]
    """

    dtype = _core.float64


class LongTensor(metaclass=_OfDtype):
    """The same of int64; see `FloatTensor`.

    Examples
    --------
    >>> from lamina import LongTensor
    >>> LongTensor([1, 2]).tolist()
    [1, 2]
    """

    dtype = _core.int64


class IntTensor(metaclass=_OfDtype):
    """The same of int32; see `FloatTensor`.

    Examples
    --------
    >>> from lamina import IntTensor
    >>> IntTensor([1, 2]).tolist()
    [1, 2]
    """

    dtype = _core.int32


class BoolTensor(metaclass=_OfDtype):
    """The same of bool; see `FloatTensor`.

    Examples
    --------
    >>> from lamina import BoolTensor
    >>> BoolTensor([1, 2]).tolist()
    [True, True]
    """

    dtype = _core.bool


class ByteTensor(metaclass=_OfDtype):
    """The same of uint8; see `FloatTensor`.

    Examples
    --------
    >>> from lamina import ByteTensor
    >>> ByteTensor([1, 2]).tolist()
    [1, 2]
    """

    dtype = _core.uint8
