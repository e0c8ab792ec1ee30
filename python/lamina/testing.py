"""Comparing results in tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from lamina import _core
from lamina._core import Tensor
from lamina._errors import absent as _absent

__all__ = ["assert_close"]

# PyTorch's tolerances; everything else must be equal.
_DEFAULTS = {_core.float32: (1.3e-6, 1e-5), _core.float64: (1e-7, 1e-7)}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise `AssertionError` unless `actual` is close to `expected`.

    Two numbers are close when ``|actual - expected| <= atol + rtol * |expected|``, and when they
    are equal, which is how infinities are. Shapes, dtypes and devices must match.

    Parameters
    ----------
    actual, expected : Any
        Two tensors, two NumPy arrays, two numbers, two `None`, or sequences and mappings of them
        to any depth.
    allow_subclasses : bool, default True
        Whether a tensor may be compared with one of a subclass.
    rtol, atol : float, optional
        The tolerances, both or neither. Default: 1.3e-6 and 1e-5 for float32, 1e-7 and 1e-7 for
        float64 and Python floats, 0 and 0 for the rest; of two dtypes, the wider tolerance.
    equal_nan : bool, default False
        Whether NaN is close to NaN.
    check_device, check_dtype, check_stride : bool
        Whether these must match too. Without the check of dtypes, the values are compared in the
        dtype that both promote to.
    check_layout : bool, default True
        Accepted; all tensors are strided.
    msg : str or callable, optional
        The error's text instead of the one made here, or a function that makes it of that.

    Raises
    ------
    AssertionError
        The text says how many elements differ, and where and by how much the worst of them does.
    TypeError
        When the two are nothing that can be compared.
    ValueError
        When only one of the tolerances is given.

    Examples
    --------
    >>> import lamina
    >>> lamina.testing.assert_close(lamina.ones(2) / 3, lamina.tensor([1 / 3, 1 / 3]))
    >>> lamina.testing.assert_close({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]})
    Traceback (most recent call last):
    AssertionError: Scalars are not close!
    <BLANKLINE>
    Expected 2.5 but got 2.0.
    Absolute difference: 0.5 (up to 1e-07 allowed)
    Relative difference: 0.2 (up to 1e-07 allowed)
    <BLANKLINE>
    The failure occurred for item ['a'][1]
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(
            f"assert_close: 'rtol' and 'atol' must be either both specified or both omitted, "
            f"but got no {missing}"
        )
    if rtol is not None and atol is not None and not (rtol >= 0 and atol >= 0):
        raise ValueError(f"assert_close: rtol and atol must be 0 or more, got {rtol} and {atol}")
    given = None if rtol is None or atol is None else (rtol, atol)
    comparison = _Comparison(
        given, equal_nan, allow_subclasses, check_device, check_dtype, check_stride, msg
    )
    comparison.compare(actual, expected, "")


class _Comparison:
    def __init__(
        self,
        tolerances: tuple[float, float] | None,
        equal_nan: bool,
        allow_subclasses: bool,
        check_device: bool,
        check_dtype: bool,
        check_stride: bool,
        message: str | Callable[[str], str] | None,
    ) -> None:
        self.tolerances = tolerances
        self.equal_nan = equal_nan
        self.allow_subclasses = allow_subclasses
        self.check_device = check_device
        self.check_dtype = check_dtype
        self.check_stride = check_stride
        self.message = message

    def compare(self, actual: Any, expected: Any, place: str) -> None:
        if _is_sequence(actual) and _is_sequence(expected):
            self.sequences(actual, expected, place)
        elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
            self.mappings(actual, expected, place)
        elif actual is None or expected is None:
            if actual is not expected:
                self.fail(f"None mismatch: {actual} is not {expected}", place)
        elif isinstance(actual, bool) and isinstance(expected, bool):
            if actual is not expected:
                self.fail(f"Booleans mismatch: {actual} is not {expected}", place)
        elif _is_number(actual) and _is_number(expected):
            self.numbers(actual, expected, place)
        elif self.alike(actual, expected):
            self.tensors(actual, expected, place)
        else:
            raise TypeError(
                f"assert_close: cannot compare {type(actual).__name__} with "
                f"{type(expected).__name__}{_item(place)}"
            )

    def sequences(self, actual: Any, expected: Any, place: str) -> None:
        if len(actual) != len(expected):
            self.fail(
                f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", place
            )
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            self.compare(a, e, f"{place}[{i}]")

    def mappings(self, actual: Any, expected: Any, place: str) -> None:
        missing = [key for key in expected if key not in actual]
        additional = [key for key in actual if key not in expected]
        if missing or additional:
            self.fail(
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {missing}\n"
                f"Additional keys in the actual mapping: {additional}",
                place,
            )
        for key in actual:
            self.compare(actual[key], expected[key], f"{place}[{key!r}]")

    def numbers(self, actual: Any, expected: Any, place: str) -> None:
        if self.check_dtype and type(actual) is not type(expected):
            self.fail(
                f"The (d)types do not match: {type(actual)} != {type(expected)}.",
                place,
            )
        exact = isinstance(actual, int) and isinstance(expected, int)
        rtol, atol = self.tolerances or ((0.0, 0.0) if exact else (1e-7, 1e-7))
        difference = abs(actual - expected)
        if actual == expected or (self.equal_nan and actual != actual and expected != expected):
            return
        # An infinite tolerance, which an infinite expectation makes, would allow everything.
        if math.isfinite(abs(expected)) and difference <= atol + rtol * abs(expected):
            return
        self.fail(_scalars(actual, expected, difference, rtol, atol), place)

    def alike(self, actual: Any, expected: Any) -> bool:
        if isinstance(actual, Tensor) and isinstance(expected, Tensor):
            return type(actual) is type(expected) or (
                self.allow_subclasses
                and (isinstance(actual, type(expected)) or isinstance(expected, type(actual)))
            )
        return type(actual) is type(expected) and _is_array(actual)

    def tensors(self, actual: Any, expected: Any, place: str) -> None:
        a, e = (_core.asarray(x).detach() for x in (actual, expected))
        self.attribute("shape", a.shape, e.shape, place)
        if self.check_device:
            self.attribute("device", a.device, e.device, place)
        if self.check_dtype:
            self.attribute("dtype", a.dtype, e.dtype, place)
        if self.check_stride:
            self.attribute("stride()", a.stride(), e.stride(), place)
        rtols, atols = zip(*(_DEFAULTS.get(t, (0.0, 0.0)) for t in (a.dtype, e.dtype)), strict=True)
        rtol, atol = self.tolerances or (max(rtols), max(atols))
        common = _core.result_type(a.reshape(-1), e.reshape(-1))
        a, e = a.cpu().to(common), e.cpu().to(common)
        if rtol == atol == 0:  # isclose subtracts, and integers may overflow
            close = a == e
            if self.equal_nan:
                close = close | (_core.isnan(a) & _core.isnan(e))
        else:
            close = _core.isclose(a, e, rtol, atol, self.equal_nan)
        if not bool(close.all()):
            self.fail(_different(a, e, close, rtol, atol), place)

    def attribute(self, name: str, actual: object, expected: object, place: str) -> None:
        if actual != expected:
            self.fail(
                f"The values for attribute {name!r} do not match: {actual} != {expected}.", place
            )

    def fail(self, text: str, place: str) -> NoReturn:
        text += _item(place, "\n\nThe failure occurred for item ")
        if self.message is not None:
            text = self.message(text) if callable(self.message) else self.message
        raise AssertionError(text)


def _item(place: str, lead: str = " at item ") -> str:
    return lead + place if place else ""


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, complex))


def _is_array(value: object) -> bool:
    return hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__")


def _allowed(tolerance: float, rtol: float, atol: float) -> str:
    return f" (up to {tolerance} allowed)" if rtol or atol else ""


def _scalars(actual: Any, expected: Any, difference: Any, rtol: float, atol: float) -> str:
    relative = difference / abs(expected) if expected else math.inf
    return (
        f"Scalars are not {'close' if rtol or atol else 'equal'}!\n\n"
        f"Expected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{_allowed(atol, rtol, atol)}\n"
        f"Relative difference: {relative}{_allowed(rtol, rtol, atol)}"
    )


def _different(a: Tensor, e: Tensor, close: Tensor, rtol: float, atol: float) -> str:
    if a.dtype is _core.bool or a.dtype is _core.uint8:
        a, e = a.int(), e.int()
    if a.ndim == 0:
        actual, expected = a.item(), e.item()
        return _scalars(actual, expected, abs(actual - expected), rtol, atol)
    difference = (a - e).abs()
    relative = difference.double() / e.abs().double()
    wrong = int((~close).sum().item())
    lines = [f"Mismatched elements: {wrong} / {a.numel()} ({wrong / a.numel():.1%})"]
    for name, values, tolerance in (("absolute", difference, atol), ("relative", relative, rtol)):
        values = values.masked_fill(close, 0)
        worst = int(values.argmax().item())
        lines.append(
            f"Greatest {name} difference: {values.reshape(-1)[worst].item()} at index "
            f"{_unravelled(worst, a.shape)}{_allowed(tolerance, rtol, atol)}"
        )
    head = f"Tensor-likes are not {'close' if rtol or atol else 'equal'}!\n\n"
    return head + "\n".join(lines)


def _unravelled(position: int, shape: Sequence[int]) -> tuple[int, ...]:
    index: list[int] = []
    for size in reversed(shape):
        position, i = divmod(position, size)
        index.insert(0, i)
    return tuple(index)


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)
