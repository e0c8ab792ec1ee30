"""What a dtype can represent."""

from __future__ import annotations

from lamina import _core

_FLOATS = {
    "float32": (32, 23, 127, 1e-6),  # bits, those of the fraction, largest exponent, resolution
    "float64": (64, 52, 1023, 1e-15),
}
_INTEGERS = {"uint8": (8, 0), "int32": (32, 1), "int64": (64, 1)}  # bits, of which for the sign


def _name(dtype: object) -> str:
    return repr(dtype).removeprefix("lamina.")


class finfo:  # noqa: N801 - PyTorch's name
    """Limits of a floating dtype.

    Parameters
    ----------
    type : dtype, optional
        `float32` or `float64`; the default dtype when left out.

    Attributes
    ----------
    bits : int
    eps : float
        The distance from 1 to the next larger number.
    max, min : float
        The largest number, and its opposite.
    tiny, smallest_normal : float
        The smallest positive number with all digits.
    resolution : float
        A power of ten that the dtype can tell from 0 beside 1.
    dtype : str

    Raises
    ------
    TypeError
        When the dtype is not floating.

    Examples
    --------
    >>> import lamina
    >>> lamina.finfo(lamina.float64).eps
    2.220446049250313e-16
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: _core.dtype | None = None) -> None:
        name = _name(_core.get_default_dtype() if type is None else type)
        if name not in _FLOATS:
            raise TypeError(f"finfo: needs a floating dtype, got {name}; iinfo has the integers")
        self.bits, fraction, top, self.resolution = _FLOATS[name]
        self.dtype = name
        self.eps = 2.0**-fraction
        self.max = (2.0 - self.eps) * 2.0**top
        self.min = -self.max
        self.smallest_normal = self.tiny = 2.0 ** (1 - top)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's name
    """Limits of an integer dtype.

    Parameters
    ----------
    type : dtype
        `uint8`, `int32` or `int64`.

    Attributes
    ----------
    bits, max, min : int
    dtype : str

    Raises
    ------
    TypeError
        When the dtype is no integer's.

    Examples
    --------
    >>> import lamina
    >>> lamina.iinfo(lamina.int32).max
    2147483647
    """

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: _core.dtype) -> None:
        name = _name(type)
        if name not in _INTEGERS:
            raise TypeError(f"iinfo: needs an integer dtype, got {name}; finfo has the floats")
        self.bits, sign = _INTEGERS[name]
        self.dtype = name
        self.max = 2 ** (self.bits - sign) - 1
        self.min = -sign * 2 ** (self.bits - 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
